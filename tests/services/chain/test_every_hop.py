"""One request through every hop: identity, deadline, trace and meaning of failures, seen between the services."""

import json
import struct
import time
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.services.chain.conftest import Watched
from tests.services.chain.corpus import QUESTIONS
from tests.services.chain.local_chain import ANSWER, CHAT, Reply, ask, chat, events, instance
from tests.services.chain.recording_proxy import RecordingProxy, Refused, Seen

pytestmark = pytest.mark.slow

_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_PARENT = "00f067aa0ba902b7"


def _texts(seen: Seen) -> list[str]:
    """Return the texts of a request to Triton: a binary tensor behind a JSON header."""
    tensor = seen.body[int(seen.headers["inference-header-content-length"]) :]
    texts = []
    while tensor:
        (size,) = struct.unpack_from("<I", tensor)
        texts.append(tensor[4 : 4 + size].decode())
        tensor = tensor[4 + size :]
    return texts


def _posted(proxy: RecordingProxy) -> list[Seen]:
    return [seen for seen in proxy.seen if seen.path.endswith((":predict", "/infer", "/chat/completions"))]


def test_tokens_of_two_users_never_mix(watched: Watched) -> None:
    """In 120 requests at once of two users no hop sees a question with another's token, and each gets its answer."""
    requests = [
        (f"Bearer {user}-secret", f"{QUESTIONS[number % len(QUESTIONS)]} asks {user} {number}")
        for number in range(60)
        for user in ("alice", "bob")
    ]

    def ask_as(request: tuple[str, str]) -> Reply:
        token, question = request
        return ask(watched.chain.url("llm") + ANSWER, instance(question), {"Authorization": token})

    with ThreadPoolExecutor(24) as pool:
        replies = list(pool.map(ask_as, requests))
    assert [reply.status for reply in replies] == [200] * len(requests)
    tokens_at_store = {seen.body: seen.headers["authorization"] for seen in _posted(watched.to_store)}
    for token, question in requests:
        assert {found for body, found in tokens_at_store.items() if f'{question}"'.encode() in body} == {token}
    seen_at_embedder: defaultdict[str, set[str]] = defaultdict(set)
    for seen in _posted(watched.to_embedder):
        seen_at_embedder[seen.headers["authorization"]] |= set(_texts(seen))
    for token, question in requests:
        assert [other for other, texts in seen_at_embedder.items() if question in texts] == [token]


def test_a_language_model_that_is_not_ours_gets_no_token_of_a_caller(watched: Watched) -> None:
    """The caller's Authorization ends at the chain; the request's id goes on."""
    headers = {"Authorization": "Bearer alice-secret", "x-request-id": "request-7"}
    assert ask(watched.chain.url("generator") + ANSWER, instance(QUESTIONS[0]), headers).status == 200
    (seen,) = _posted(watched.to_backend)
    assert "alice-secret" not in json.dumps(dict(seen.headers))
    assert seen.headers["x-request-id"] == "request-7"


def test_one_request_id_goes_through_every_hop_and_back(watched: Watched) -> None:
    """The id that the caller gave, or one that the first service made, is at each hop and in the answer."""
    given = ask(watched.chain.url("llm") + ANSWER, instance(QUESTIONS[0]), {"x-request-id": "request-8"})
    made = ask(watched.chain.url("llm") + ANSWER, instance(QUESTIONS[0]))
    ids = [reply.headers["x-request-id"] for reply in (given, made)]
    assert ids[0] == "request-8"
    assert [seen.headers["x-request-id"] for seen in _posted(watched.to_store)] == ids
    assert {seen.headers["x-request-id"] for seen in _posted(watched.to_embedder)} == set(ids)


def test_each_hop_has_less_time_than_the_one_before(watched: Watched) -> None:
    """The caller's deadline is passed on, shorter at each hop."""
    headers = {"x-request-timeout-ms": "5000"}
    assert ask(watched.chain.url("generator") + ANSWER, instance(QUESTIONS[0]), headers).status == 200
    (store,) = _posted(watched.to_store)
    (model,) = _posted(watched.to_backend)
    left = int(store.headers["x-request-timeout-ms"])
    assert 0 < int(model.headers["x-request-timeout-ms"]) < left < 5000


@pytest.mark.parametrize("hop", ["to_store", "to_embedder", "to_backend"])
def test_a_slow_hop_ends_in_time_with_504(watched: Watched, hop: str) -> None:
    """Whichever hop is slow, the caller gets 504 about when its time is over, with the request's id."""
    getattr(watched, hop).delay = 5.0
    begun = time.monotonic()
    reply = ask(watched.chain.url("generator") + ANSWER, instance(QUESTIONS[0]), {"x-request-timeout-ms": "1000"})
    taken = time.monotonic() - begun
    assert (reply.status, reply.json["request_id"]) == (504, reply.headers["x-request-id"])
    assert 0.5 < taken < 2.0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 503, 504])
@pytest.mark.parametrize("path", [ANSWER, CHAT], ids=["v1", "openai"])
def test_a_failure_keeps_its_meaning(watched: Watched, status: int, path: str) -> None:
    """What the vector store refuses comes to the caller with its status, its words and its Retry-After."""
    body = json.dumps({"error": "no, and this is why", "request_id": "x"}).encode()
    watched.to_store.refused = Refused(status, body, {"Content-Type": "application/json", "Retry-After": "7"})
    asked = instance(QUESTIONS[0]) if path == ANSWER else chat(QUESTIONS[0])
    reply = ask(watched.chain.url("llm") + path, asked)
    message = reply.json["error"] if path == ANSWER else reply.json["error"]["message"]
    assert (reply.status, "no, and this is why" in message) == (status, True)
    assert status not in (429, 503) or reply.headers["retry-after"] == "7"


def test_a_failure_of_the_embedder_comes_through_two_hops(watched: Watched) -> None:
    """401 of the embedder is 401 of the chain; a status without a meaning here becomes 502 or 503, never 500."""
    for status, expected in ((401, {401}), (403, {403}), (429, {429}), (418, {502, 503}), (500, {502, 503})):
        watched.to_embedder.refused = Refused(status, b'{"error": "not now"}', {"Content-Type": "application/json"})
        reply = ask(watched.chain.url("llm") + ANSWER, instance(QUESTIONS[0]))
        assert reply.status in expected, reply
        assert "not now" in reply.json["error"]


def test_a_bad_filter_is_the_callers_mistake(watched: Watched) -> None:
    """What only the vector store can judge comes back as 400."""
    reply = ask(watched.chain.url("llm") + ANSWER, instance(QUESTIONS[0], filter={"$nor": [1]}))
    assert (reply.status, "filter" in reply.json["error"]) == (400, True)


def test_one_trace_over_all_hops(watched: Watched) -> None:
    """Spans of both services belong to the caller's trace, each below another one of it, and every hop is told."""
    headers = {"traceparent": f"00-{_TRACE}-{_PARENT}-01"}
    reply = ask(watched.chain.url("generator") + CHAT, chat(QUESTIONS[0], stream=True), headers)
    assert events(reply)
    spans = _spans(watched, {"vectorstore", "llm"})
    known = {span["span"] for span in spans} | {_PARENT}
    assert [span for span in spans if span["parent"] not in known] == []
    assert {"embed", "search", "retrieve", "prompt"} <= {span["name"] for span in spans}
    for proxy in (watched.to_store, watched.to_embedder, watched.to_backend):
        assert _TRACE in {seen.headers["traceparent"].split("-")[1] for seen in _posted(proxy)}


def _spans(watched: Watched, services: set[str], seconds: float = 15.0) -> list[dict[str, Any]]:
    """Return what the collector got of the trace, once the last spans of these services have come."""
    end = time.monotonic() + seconds
    while True:
        spans = [span for span in _read_spans(watched.spans.seen) if span["trace"] == _TRACE]
        if {span["service"] for span in spans if span["parent"] == _PARENT or span["name"] == "search"} >= services:
            return spans
        assert time.monotonic() < end, spans
        time.sleep(0.1)


def _read_spans(requests: Iterable[Seen]) -> Iterable[dict[str, Any]]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    for seen in requests:
        assert seen.path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(_unpacked(seen)).resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    yield {
                        "service": names["service.name"].removeprefix("ragline-"),
                        "name": span.name,
                        "trace": span.trace_id.hex(),
                        "span": span.span_id.hex(),
                        "parent": span.parent_span_id.hex(),
                    }


def _unpacked(seen: Seen) -> bytes:
    import gzip

    return gzip.decompress(seen.body) if seen.headers.get("content-encoding") == "gzip" else seen.body
