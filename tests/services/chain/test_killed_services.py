"""A service that dies under load: the others answer with clear errors, and recover by themselves when it is back."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.services.chain.corpus import QUESTIONS
from tests.services.chain.local_chain import ANSWER, RETRIEVE, Askers, Chain, Reply, ask, instance

pytestmark = pytest.mark.slow

_LONGEST_RECOVERY = 15.0


def _is_clear(reply: Reply, named: str) -> bool:
    """Tell whether a failure says which service is in trouble, and which request it was."""
    found = json.loads(reply.body)
    return (
        reply.status in (503, 504)
        and named in found["error"]
        and "\n" not in found["error"]
        and found["request_id"] == reply.headers["x-request-id"]
    )


@pytest.mark.parametrize(
    ("killed", "asked", "path", "named"),
    [
        ("embedder", "vectorstore", RETRIEVE, "embedder"),
        ("embedder", "llm", ANSWER, "embedder"),
        ("vectorstore", "llm", ANSWER, "vectorstore"),
        ("backend", "generator", ANSWER, "language model"),
    ],
    ids=lambda value: value.rpartition("/")[2],
)
def test_others_answer_clearly_and_recover(chain: Chain, killed: str, asked: str, path: str, named: str) -> None:
    """While a service is away its callers answer 503 or 504 and name it; when it is back they answer as before."""
    body = instance(QUESTIONS[0])
    with Askers(chain.url(asked) + path, body) as askers:
        askers.wait_for(200, 30, times=4)
        gone = time.monotonic()
        with _killed(chain, killed):
            askers.wait_for(503, 10, times=20)
        askers.wait_for(200, _LONGEST_RECOVERY, times=20)
        settled = time.monotonic()
        time.sleep(1)
    failures = [reply for reply in askers.since(gone) if reply.status != 200]
    unclear = [reply for reply in failures if not _is_clear(reply, named)]
    assert unclear == []
    assert {reply.status for reply in askers.since(settled)} == {200}


def test_the_first_service_is_not_ready_while_one_behind_it_is_dead(chain: Chain) -> None:
    """Its readiness names the service that is missing, and is true again by itself."""
    ready = chain.url("llm") + "/v2/models/llm/ready"
    with _killed(chain, "vectorstore"):
        reply = _until(ready, 503, 15)
        assert (reply.status, "vectorstore" in reply.json["error"]) == (503, True)
    assert _until(ready, 200, _LONGEST_RECOVERY).status == 200


def test_the_first_service_itself_comes_back(chain: Chain) -> None:
    """Those behind a dead LLM service do not notice; restarted, it answers at once."""
    retrieve, answer = chain.url("vectorstore") + RETRIEVE, chain.url("llm") + ANSWER
    body = instance(QUESTIONS[0])
    with Askers(retrieve, body, 1) as others, Askers(answer, body) as askers:
        askers.wait_for(200, 30)
        with _killed(chain, "llm"):
            askers.wait_for(0, 10)
        back = time.monotonic()
        askers.wait_for(200, _LONGEST_RECOVERY, times=8)
    assert {reply.status for _, reply in others.replies} == {200}
    assert {reply.status for reply in askers.since(back)} == {200}


@contextmanager
def _killed(chain: Chain, name: str) -> Iterator[None]:
    """Kill a service, and have it again after the block."""
    service = chain.services[name]
    service.kill()
    try:
        yield
    finally:
        service.start()
        service.wait()


def _until(url: str, status: int, seconds: float) -> Reply:
    end = time.monotonic() + seconds
    while (reply := ask(url)).status != status and time.monotonic() < end:
        time.sleep(0.1)
    return reply
