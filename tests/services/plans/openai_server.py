"""A server of OpenAI's API in a thread: each test says how it answers, and sees what it was asked."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

Reply = Callable[[web.Request, "Stream"], Awaitable[web.StreamResponse]]


@dataclass
class Asked:
    """One request that came."""

    path: str
    headers: dict[str, str]
    body: Any


class Stream:
    """Writes the events of a response."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.response = web.StreamResponse(headers={"content-type": "text/event-stream"})

    async def start(self) -> None:
        """Send the headers."""
        if not self.response.prepared:
            await self.response.prepare(self._request)

    async def send(self, event: object) -> None:
        """Send an event: JSON, or a text as it is."""
        await self.start()
        data = event if isinstance(event, str) else json.dumps(event)
        await self.response.write(f"data: {data}\n\n".encode())

    async def say(self, *words: str, finish: str | None = None) -> None:
        """Send words, each in an event, and the reason why the last one is the last."""
        for word in words:
            await self.send({"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]})
        if finish:
            await self.send({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})

    async def end(self, *, done: bool = True) -> web.StreamResponse:
        """End the response, with or without [DONE]."""
        if done:
            await self.send("[DONE]")
        await self.start()
        await self.response.write_eof()
        return self.response


async def hello(_: web.Request, stream: Stream) -> web.StreamResponse:
    """Answer as a good server does, with the numbers of tokens."""
    await stream.send({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
    await stream.say("Thirty", " days", " [1].", finish="stop")
    await stream.send({"choices": [], "usage": {"prompt_tokens": 71, "completion_tokens": 5, "total_tokens": 76}})
    return await stream.end()


@dataclass
class OpenAiServer:
    """A running server; a context manager that stops it.

    Attributes:
        reply: to /v1/chat/completions.
        models: of /v1/models; None for a server that has no list.
        counts: answer to /tokenize; None for a server that does not count.
        others: answers to other paths: a status and JSON, or a list of events.
        asked: what came, in order.
        left: set when a client has gone before its answer had ended.
    """

    reply: Reply = hello
    models: list[dict[str, Any]] | None = field(default_factory=lambda: [{"id": "big", "max_model_len": 2000}])
    counts: Callable[[Any], object] | None = None
    others: dict[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    @property
    def chats(self) -> list[Asked]:
        """The requests for an answer."""
        return [each for each in self.asked if each.path.endswith("/chat/completions")]

    def __enter__(self) -> Self:
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self, started: threading.Event) -> None:
        self._loop.run_until_complete(self._serve(started))
        self._loop.close()

    async def _serve(self, started: threading.Event) -> None:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.5)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        self._stop = asyncio.Event()
        started.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        self.asked.append(Asked(request.path, {key.lower(): value for key, value in request.headers.items()}, body))
        if request.path == "/v1/models" and self.models is not None:
            return web.json_response({"object": "list", "data": self.models})
        if request.path == "/tokenize" and self.counts is not None:
            return web.json_response(self.counts(body))
        if request.path in self.others:
            return await self._other(request, self.others[request.path])
        if request.path != "/v1/chat/completions":
            return web.json_response({"detail": "Not Found"}, status=404)
        try:
            return await self.reply(request, Stream(request))
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise

    async def _other(self, request: web.Request, told: Any) -> web.StreamResponse:
        if isinstance(told, tuple):
            status, body = told
            return web.json_response(body, status=status)
        stream = Stream(request)
        for event in told:
            await stream.send(event)
        return await stream.end(done=False)
