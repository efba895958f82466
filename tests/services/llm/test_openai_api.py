"""OpenAI's API over HTTP, with OpenAI's own client."""

import asyncio
import socket
import statistics
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from ragline.services.llm.chat import ChatRequest
from ragline.services.llm.plans.plan import Message, Sampling
from tests.services.llm.conftest import KEY, Llm
from tests.services.llm.stand_ins import FOUND, wait_until

ANSWER = "Hotels cost at most 150 EUR a night [1]."
QUESTION: Any = [{"role": "user", "content": "What do hotels cost?"}]
CHAT = "/openai/v1/chat/completions"


def client(llm: Llm, key: str = "token-of-the-caller", **options: Any) -> openai.OpenAI:
    """Return OpenAI's client of the service."""
    return openai.OpenAI(base_url=f"{llm.url}/openai/v1", api_key=key, max_retries=0, **options)


def more(part: Any) -> dict[str, Any]:
    """Return what OpenAI's API has no place for."""
    found: dict[str, Any] = (part.model_extra or {}).get("ragline") or {}
    return found


def test_a_completion(llm: Llm) -> None:
    """Text, usage, and in `ragline` what it is worth and where it stands."""
    with client(llm) as ai:
        found = ai.chat.completions.create(model="llm", messages=QUESTION)
    assert (found.choices[0].message.content, found.choices[0].finish_reason) == (ANSWER, "stop")
    assert found.usage is not None
    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.usage.total_tokens) == (50, 9, 59)
    assert more(found)["citations"] == [
        {
            "number": 1,
            "source": "travel.md",
            "section": "Travel > Costs",
            "quote": FOUND.documents[0].text,
            "score": 1.0,
        }
    ]
    assert {name: more(found)[name] for name in ("found", "supported", "release")} == {
        "found": True,
        "supported": True,
        "release": "a" * 16,
    }
    assert len(more(found)["request_id"]) == 16


def test_a_stream(llm: Llm) -> None:
    """Word by word; the last choice has `ragline`, and after it comes the usage where that is wanted."""
    with client(llm) as ai:
        stream = ai.chat.completions.create(
            model="llm", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
        *texts, end, last = stream
    assert [chunk.choices[0].delta.content for chunk in texts] == list(llm.model.words)
    assert [chunk.choices[0].delta.role for chunk in texts] == ["assistant"] + [None] * 8
    assert {chunk.id for chunk in [*texts, end, last]} == {last.id}
    assert (end.choices[0].finish_reason, more(end)["supported"], len(more(end)["citations"])) == ("stop", True, 1)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == 59


def test_an_async_stream(llm: Llm) -> None:
    """Without usage where nobody asks for it."""

    async def run() -> list[ChatCompletionChunk]:
        async with openai.AsyncOpenAI(base_url=f"{llm.url}/openai/v1", api_key="x", max_retries=0) as ai:
            stream = await ai.chat.completions.create(model="llm", messages=QUESTION, stream=True)
            return [chunk async for chunk in stream]

    chunks = asyncio.run(run())
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER
    assert {chunk.usage for chunk in chunks} == {None}


def test_the_raw_stream_is_what_browsers_read(llm: Llm) -> None:
    """Events, each with one line of data, and a last one that says that it is complete."""
    response = httpx.post(f"{llm.url}{CHAT}", json={"messages": QUESTION, "stream": True})
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "no-cache" in response.headers["cache-control"]
    events = response.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all(event.startswith('data: {"id":"chatcmpl-') and "\n" not in event for event in events[:-2])


def test_models(llm: Llm) -> None:
    """There is one, and it is the only one that may be asked."""
    with client(llm) as ai:
        assert [model.id for model in ai.models.list()] == ["llm"]
        assert ai.models.retrieve("llm").owned_by == "ragline"
        with pytest.raises(openai.NotFoundError, match="there is no model 'gpt-4' here: use 'llm'"):
            ai.models.retrieve("gpt-4")
        with pytest.raises(openai.NotFoundError, match="there is no model 'gpt-4' here"):
            ai.chat.completions.create(model="gpt-4", messages=QUESTION)


def test_the_conversation_goes_into_the_prompt_and_the_last_question_is_retrieved(llm: Llm) -> None:
    """With the parameters, for a model and an index."""
    messages: Any = [
        {"role": "system", "content": "Answer like a pirate."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Ahoy!"},
        {"role": "user", "content": [{"type": "text", "text": "What do hotels"}, {"type": "text", "text": "cost?"}]},
    ]
    extra = {"ragline": {"num_docs": 2, "filter": {"kind": "policy"}}, "top_k": 3}
    with client(llm) as ai:
        ai.chat.completions.create(
            model="llm", messages=messages, extra_body=extra, max_completion_tokens=33, temperature=0.5, user="somebody"
        )
    assert llm.store.requests == [
        {
            "instances": [
                {"input": "What do hotels\ncost?", "num_docs": 2, "quotes": False, "filter": {"kind": "policy"}}
            ]
        }
    ]
    prompt = llm.model.requests[-1]
    said = "\n".join(message["content"] for message in prompt["messages"])
    assert [text in said for text in ("like a pirate", "Ahoy!", "What do hotels", "150 EUR")] == [True] * 4
    assert (prompt["max_tokens"], prompt["temperature"]) == (33, 0.5)


def test_identity_travels_with_each_request(llm: Llm) -> None:
    """The caller's token reaches the vector store, never the language model, which has a key of its own."""

    async def run() -> None:
        async with httpx.AsyncClient(base_url=llm.url) as http:
            headers = [{"authorization": f"Bearer t{n}", "x-request-id": f"r{n}"} for n in range(20)]
            answers = [http.post(CHAT, json={"messages": QUESTION}, headers=each) for each in headers]
            ids = [answer.headers["x-request-id"] for answer in await asyncio.gather(*answers)]
            assert ids == [f"r{n}" for n in range(20)]

    asyncio.run(run())
    assert {(h["authorization"], h["x-request-id"]) for h in llm.store.headers} == {
        (f"Bearer t{n}", f"r{n}") for n in range(20)
    }
    assert {h["authorization"] for h in llm.model.headers} == {f"Bearer {KEY}"}
    log = llm.log.read_text("utf-8")
    assert [secret in log for secret in ("Bearer", KEY, "hotels", "150 EUR")] == [False] * 4


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (413, openai.APIStatusError),
        (429, openai.RateLimitError),
        (503, openai.InternalServerError),
        (504, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_of_the_vector_store_keep_their_meaning(
    llm: Llm, status: int, kind: type[openai.APIStatusError], stream: bool
) -> None:
    """In OpenAI's form, before anything was streamed."""
    llm.store.refusal = (status, "as it says")
    with client(llm) as ai, pytest.raises(kind, match="vectorstore: as it says") as caught:
        ai.chat.completions.create(model="llm", messages=QUESTION, stream=stream)
    assert caught.value.status_code == status
    assert caught.value.body is not None


def test_a_failure_amid_the_text_is_an_event_and_the_end(llm: Llm) -> None:
    """The client raises; nothing says that the answer was complete."""
    llm.model.pause, pieces = 0.2, []
    with client(llm, default_headers={"x-request-timeout-ms": "900"}) as ai:
        stream = ai.chat.completions.create(model="llm", messages=QUESTION, stream=True)
        with pytest.raises(openai.APIError):
            pieces += list(stream)
    response = httpx.post(
        f"{llm.url}{CHAT}", json={"messages": QUESTION, "stream": True}, headers={"x-request-timeout-ms": "900"}
    )
    assert response.status_code == 200
    *_, last, after = response.text.split("\n\n")
    assert '"type": "timeout_error"' in last
    assert after == ""


def test_a_late_answer_is_a_504(llm: Llm) -> None:
    """Where nothing was sent yet."""
    llm.model.pause = 0.3
    answer = httpx.post(f"{llm.url}{CHAT}", json={"messages": QUESTION}, headers={"x-request-timeout-ms": "600"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (504, "timeout_error")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, '{"stream": true, "messages": [{"role": "user", "content": "What do hotels cost?"}]}'),
        (CHAT, '{"messages": [{"role": "user", "content": "What do hotels cost?"}]}'),
        ("/v1/models/llm:predict", '{"instances": [{"input": "What do hotels cost?"}]}'),
    ],
)
def test_a_client_that_leaves_stops_its_generation(llm: Llm, path: str, body: str) -> None:
    """At the backend, whether it streams or not."""
    llm.model.pause = 0.5
    address = urlsplit(llm.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        connection.sendall(f"{head}\r\n\r\n{body}".encode())
        wait_until(lambda: bool(llm.model.requests))
    wait_until(lambda: llm.model.cancelled == 1)
    assert len(llm.model.requests) == 1


async def timed(http: httpx.AsyncClient, url: str) -> tuple[float, list[str]]:
    """Return the seconds to the first event of a stream, and all of its lines."""
    began, first, lines = time.perf_counter(), 0.0, []
    async with http.stream("POST", url, json={"messages": QUESTION, "stream": True}, timeout=60) as response:
        async for line in response.aiter_lines():
            first = first or time.perf_counter() - began
            lines.append(line)
    return first, lines


def test_streaming_adds_little_to_the_first_token(llm: Llm) -> None:
    """Less than 10 ms beyond the backend's own, retrieval included, as it is at once here."""

    async def run() -> float:
        async with httpx.AsyncClient() as http:
            ours, theirs = [], []
            for _ in range(20):
                ours.append((await timed(http, f"{llm.url}{CHAT}"))[0])
                theirs.append((await timed(http, f"{llm.model_url}/v1/chat/completions"))[0])
            return statistics.median(ours) - statistics.median(theirs)

    added = asyncio.run(run())
    assert added < 0.02  # half of it is room for a busy machine


def test_two_hundred_streams_at_once_are_complete_and_in_order(llm: Llm) -> None:
    """None loses, doubles or exchanges a word."""
    llm.model.words = [f"word{n} " for n in range(30)]
    llm.model.pause = 0.01
    limits = httpx.Limits(max_connections=200)

    async def run() -> list[tuple[float, list[str]]]:
        async with httpx.AsyncClient(limits=limits) as http:
            return await asyncio.gather(*(timed(http, f"{llm.url}{CHAT}") for _ in range(200)))

    for _, lines in asyncio.run(run()):
        text = "".join(lines)
        assert [text.count(f'"content":"word{n} "') for n in range(30)] == [1] * 30
        assert sorted(range(30), key=lambda n: text.index(f'"content":"word{n} "')) == list(range(30))
        assert lines[-2:] == ["data: [DONE]", ""]


def test_metrics_show_each_stage(llm: Llm) -> None:
    """And the tokens."""
    httpx.post(f"{llm.url}{CHAT}", json={"messages": QUESTION})
    metrics = httpx.get(f"{llm.url}/metrics").text
    stages = ("retrieve", "queue", "prompt", "first_token", "generate", "support")
    assert [f'ragline_stage_seconds_count{{stage="{stage}"}}' in metrics for stage in stages] == [True] * 6
    assert 'ragline_tokens_total{kind="completion"}' in metrics
    assert 'ragline_queue_length{queue="llm"} 0.0' in metrics


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "messages is missing: expected a list of 1 to 500 messages"),
        ({"messages": "hello"}, "messages is a text"),
        ({"messages": []}, "messages is a list of 0"),
        ({"messages": [3]}, r"messages\[0\] is 3: expected an object"),
        ({"messages": [{"content": "x"}]}, r"messages\[0\].role is missing"),
        ({"messages": [{"role": "tool", "content": "x"}]}, r"messages\[0\].role is none of system, developer"),
        ({"messages": [{"role": "user"}]}, r"messages\[0\].content is missing"),
        ({"messages": [{"role": "user", "content": 1}]}, r"messages\[0\].content is 1"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, r"content\[0\].type is not 'text'"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, r"content\[0\].text is missing"),
        ({"messages": [{"role": "user", "content": " "}]}, "the question is empty"),
        ({"messages": [{"role": "system", "content": "x"}]}, "the last turn must be the user's"),
        ({"messages": [*QUESTION, {"role": "assistant", "content": "x"}]}, "the last turn must be the user's"),
        ({"messages": QUESTION, "n": 2}, "n is 2: expected a whole number from 1 to 1"),
        ({"messages": QUESTION, "stream": "yes"}, "stream is a text: expected true or false"),
        ({"messages": QUESTION, "stream_options": {}, "stream": False}, "stream_options is for streams"),
        ({"messages": QUESTION, "stream_options": [], "stream": True}, "stream_options is a list of 0"),
        ({"messages": QUESTION, "max_tokens": 0}, "max_tokens is 0"),
        ({"messages": QUESTION, "max_completion_tokens": 1.5}, "max_completion_tokens is 1.5"),
        ({"messages": QUESTION, "temperature": "hot"}, "temperature is a text: expected a number from 0 to 2"),
        ({"messages": QUESTION, "stop": [1]}, "stop is a list of 1"),
        ({"messages": QUESTION, "model": 3}, "model is 3"),
        ({"messages": QUESTION, "ragline": {"num_docs": 51}}, "ragline.num_docs is 51"),
        ({"messages": QUESTION, "ragline": 1}, "ragline is 1: expected an object"),
    ],
)
def test_a_malformed_request_is_refused(body: Any, message: str) -> None:
    """With one line that names the field."""
    with pytest.raises(Exception, match=message) as caught:
        ChatRequest.of(body)
    assert getattr(caught.value, "status", 0) == 400


def test_what_means_nothing_here_is_ignored() -> None:
    """Clients send many fields, and null for those that they do not set."""
    nulls = dict.fromkeys(["n", "stop", "seed", "top_p", "stream_options", "max_tokens", "model", "ragline"])
    unknown = {"frequency_penalty": "x", "tools": [], "logit_bias": 3, "user": {}, "response_format": None}
    turns = [
        {"role": "assistant", "content": None, "tool_calls": []},
        *QUESTION,
        {"role": "developer", "content": "Be brief."},
    ]
    request = ChatRequest.of({"messages": turns, **nulls, **unknown})
    assert (request.asked.question, request.asked.history) == (
        "What do hotels cost?",
        (Message("system", "Be brief."),),
    )
    assert (request.asked.sampling, request.model, request.stream, request.usage) == (Sampling(), "", False, False)
