"""The plan `triton-engine` on a real Triton, with stand-ins of the three models and their ensemble."""

import asyncio
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from ragline.errors import ServiceError
from ragline.services.edge.caller import Caller
from ragline.services.llm.plans.plan import PlanSettings, Usage
from ragline.services.llm.plans.triton_engine import TritonEngine, open_plan
from ragline.triton_server import TritonServer
from tests.services.plans.asking import KEPT, answer, caller, run, task, whole

SAY = 'say:"Thirty days [1], größe 漢."'


def plan_of(server: TritonServer, tokenizer: Path, **settings: Any) -> TritonEngine:
    """Return a plan with a server."""
    given: dict[str, Any] = {"url": server.addresses.url, "tokenizer": tokenizer, "context_tokens": 8000}
    return open_plan(PlanSettings(**(given | settings)))


def log_of(server: TritonServer) -> str:
    """Return what the server's models wrote."""
    return server.log.read_text("utf-8", "replace")


def test_answer(triton: TritonServer, tokenizer: Path) -> None:
    """The answer comes word by word, without the prompt; tokens are counted with the model's tokenizer."""
    plan = plan_of(triton, tokenizer)
    prompt = plan.prepare(task(SAY))
    found = whole(plan, task(SAY))
    assert found.parts == ["Thirty", " days", " [1],", " größe", " 漢."]
    assert found.finish == ["stop"]
    assert found.usage == Usage(prompt.tokens, plan.chat.count("Thirty days [1], größe 漢."))


@pytest.mark.parametrize("count", [2, 3])
def test_length(triton: TritonServer, tokenizer: Path, count: int) -> None:
    """An answer that ends where its tokens end is told: the engine itself says nothing."""
    found = whole(plan_of(triton, tokenizer), task("count:5", max_tokens=count))
    assert (found.text, found.finish) == ("w0 w1 w2 "[: 3 * count], ["length"])


def test_stop_text(triton: TritonServer, tokenizer: Path) -> None:
    """A stop text that the engine writes is no part of the answer."""
    found = whole(plan_of(triton, tokenizer), task('say:"It is. END of it"', stop=("END",)))
    assert (found.text, found.finish) == ("It is. ", ["stop"])


@pytest.mark.parametrize(
    ("stage", "parts", "message"),
    [
        ("preprocessing", [], "the tokenizer is broken"),
        ("tensorrt_llm", [], "CUDA error: an illegal memory access was encountered"),
        ("postprocessing", [], "the detokenizer met token -1"),
        ("amid", ["w0 ", "w1 ", "w2 "], "KV cache exhausted amid the answer"),
    ],
)
def test_errors_of_each_stage(
    triton: TritonServer, tokenizer: Path, stage: str, parts: list[str], message: str
) -> None:
    """An error of any of the models is the service's, not the caller's: 503, with what the model said."""
    plan = plan_of(triton, tokenizer)
    found = []

    async def failing() -> None:
        async with aclosing(plan.answer(plan.prepare(task(f"count:5 fail:{stage}")), caller())) as pieces:
            async for piece in pieces:
                found.append(piece.text)  # noqa: PERF401 - the pieces before the error are what is looked at

    with pytest.raises(ServiceError, match=message) as failure:
        run(plan, failing)
    assert found == parts[: len(found)]  # an error can overtake the words before it
    assert failure.value.status == 503
    assert "data:" not in str(failure.value)


def test_too_long_for_the_engine(triton: TritonServer, tokenizer: Path) -> None:
    """A prompt that the engine refuses is tried with half of the passages, then refused: 413."""
    texts = [" ".join([KEPT] * 12)] * 4
    found = whole(plan_of(triton, tokenizer), task(SAY, *texts))
    assert len(found.prompts[0].passages) == 2
    assert found.text.startswith("Thirty days")
    with pytest.raises(ServiceError, match="exceeds maximum input length") as failure:
        whole(plan_of(triton, tokenizer), task(SAY + "x" * 4000, KEPT))
    assert failure.value.status == 413


def test_streams_stay_in_order(triton: TritonServer, tokenizer: Path) -> None:
    """With one postprocessing instance, many streams at once are complete and in order."""
    plan = plan_of(triton, tokenizer)

    async def many() -> list[str]:
        asked = (task(f"count:{20 + number}", max_tokens=100) for number in range(24))
        found = await asyncio.gather(*(answer(plan, each) for each in asked))
        return [each.text for each in found]

    expected = ["".join(f"w{word} " for word in range(20 + number)) for number in range(24)]
    assert run(plan, many) == expected


def test_leaving_does_not_reach_the_engine(triton: TritonServer, tokenizer: Path) -> None:
    """Who leaves is free at once; the engine writes on, but no more than the bound of the plan."""
    plan = plan_of(triton, tokenizer, longest_answer=37)

    async def leave() -> float:
        began = time.monotonic()
        prompt = plan.prepare(task("count:5000 slow:20", max_tokens=4000))
        async with aclosing(plan.answer(prompt, caller())) as pieces:
            async for _ in pieces:
                break
        return time.monotonic() - began

    assert run(plan, leave) < 0.7
    deadline = time.monotonic() + 10
    while "GENERATED 37 words" not in log_of(triton) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "GENERATED 37 words" in log_of(triton)
    assert "CANCELLED" not in log_of(triton)


def test_default_bound(tokenizer: Path) -> None:
    """Without a bound of the operator's, an answer has 1,024 tokens at most."""
    plan = open_plan(PlanSettings(url="http://127.0.0.1:9", tokenizer=tokenizer, context_tokens=1 << 15))
    assert plan.prepare(task(max_tokens=9000)).max_tokens == 1024


def test_too_late(triton: TritonServer, tokenizer: Path) -> None:
    """The caller's deadline ends the wait: 504."""
    plan = plan_of(triton, tokenizer)
    with pytest.raises(ServiceError, match="did not answer within") as failure:
        whole(plan, task("count:9 slow:200"), Caller.from_headers({"x-request-timeout-ms": "300"}))
    assert failure.value.status == 504


@pytest.mark.parametrize(
    ("url", "model", "message"),
    [
        ("", "other", "unknown model: 'other'.* has to serve 'other': see --llm-url and --llm-model"),
        ("http://127.0.0.1:9", "", "language model at http://127.0.0.1:9.* cannot be reached"),
    ],
)
def test_check(triton: TritonServer, tokenizer: Path, url: str, model: str, message: str) -> None:
    """What is not there is named before the first question: 503."""
    plan = plan_of(triton, tokenizer, model=model, **({"url": url} if url else {}))
    with pytest.raises(ServiceError, match=message) as failure:
        run(plan, plan.check)
    assert failure.value.status == 503


def test_older_version(triton: TritonServer, tokenizer: Path) -> None:
    """Only inputs that it has are sent, a whole answer is taken as one part, and its echo of the prompt left out."""
    found = whole(plan_of(triton, tokenizer, model="ensemble-whole"), task(SAY, seed=3, stop=("END",)))
    assert (found.parts, found.finish) == (["Thirty days [1], größe 漢."], ["stop"])
    with pytest.raises(ServiceError, match="KV cache exhausted") as failure:
        whole(plan_of(triton, tokenizer, model="ensemble-whole"), task("count:5 fail:amid"))
    assert failure.value.status == 503


def test_echo_in_a_stream(triton: TritonServer, tokenizer: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The echo of the prompt is left out of a stream, and two postprocessing instances are warned of once."""
    plan = plan_of(triton, tokenizer, model="ensemble-two")

    async def checked_twice() -> str:
        await plan.check()
        await plan.check()
        return (await answer(plan, task('say:"Thirty"'))).text

    assert run(plan, checked_twice) == "Thirty"
    assert caplog.text.count("2 instances of its postprocessing") == 1


def test_missing_part(triton: TritonServer, tokenizer: Path) -> None:
    """An ensemble that has lost a part is not ready: 503."""
    plan = plan_of(triton, tokenizer, model="ensemble-two")

    async def until_noticed() -> None:
        triton._post("/v2/repository/models/postprocessing-two/unload")
        while True:
            await plan.check()
            await asyncio.sleep(0.05)

    with pytest.raises(ServiceError, match="unknown model: 'ensemble-two'") as failure:
        run(plan, until_noticed)
    assert failure.value.status == 503
