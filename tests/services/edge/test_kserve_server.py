"""Whole services, as processes: two of them in a chain."""

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest

from tests.services.edge.conftest import Chain
from tests.services.edge.processes import running, spawned
from tests.services.edge.tiny_service import CHAT, PREDICT

TEXT = "a text that nobody may see"


def predict(url: str, *instances: Any, **headers: str) -> httpx.Response:
    """Ask a service; header names have _ for -."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(url + PREDICT, json={"instances": instances}, headers=named, timeout=30)


def hop(inner: dict[str, Any]) -> dict[str, Any]:
    """Return an instance that the service hands on."""
    return {"do": "hop", "inner": inner}


def counts(url: str) -> dict[str, int]:
    """Return how often a service's waits were cancelled and finished."""
    found: dict[str, int] = httpx.get(f"{url}/openai/v1/counts").json()
    return found


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Return whether a condition comes true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_predict(chain: Chain) -> None:
    """A KServe v1 request comes back with one prediction for each instance."""
    response = predict(chain.back.url, {"do": "echo"}, {"do": "echo"}, x_request_id="a1")
    assert (response.status_code, response.headers["x-request-id"]) == (200, "a1")
    assert response.headers["content-type"] == "application/json"
    assert [each["request_id"] for each in response.json()["predictions"]] == ["a1", "a1"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, '"instances" is missing or not a list: expected {"instances": [...]}'),
        ({"instances": "x"}, '"instances" is missing or not a list: expected {"instances": [...]}'),
        ({"instances": []}, '"instances" has 0 entries: expected 1 to 32'),
        ({"instances": [1] * 33}, '"instances" has 33 entries: expected 1 to 32'),
    ],
)
def test_instances(chain: Chain, body: dict[str, Any], message: str) -> None:
    """The list of instances is checked for every service."""
    response = httpx.post(chain.back.url + PREDICT, json=body)
    assert (response.status_code, response.json()["error"]) == (400, message)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 502, 503, 504])
def test_statuses_pass_through_every_hop(chain: Chain, status: int) -> None:
    """A failure keeps its status, its message, its id and the time to wait, however far away it happened."""
    failure = {"do": "fail", "with": "service", "status": status, "retry_after": 7}
    response = predict(chain.front.url, hop(failure), x_request_id="a1")
    assert (response.status_code, response.headers["retry-after"]) == (status, "7")
    assert response.json() == {"error": "upstream: as asked", "request_id": "a1"}


@pytest.mark.parametrize(
    ("how", "status", "message"),
    [
        ("input", 400, "a question is missing"),
        ("release", 503, "release r1 is damaged"),
        ("time", 504, "the request took longer than it was given; request id a1"),
        ("bug", 500, "internal error; request id a1"),
    ],
)
def test_failures_of_a_service(chain: Chain, how: str, status: int, message: str) -> None:
    """What a service raises says what kind of failure it is; a bug shows nothing but the request's id."""
    response = predict(chain.back.url, {"do": "fail", "with": how, "text": TEXT}, x_request_id="a1")
    assert (response.status_code, response.json()) == (status, {"error": message, "request_id": "a1"})


def test_a_bug_behind_is_a_bad_gateway(chain: Chain) -> None:
    """The service in front says which one has failed."""
    response = predict(chain.front.url, hop({"do": "fail", "with": "bug"}), x_request_id="a1")
    assert (response.status_code, response.json()["error"]) == (502, "upstream: internal error; request id a1")


def test_callers_never_mix(chain: Chain) -> None:
    """A hundred callers at once: each one's token and id arrive at both services, and nobody else's."""

    async def ask(client: httpx.AsyncClient, number: int) -> None:
        mine = {"authorization": f"Bearer token-{number}", "x-request-id": f"request-{number}"}
        body = {"instances": [hop({"do": "echo"})]}
        reply = (await client.post(chain.front.url + PREDICT, json=body, headers=mine)).json()["predictions"][0]
        for place in ("here", "there"):
            assert {name: reply[place][name.replace("x-r", "r").replace("-", "_")] for name in mine} == mine

    async def all_of_them() -> None:
        async with httpx.AsyncClient(timeout=30) as client:
            await asyncio.gather(*(ask(client, number) for number in range(100)))

    asyncio.run(all_of_them())


def test_deadlines_nest(chain: Chain) -> None:
    """Each hop is given what its caller has left, less a little."""
    reply = predict(chain.front.url, hop({"do": "echo"}), x_request_timeout_ms="3000").json()["predictions"][0]
    assert reply["there"]["remaining"] <= reply["here"]["remaining"] + 0.1
    assert reply["there"]["remaining"] < 2.99


def test_deadline_ends_all_hops(chain: Chain) -> None:
    """When the time is over the caller hears of it, and the service behind stops as well."""
    before, began = counts(chain.back.url)["cancelled"], time.monotonic()
    response = predict(chain.front.url, hop({"do": "wait", "seconds": 5}), x_request_timeout_ms="500")
    assert response.status_code == 504
    assert time.monotonic() - began < 2
    assert eventually(lambda: counts(chain.back.url)["cancelled"] == before + 1)


def test_client_that_leaves_ends_all_hops(chain: Chain) -> None:
    """A caller that closes its connection stops the work it has begun, at every service."""
    before = counts(chain.back.url)["cancelled"]
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(chain.front.url + PREDICT, json={"instances": [hop({"do": "wait", "seconds": 5})]}, timeout=0.3)
    assert eventually(lambda: counts(chain.back.url)["cancelled"] == before + 1)


async def _first_pieces(url: str, pieces: int, seconds: float, *, count: int) -> list[float]:
    """Return when the first pieces of a stream came, and leave."""
    began, times = time.monotonic(), []
    body = {"pieces": pieces, "seconds": seconds}
    async with aiohttp.ClientSession() as session, session.post(url + CHAT, json=body) as response:
        assert response.content_type == "text/event-stream"
        async for line in response.content:
            if line.startswith(b"data:"):
                times.append(time.monotonic() - began)
            if len(times) == count:
                response.close()
                break
    return times


def test_streams_are_not_held_back(chain: Chain) -> None:
    """Each piece leaves when it is there."""
    times = asyncio.run(_first_pieces(chain.back.url, 3, 0.3, count=3))
    assert times[0] < 0.55
    assert times[2] - times[0] > 0.4


def test_client_that_leaves_a_stream_ends_it(chain: Chain) -> None:
    """Nothing is generated for somebody who is gone."""
    before = counts(chain.back.url)["cancelled"]
    asyncio.run(_first_pieces(chain.back.url, 1000, 0.2, count=1))
    assert eventually(lambda: counts(chain.back.url)["cancelled"] == before + 1)


def test_readiness_tells_the_truth(chain: Chain) -> None:
    """A service with a problem is alive and not ready, says why, and is ready again after it."""
    url, probes = chain.back.url, ("/v2/models/tiny/ready", "/v1/models/tiny", "/v2/health/ready")
    predict(url, {"do": "break", "problem": "test:no release yet"})
    try:
        assert {httpx.get(url + probe).status_code for probe in probes} == {503}
        assert httpx.get(url + probes[0]).json()["error"] == "no release yet"
        response = predict(url, {"do": "echo"})
        assert (response.status_code, response.json()["error"]) == (503, "no release yet")
        assert httpx.get(f"{url}/v2/health/live").json() == {"live": True}
    finally:
        _repair(chain)
    assert {httpx.get(url + probe).status_code for probe in probes} == {200}


def _repair(chain: Chain) -> None:
    """Make the service behind whole again."""
    assert httpx.post(f"{chain.back.url}/openai/v1/repair", json={}).status_code == 200


def test_description_holds_exactly_what_is_open(chain: Chain) -> None:
    """Every path that is described answers, and what kserve has beside them does not."""
    paths = httpx.get(f"{chain.back.url}/openapi.json").json()["paths"]
    for path, operations in paths.items():
        for method in operations:
            assert httpx.request(method, chain.back.url + path, json={}).status_code != 405, path
    closed = ("/v2/repository/models/tiny/unload", "/v2/models/tiny/infer", "/v1/models/tiny:explain", "/docs", "/v2")
    assert {httpx.post(chain.back.url + path, json={}).status_code for path in closed} == {404}
    assert predict(chain.back.url, {"do": "echo"}).status_code == 200


def test_metrics(chain: Chain) -> None:
    """Requests are counted under their route and status; unknown paths do not make new names."""
    predict(chain.front.url, hop({"do": "echo"}))
    httpx.get(f"{chain.front.url}/some/path")
    text = httpx.get(f"{chain.front.url}/metrics").text
    assert f'ragline_requests_total{{route="{PREDICT}",status="200"}}' in text
    assert 'ragline_requests_total{route="other",status="404"}' in text
    assert 'ragline_stage_seconds_count{stage="retrieve"}' in text
    assert "some/path" not in text


def test_one_trace_over_all_hops(chain: Chain) -> None:
    """A caller's trace holds each service's part and each stage, one below the other."""
    trace, parent = os.urandom(16).hex(), os.urandom(8).hex()
    predict(chain.front.url, hop({"do": "echo"}), traceparent=f"00-{trace}-{parent}-01")
    spans = chain.collector.trace(trace, spans=3)
    below = {each.parent: each for each in spans}
    front, stage, back = below[parent], below[below[parent].span_id], below[below[below[parent].span_id].span_id]
    assert [each.name for each in (front, stage, back)] == [f"POST {PREDICT}", "retrieve", f"POST {PREDICT}"]
    assert {each.service for each in spans} == {"tiny"}
    assert chain.collector.headers[-1]["x-key"] == "of-the-collector"


def test_spans_name_failures_and_quote_nothing(chain: Chain) -> None:
    """A span of a failed stage says of which kind the failure was."""
    trace = os.urandom(16).hex()
    failure = {"do": "fail", "with": "service", "status": 429}
    predict(chain.front.url, hop(failure), traceparent=f"00-{trace}-{'a' * 16}-01")
    errors = {(each.name, each.error) for each in chain.collector.trace(trace, spans=3)}
    assert ("retrieve", "RemoteError") in errors


def test_a_caller_that_wants_no_trace(chain: Chain) -> None:
    """What its flags say holds: the ids travel, and nothing is sent to the collector."""
    trace = os.urandom(16).hex()
    reply = predict(chain.front.url, hop({"do": "echo"}), traceparent=f"00-{trace}-{'a' * 16}-00")
    assert reply.json()["predictions"][0]["there"]["traceparent"].startswith(f"00-{trace}-")
    with pytest.raises(AssertionError):
        chain.collector.trace(trace, spans=1, seconds=0.5)


def test_nothing_secret_in_logs(chain: Chain) -> None:
    """Neither tokens nor texts are logged, at any service; what failed is, under the request's id."""
    inner = {"do": "fail", "with": "bug", "text": TEXT}
    predict(chain.front.url, hop(inner), authorization="Bearer of-somebody", x_request_id="secret-1")
    httpx.post(chain.back.url + PREDICT, content=f'{{"{TEXT}'.encode(), headers={"authorization": "Bearer of-somebody"})
    for service in (chain.front, chain.back):
        found = service.log.read_text("utf-8")
        assert [each for each in ("of-somebody", TEXT, "Traceback") if each in found] == []
    lines = [line for line in chain.back.lines() if line.get("request_id") == "secret-1"]
    assert [(line["level"], line["message"]) for line in lines] == [("error", "internal error"), ("info", "request")]
    assert lines[0]["exceptions"][0]["type"] == "ValueError"


def test_probes_are_not_logged(chain: Chain) -> None:
    """What Kubernetes asks every few seconds is no news."""
    httpx.get(f"{chain.back.url}/v2/models/tiny/ready", headers={"x-request-id": "a-probe"})
    assert [line for line in chain.back.lines() if line.get("request_id") == "a-probe"] == []


def test_stop_finishes_what_is_in_flight(tmp_path: Path) -> None:
    """SIGTERM ends a service after its last request, with no new one, and well."""

    async def ask(url: str) -> tuple[int, float]:
        async with httpx.AsyncClient(timeout=30) as client:
            body = {"instances": [{"do": "wait", "seconds": 1.0}]}
            waiting = asyncio.create_task(client.post(url + PREDICT, json=body))
            await asyncio.sleep(0.3)
            os.kill(service.process.pid, signal.SIGTERM)
            await asyncio.sleep(0.4)
            with pytest.raises(httpx.ConnectError):
                await client.get(url)
            return (await waiting).status_code, time.monotonic()

    with running(tmp_path / "log") as service:
        status, answered = asyncio.run(ask(service.url))
        assert (status, service.process.wait(10)) == (200, 0)
        assert time.monotonic() - answered < 3
    assert service.lines()[-1]["message"] == "tiny has stopped"


def test_port_that_is_taken(tmp_path: Path) -> None:
    """A second service on the same port does not start, and says why."""
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with spawned(log, ["--port", str(port)]) as process:
            assert process.wait(60) == 1
    assert f"cannot listen on 127.0.0.1, port {port}: " in log.read_text("utf-8")


def test_log_is_json_from_the_first_line(chain: Chain) -> None:
    """Neither kserve nor uvicorn nor a warning gets between."""
    first = chain.front.lines()[0]
    assert (first["message"].split(",")[0], first["host"]) == ("tiny listens on 127.0.0.1", "127.0.0.1")
    assert json.dumps(first)
