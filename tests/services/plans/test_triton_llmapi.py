"""The plan `triton-llmapi` on a real Triton, with a stand-in of TensorRT-LLM's one model."""

import asyncio
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from ragline.errors import ServiceError
from ragline.services.edge.caller import Caller
from ragline.services.llm.plans.plan import PlanSettings, Usage
from ragline.services.llm.plans.triton_llmapi import TritonLlmapi, open_plan
from ragline.triton_server import TritonServer
from tests.services.plans.asking import answer, caller, run, task, whole

SAY = 'say:"Thirty days [1], größe 漢."'


def plan_of(server: TritonServer, tokenizer: Path, **settings: Any) -> TritonLlmapi:
    """Return a plan with a server."""
    given: dict[str, Any] = {
        "url": server.addresses.url,
        "model": "llmapi",
        "tokenizer": tokenizer,
        "context_tokens": 8000,
    }
    return open_plan(PlanSettings(**(given | settings)))


def wait_for(server: TritonServer, text: str, *, seconds: float = 5.0) -> bool:
    """Whether the server's log comes to hold a text."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if text in server.log.read_text("utf-8", "replace"):
            return True
        time.sleep(0.05)
    return False


def test_answer(triton: TritonServer, tokenizer: Path) -> None:
    """Responses that hold the whole text so far become its parts."""
    plan = plan_of(triton, tokenizer)
    prompt = plan.prepare(task(SAY))
    found = whole(plan, task(SAY))
    assert found.parts == ["Thirty", " days", " [1],", " größe", " 漢."]
    assert found.finish == ["stop"]
    assert found.usage == Usage(prompt.tokens, plan.chat.count("Thirty days [1], größe 漢."))


def test_length(triton: TritonServer, tokenizer: Path) -> None:
    """The model's own reason is told."""
    found = whole(plan_of(triton, tokenizer), task("count:5", max_tokens=3))
    assert (found.text, found.finish) == ("w0 w1 w2 ", ["length"])


def test_stop_text_stops_the_model(triton: TritonServer, tokenizer: Path) -> None:
    """The stop text is cut here, and the model told to stop."""
    found = whole(plan_of(triton, tokenizer), task("count:311 slow:10", max_tokens=311, stop=("w7",)))
    assert (found.text, found.finish) == ("w0 w1 w2 w3 w4 w5 w6 ", ["stop"])
    assert wait_for(triton, "STOPPED after")
    assert "GENERATED 311 words" not in triton.log.read_text()


def test_leaving_stops_the_model(triton: TritonServer, tokenizer: Path) -> None:
    """A `stop` request with the same id ends what nobody waits for any more; another request of that caller goes on."""
    plan = plan_of(triton, tokenizer)

    async def leave() -> str:
        other = asyncio.create_task(answer(plan, task("count:60 slow:10", max_tokens=60)))
        async with aclosing(plan.answer(plan.prepare(task("count:312 slow:10", max_tokens=312)), caller())) as pieces:
            async for _ in pieces:
                break
        return (await other).text

    before = triton.log.read_text().count("STOPPED after")
    assert run(plan, leave) == "".join(f"w{number} " for number in range(60))
    assert triton.log.read_text().count("STOPPED after") == before + 1
    assert "GENERATED 312 words" not in triton.log.read_text()


@pytest.mark.parametrize("how", ["cancelled", "late"])
def test_other_ends(triton: TritonServer, tokenizer: Path, how: str) -> None:
    """A task that is cancelled and a deadline that is over stop the model too."""
    plan = plan_of(triton, tokenizer)
    words = {"cancelled": 313, "late": 314}[how]

    async def ended() -> None:
        who = Caller.from_headers({"x-request-timeout-ms": "400"}) if how == "late" else caller()
        asked = asyncio.create_task(answer(plan, task(f"count:{words} slow:10", max_tokens=words), who))
        if how == "cancelled":
            await asyncio.sleep(0.3)
            asked.cancel()
        with pytest.raises(asyncio.CancelledError if how == "cancelled" else ServiceError):
            await asked

    before = triton.log.read_text().count("STOPPED after")
    run(plan, ended)
    time.sleep(0.1)
    assert triton.log.read_text().count("STOPPED after") == before + 1
    assert f"GENERATED {words} words" not in triton.log.read_text()


@pytest.mark.parametrize(
    ("stage", "parts", "message"),
    [
        ("tensorrt_llm", [], "Error generating request: CUDA error"),
        ("amid", ["w0 ", "w1 ", "w2 "], "Error generating request: KV cache exhausted"),
    ],
)
def test_errors(triton: TritonServer, tokenizer: Path, stage: str, parts: list[str], message: str) -> None:
    """An error of the model is the service's, not the caller's: 503, before the text or amid it."""
    plan = plan_of(triton, tokenizer)
    found = []

    async def failing() -> None:
        async with aclosing(plan.answer(plan.prepare(task(f"count:5 fail:{stage}")), caller())) as pieces:
            async for piece in pieces:
                found.append(piece.text)  # noqa: PERF401 - the pieces before the error are what is looked at

    with pytest.raises(ServiceError, match=message) as failure:
        run(plan, failing)
    assert (found, failure.value.status) == (parts, 503)


def test_streams_stay_apart(triton: TritonServer, tokenizer: Path) -> None:
    """Many answers at once are complete, each its own."""
    plan = plan_of(triton, tokenizer)

    async def many() -> list[str]:
        asked = (task(f"count:{10 + number}", max_tokens=100) for number in range(24))
        return [each.text for each in await asyncio.gather(*(answer(plan, each) for each in asked))]

    assert run(plan, many) == ["".join(f"w{word} " for word in range(10 + number)) for number in range(24)]


def test_check(triton: TritonServer, tokenizer: Path) -> None:
    """A model that is not there is named: 503."""
    plan = plan_of(triton, tokenizer, model="tensorrt_llm_2")
    with pytest.raises(ServiceError, match="has to serve 'tensorrt_llm_2'") as failure:
        run(plan, plan.check)
    assert failure.value.status == 503
