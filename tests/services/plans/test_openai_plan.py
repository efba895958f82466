"""The plan `openai` against a server that does every odd thing that servers of this API do."""

import asyncio
import time
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from ragline.errors import ServiceError, SettingError
from ragline.services.edge.caller import Caller
from ragline.services.llm.plans.openai import OpenAi, open_plan
from ragline.services.llm.plans.plan import PlanSettings, Usage
from tests.services.plans.asking import KEPT, answer, caller, run, task, whole
from tests.services.plans.openai_server import OpenAiServer, Stream

TOO_LONG = "This model's maximum context length is 2000 tokens. However, you requested 2345 tokens."


def plan_of(server: OpenAiServer, **settings: Any) -> OpenAi:
    """Return a plan with a server."""
    return open_plan(PlanSettings(**{"url": server.url, "key": "sk-ours", **settings}))


def refusing(body: object, status: int = 400, **headers: str) -> Any:
    """Return a reply that refuses."""

    async def reply(request: web.Request, stream: Stream) -> web.StreamResponse:
        return web.json_response(body, status=status, headers=headers)

    return reply


def sending(*events: object, done: bool = True) -> Any:
    """Return a reply of these events."""

    async def reply(request: web.Request, stream: Stream) -> web.StreamResponse:
        for event in events:
            await stream.send(event)
        return await stream.end(done=done)

    return reply


def said(text: str | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """Return an event with a text."""
    return {"choices": [{"index": 0, "delta": {"content": text, **more}, "finish_reason": finish}]}


def test_answer(openai_server: OpenAiServer) -> None:
    """The words come one by one, with the reason of the end and the server's numbers of tokens."""
    found = whole(plan_of(openai_server))
    assert found.parts == ["Thirty", " days", " [1]."]
    assert (found.finish, found.usage, found.prompts) == (["stop"], Usage(71, 5), [])


def test_request(openai_server: OpenAiServer) -> None:
    """The server gets the messages, the only model it has, and nothing that is left at its default."""
    whole(plan_of(openai_server), task(max_tokens=50))
    [asked] = openai_server.chats
    messages = asked.body.pop("messages")
    assert [message["role"] for message in messages] == ["system", "user"]
    assert KEPT in messages[1]["content"]
    assert asked.body == {
        "model": "big",
        "max_tokens": 50,
        "temperature": 0.0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_whole_answers_are_not_streamed(openai_server: OpenAiServer) -> None:
    """Where nobody reads along, taking an answer apart into events would be work for nothing."""
    body = {
        "choices": [{"message": {"role": "assistant", "content": "It is."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    }
    openai_server.reply = refusing(body, 200)
    found = whole(plan_of(openai_server), replace(task(), whole=True))
    assert (found.parts, found.finish, found.usage) == (["It is."], ["stop"], Usage(7, 3))
    assert not {"stream", "stream_options"} & openai_server.chats[0].body.keys()


def test_sampling(openai_server: OpenAiServer) -> None:
    """What the caller asks for is passed on."""
    whole(plan_of(openai_server), task(temperature=0.7, top_p=0.9, top_k=40, stop=("END",), seed=7))
    body = openai_server.chats[0].body
    assert {name: body[name] for name in ("temperature", "top_p", "top_k", "stop", "seed")} == {
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 40,
        "stop": ["END"],
        "seed": 7,
    }


@pytest.mark.parametrize(("key", "expected"), [("sk-ours", "Bearer sk-ours"), ("", None)])
def test_the_callers_token_stays_here(openai_server: OpenAiServer, key: str, expected: str | None) -> None:
    """The server gets a key of its own or none, never the caller's Authorization, at any of its paths."""
    openai_server.counts = lambda _: {"count": 900, "max_model_len": 2000}
    whole(plan_of(openai_server, key=key), task("How long?", *[KEPT * 20] * 8))
    assert {"/v1/models", "/v1/chat/completions", "/tokenize"} <= {each.path for each in openai_server.asked}
    assert {each.headers.get("authorization") for each in openai_server.asked} == {expected}
    assert "of-the-caller" not in str([each.headers for each in openai_server.asked])
    assert openai_server.chats[0].headers["x-request-id"] == "r1"


def test_reasoning_is_no_answer(openai_server: OpenAiServer) -> None:
    """What a model thinks, in a field of its own or in marks, is left out."""
    openai_server.reply = sending(
        said(None, reasoning_content="Hm."), said("", reasoning="Hm?"), said("<think>H"), said("m</think>\n\nIt is."),
        said(None, "stop"),
    )  # fmt: skip
    assert whole(plan_of(openai_server)).parts == ["It is."]


@pytest.mark.parametrize(
    ("told", "finish"), [("length", "length"), ("stop", "stop"), ("eos", "stop"), ("content_filter", "stop")]
)
def test_finish(openai_server: OpenAiServer, told: str, finish: str) -> None:
    """The reason why the text ends; tokens are estimated where the server does not count them."""
    openai_server.reply = sending(said("It is"), said(None, told))
    found = whole(plan_of(openai_server))
    assert found.finish == [finish]
    assert found.usage is not None
    assert found.usage.completion_tokens == 2
    assert found.usage.prompt_tokens > 100


def test_stop_text(openai_server: OpenAiServer) -> None:
    """A stop text that the server lets through ends the answer."""
    openai_server.reply = sending(said("It is. EN"), said("D more"), said(None, "length"))
    found = whole(plan_of(openai_server), task(stop=("END",)))
    assert (found.text, found.finish) == ("It is. ", ["stop"])


def test_server_that_does_not_stream(openai_server: OpenAiServer) -> None:
    """A whole answer in JSON is understood."""
    body = {
        "choices": [{"message": {"role": "assistant", "content": "It is."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    }
    openai_server.reply = refusing(body, 200)
    found = whole(plan_of(openai_server))
    assert (found.parts, found.finish, found.usage) == (["It is."], ["stop"], Usage(7, 3))


def test_done_without_a_reason(openai_server: OpenAiServer) -> None:
    """An answer that the server calls done is."""
    openai_server.reply = sending(said("It is."))
    assert whole(plan_of(openai_server)).finish == ["stop"]


def test_bytes_in_any_pieces(openai_server: OpenAiServer) -> None:
    """Comments, other line ends, events over several lines and characters cut in two are read."""

    async def reply(request: web.Request, stream: Stream) -> web.StreamResponse:
        await stream.start()
        whole_text = (
            ': waiting\r\n\r\ndata: {"choices": [{"delta":\r\ndata:  {"content": "größe 漢"}}]}\r\n\r\n'
            'event: x\nid: 1\ndata:{"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]'
        )
        for byte in whole_text.encode():
            await stream.response.write(bytes([byte]))
        return await stream.end(done=False)

    openai_server.reply = reply
    assert whole(plan_of(openai_server)).text == "größe 漢"


@pytest.mark.parametrize(
    ("events", "status", "message"),
    [
        ([{"error": {"message": "CUDA out of memory", "code": 500}}], 503, "language model: CUDA out of memory"),
        ([said("It"), {"error": {"message": "overloaded", "code": 429}}], 429, "language model: overloaded"),
        ([said("It"), {"error": "gone"}], 503, "language model: gone"),
        ([said("It"), "not json"], 503, "no event of OpenAI's API: 'not json'"),
        ([said("It"), "[1]"], 503, "no event of OpenAI's API"),
        ([said("It")], 503, "ended amid the answer"),
    ],
)
def test_errors_in_a_stream(openai_server: OpenAiServer, events: list[Any], status: int, message: str) -> None:
    """An error under a status of 200 is an error, whether it comes first or amid the text."""
    openai_server.reply = sending(*events, done=False)
    with pytest.raises(ServiceError, match=message) as failure:
        whole(plan_of(openai_server))
    assert failure.value.status == status


def test_error_in_a_body_of_status_200(openai_server: OpenAiServer) -> None:
    """The body is read before the status is believed."""
    openai_server.reply = refusing({"error": {"message": "no engine", "type": "server_error"}}, 200)
    with pytest.raises(ServiceError, match="language model: no engine"):
        whole(plan_of(openai_server))


@pytest.mark.parametrize(
    ("status", "seen", "message"),
    [
        (400, 400, "bad seed"),
        (401, 503, "refuses this service's key: set RAGLINE_LLM_API_KEY"),
        (403, 503, "refuses this service's key"),
        (404, 503, "check --llm-url and --llm-model"),
        (429, 429, "bad seed"),
        (500, 502, "bad seed"),
        (503, 503, "bad seed"),
    ],
)
def test_statuses(openai_server: OpenAiServer, status: int, seen: int, message: str) -> None:
    """What the caller can do something about keeps its status; what our key or URL is to blame for does not."""
    openai_server.reply = refusing({"error": {"message": "bad seed"}}, status, **{"Retry-After": "3"})
    with pytest.raises(ServiceError, match=message) as failure:
        whole(plan_of(openai_server))
    assert failure.value.status == seen
    assert failure.value.retry_after == (3 if seen in {400, 429, 502} or status == 503 else 0)


def test_connection_cut(openai_server: OpenAiServer) -> None:
    """A connection that breaks amid the text is an error, after the text that came."""

    async def reply(request: web.Request, stream: Stream) -> web.StreamResponse:
        await stream.say("It ", "is ")
        assert request.transport is not None
        request.transport.abort()
        return stream.response

    openai_server.reply = reply
    plan = plan_of(openai_server)
    texts = []

    async def cut() -> None:
        async with aclosing(plan.answer(plan.prepare(task()), caller())) as pieces:
            async for piece in pieces:
                texts.append(piece.text)  # noqa: PERF401 - the pieces before the error are what is looked at

    with pytest.raises(ServiceError, match="closed the connection") as failure:
        run(plan, cut)
    assert (texts, failure.value.status) == (["It ", "is "], 503)


def test_slow_first_token(openai_server: OpenAiServer) -> None:
    """A server that takes its time is waited for, until the caller's own time is over: 504."""

    async def reply(request: web.Request, stream: Stream) -> web.StreamResponse:
        await stream.start()
        await asyncio.sleep(0.6)
        await stream.say("It is.", finish="stop")
        return await stream.end()

    openai_server.reply = reply
    assert whole(plan_of(openai_server)).text == "It is."
    began = time.monotonic()
    with pytest.raises(ServiceError, match="did not answer within") as failure:
        whole(plan_of(openai_server), who=Caller.from_headers({"x-request-timeout-ms": "200"}))
    assert failure.value.status == 504
    assert time.monotonic() - began < 0.6
    assert openai_server.left.wait(5)


def test_leaving_stops_the_server(openai_server: OpenAiServer) -> None:
    """Closing an answer closes its connection, which the server sees at once."""

    async def reply(request: web.Request, stream: Stream) -> web.StreamResponse:
        while True:
            await stream.say("word ")
            await asyncio.sleep(0.01)

    openai_server.reply = reply
    plan = plan_of(openai_server)

    async def leave() -> None:
        async with aclosing(plan.answer(plan.prepare(task()), caller())) as pieces:
            async for _ in pieces:
                break
        assert await asyncio.to_thread(openai_server.left.wait, 2)

    run(plan, leave)


def test_cancelled_while_waiting(openai_server: OpenAiServer) -> None:
    """A task that is cancelled before the first token closes the connection too."""

    async def reply(request: web.Request, stream: Stream) -> web.StreamResponse:
        await asyncio.sleep(20)
        return await stream.end()

    openai_server.reply = reply
    plan = plan_of(openai_server)

    async def cancel() -> None:
        waiting = asyncio.create_task(answer(plan, task()))
        while not openai_server.chats:
            await asyncio.sleep(0.01)
        waiting.cancel()
        assert await asyncio.to_thread(openai_server.left.wait, 2)

    run(plan, cancel)


def test_streams_stay_apart(openai_server: OpenAiServer) -> None:
    """Many answers at once are complete and in order, each its own."""

    async def reply(request: web.Request, stream: Stream) -> web.StreamResponse:
        number = (await request.json())["messages"][1]["content"].rpartition("number ")[2]
        for part in range(20):
            await stream.say(f"{number}.{part} ")
            await asyncio.sleep(0)
        await stream.say(finish="stop")
        return await stream.end()

    openai_server.reply = reply
    plan = plan_of(openai_server, connections=200)

    async def many() -> list[str]:
        found = await asyncio.gather(*(answer(plan, task(f"number {number}")) for number in range(100)))
        return [each.text for each in found]

    expected = ["".join(f"{number}.{part} " for part in range(20)) for number in range(100)]
    assert run(plan, many) == expected


def test_too_long_for_the_server(openai_server: OpenAiServer) -> None:
    """A prompt that the server finds too long is tried once more with half of the passages, and the caller told."""

    async def reply(request: web.Request, stream: Stream) -> web.StreamResponse:
        if (await request.json())["messages"][1]["content"].count("<passage") > 2:
            return web.json_response({"error": {"message": TOO_LONG, "code": 400}}, status=400)
        await stream.say("It is.", finish="stop")
        return await stream.end()

    openai_server.reply = reply
    found = whole(plan_of(openai_server), task("How long?", *[KEPT] * 4))
    assert found.text == "It is."
    assert [shown.document for shown in found.prompts[0].passages] == [0, 1]
    assert found.pieces[0].prompt is found.prompts[0]
    assert len(openai_server.chats) == 2


@pytest.mark.parametrize(
    "message", [TOO_LONG, "request (3031 tokens) exceeds the available context size (2048 tokens)"]
)
def test_too_long_twice(openai_server: OpenAiServer, message: str) -> None:
    """The second refusal is the caller's: 413, with the server's figures."""
    openai_server.reply = refusing({"error": {"message": message, "code": 400}})
    with pytest.raises(ServiceError, match="tokens") as failure:
        whole(plan_of(openai_server), task("How long?", *[KEPT] * 4))
    assert failure.value.status == 413
    assert len(openai_server.chats) == 2


@pytest.mark.parametrize(
    "counted", [lambda tokens: {"count": tokens, "max_model_len": 2000}, lambda tokens: {"tokens": [7] * tokens}]
)
def test_server_that_counts(openai_server: OpenAiServer, counted: Any) -> None:
    """Where the estimate left passages out and the server counts fewer tokens, it gets them after all."""
    openai_server.counts = lambda body: counted(len(body["content"]) // 6)
    plan = plan_of(openai_server)
    asked = task("How long?", *[f"{number}. {KEPT * 12}" for number in range(9)])
    found = whole(plan, asked)
    estimated = plan.prepare(asked)
    assert len(estimated.passages) < len(found.prompts[0].passages)
    assert openai_server.chats[0].body["messages"][1]["content"].count("</passage>") == len(found.prompts[0].passages)
    # Nothing is counted where nothing was left out.
    before = len(openai_server.asked)
    whole(plan, task())
    assert "/tokenize" not in [each.path for each in openai_server.asked[before:]]


def test_server_that_does_not_count(openai_server: OpenAiServer) -> None:
    """It is asked once, and the estimate stands."""
    plan = plan_of(openai_server)
    asked = task("How long?", *[KEPT * 12] * 9)

    async def twice() -> None:
        await plan.check()
        for _ in range(2):
            assert (await answer(plan, asked)).prompts == []

    run(plan, twice)
    assert [each.path for each in openai_server.asked].count("/tokenize") == 1


@pytest.mark.parametrize(
    ("models", "wanted", "problem"),
    [
        ([{"id": "big"}], "", None),
        ([{"id": "big"}, {"id": "small"}], "small", None),
        (None, "small", None),
        ([{"id": "big"}], "small", "has no model 'small': set --llm-model to one of big"),
        ([{"id": "big"}, {"id": "small"}], "", "several models, or none: set --llm-model to one of big, small"),
        ([], "", "several models, or none"),
        (None, "", "check --llm-url"),
        ([7], "", "is no server of OpenAI's API"),
    ],
)
def test_check(openai_server: OpenAiServer, models: Any, wanted: str, problem: str | None) -> None:
    """The model is found in the server's list, and a wrong one is named with those that there are."""
    openai_server.models = models
    plan = plan_of(openai_server, model=wanted)
    if problem is None:
        run(plan, plan.check)
        return
    with pytest.raises(ServiceError, match=problem) as failure:
        run(plan, plan.check)
    assert failure.value.status == 503


def test_context_is_the_servers(openai_server: OpenAiServer) -> None:
    """The length of the context is what the server tells, unless the operator says another."""
    for settings, longest in (({}, 1000), ({"context_tokens": 600}, 300), ({"longest_answer": 200}, 200)):
        plan = plan_of(openai_server, **settings)
        run(plan, plan.check)
        assert plan.prepare(task(max_tokens=9000)).max_tokens == longest


def test_newer_name_of_the_limit(openai_server: OpenAiServer) -> None:
    """A server that wants `max_completion_tokens` gets it, from the second request on."""

    async def reply(request: web.Request, stream: Stream) -> web.StreamResponse:
        if "max_tokens" in await request.json():
            message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return web.json_response({"error": {"message": message}}, status=400)
        await stream.say("It is.", finish="stop")
        return await stream.end()

    openai_server.reply = reply
    plan = plan_of(openai_server)

    async def twice() -> list[str]:
        return [(await answer(plan, task())).text for _ in range(2)]

    assert run(plan, twice) == ["It is.", "It is."]
    assert ["max_tokens" in each.body for each in openai_server.chats] == [True, False, False]


def test_nobody_there() -> None:
    """A server that is not there is told with its URL: 503."""
    plan = open_plan(PlanSettings(url="http://127.0.0.1:9"))
    with pytest.raises(ServiceError, match=r"language model at http://127.0.0.1:9/v1 cannot be reached") as failure:
        run(plan, plan.check)
    assert failure.value.status == 503


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "--llm-url is ''"),
        ("localhost:8000", "--llm-url is 'localhost:8000'"),
        ("http://me:secret@host/v1", "holds credentials"),
    ],
)
def test_malformed_url(url: str, message: str) -> None:
    """A URL that cannot be meant is refused at the start; credentials are not repeated."""
    with pytest.raises(SettingError, match=message) as refusal:
        open_plan(PlanSettings(url=url))
    assert "secret" not in str(refusal.value)
