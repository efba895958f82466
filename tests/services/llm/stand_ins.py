"""What the llm service talks to in its tests: a vector store and a language model, as plans or over HTTP."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from ragline.errors import ServiceError
from ragline.services.edge.caller import Caller
from ragline.services.llm.asked import Asked
from ragline.services.llm.plans.plan import Piece, Prompt, Shown, Task, Usage
from ragline.services.llm.retrieved import Document, Quote, Retrieved

HOTELS = Document("d1", "Hotels cost at most 150 EUR a night. Meals cost 40 EUR a day.", "travel.md", "Travel", "Costs")
TRAINS = Document("d2", "Trains are booked by the office. Taxis are not refunded.", "trains.md", "Travel", "Trains")
FOUND = Retrieved(
    True,
    (HOTELS, TRAINS),
    (Quote("travel.md", "Travel › Costs", "Hotels cost at most 150 EUR a night.", 0.9),),
    release="a" * 16,
    model="b" * 64,
    relevance=0.8,
    timings={"embed": 1.0},
)


@dataclass
class ScriptedStore:
    """Gives what it was told to; remembers what it was asked."""

    found: Retrieved = FOUND
    failure: ServiceError | None = None
    asked: list[tuple[Asked, Caller, bool]] = field(default_factory=list)

    async def find(self, asked: Asked, caller: Caller, *, quotes: bool) -> Retrieved:
        """Return what was found, or fail."""
        self.asked.append((asked, caller, quotes))
        await asyncio.sleep(0)
        if self.failure:
            raise self.failure
        return self.found


@dataclass
class ScriptedPlan:
    """Says its pieces; remembers its tasks, how many answers were under way at once, and which were cancelled."""

    pieces: Sequence[str | Exception] = ("Hotels cost at most ", "150 EUR a night [1].")
    pause: float = 0.0
    first_pause: float = 0.0
    name: str = "scripted"
    needs_quotes: bool = False
    quoted: bool = False
    finish: str = "stop"
    tasks: list[Task] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    cancelled: int = 0

    async def check(self) -> None:
        """Be ready."""

    async def close(self) -> None:
        """Have nothing to close."""

    def prepare(self, task: Task) -> Prompt:
        """Give all documents, and ten tokens for each."""
        shown = tuple(Shown(index, document.text) for index, document in enumerate(task.retrieved.documents))
        return Prompt(task, shown, tokens=10 * len(shown))

    async def answer(self, prompt: Prompt, caller: Caller) -> AsyncGenerator[Piece, None]:
        """Say the pieces."""
        self.tasks.append(prompt.task)
        self.callers.append(caller)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        complete = False
        try:
            await asyncio.sleep(self.first_pause)
            for piece in self.pieces:
                if isinstance(piece, Exception):
                    complete = True
                    raise piece
                yield Piece(piece)
                await asyncio.sleep(self.pause)
            complete = True
            yield Piece(finish=self.finish, usage=Usage(prompt.tokens, len(self.pieces)))  # type: ignore[arg-type]
        finally:
            self.running -= 1
            self.cancelled += not complete


@asynccontextmanager
async def _site(app: web.Application, port: int) -> AsyncIterator[str]:
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@contextmanager
def http_server(make: Callable[[], web.Application], port: int = 0) -> Iterator[str]:
    """Serve an aiohttp application on a port, by default a free one, in a thread; give its URL."""
    ready: list[str] = []
    started, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        async with _site(make(), port) as url:
            ready.append(url)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


@dataclass
class StoreServer:
    """A vector store over HTTP that speaks the contract: finds the same for every question."""

    found: Retrieved = FOUND
    refusal: tuple[int, str] | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def application(self) -> web.Application:
        """Return the routes."""
        app = web.Application()
        app.router.add_post("/v1/models/vectorstore:predict", self._predict)
        app.router.add_get("/v1/models/vectorstore", self._ready)
        return app

    async def _ready(self, _: web.Request) -> web.Response:
        return web.json_response({"name": "vectorstore", "ready": True})

    async def _predict(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.requests.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if self.refusal:
            return web.json_response({"error": self.refusal[1]}, status=self.refusal[0])
        return web.json_response({"predictions": [prediction_of(self.found) for _ in body["instances"]]})


def prediction_of(found: Retrieved) -> dict[str, Any]:
    """Return what the vector store writes."""
    documents = [
        {name: getattr(d, name) for name in ("id", "text", "source", "title", "section", "score")}
        | {"start": 0, "end": len(d.text), "similarity": 0.5}
        for d in found.documents
    ]
    quotes = [{name: getattr(q, name) for name in ("source", "section", "quote", "score")} for q in found.quotes]
    return {
        "found": found.found,
        "relevance": found.relevance,
        "documents": documents,
        "quotes": quotes,
        "release": found.release,
        "model": found.model,
        "timings": dict(found.timings),
    }


@dataclass
class ModelServer:
    """An OpenAI-compatible server over HTTP that says the same words to everybody, at its own pace."""

    words: Sequence[str] = ("Hotels ", "cost ", "at ", "most ", "150 ", "EUR ", "a ", "night ", "[1].")
    pause: float = 0.0
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    cancelled: int = 0

    def application(self) -> web.Application:
        """Return the routes."""
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        return app

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response(
            {"object": "list", "data": [{"id": "words", "object": "model", "max_model_len": 4096}]}
        )

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        complete = False
        try:
            for word in self.words:
                await response.write(_event({"index": 0, "delta": {"content": word}, "finish_reason": None}))
                await asyncio.sleep(self.pause)
            await response.write(_event({"index": 0, "delta": {}, "finish_reason": "stop"}))
            usage = {"prompt_tokens": 50, "completion_tokens": len(self.words), "total_tokens": 50 + len(self.words)}
            await response.write(f"data: {json.dumps({'choices': [], 'usage': usage})}\n\ndata: [DONE]\n\n".encode())
            complete = True
        finally:
            self.cancelled += not complete
        return response


def _event(choice: dict[str, Any]) -> bytes:
    return f"data: {json.dumps({'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n".encode()


def wait_until(condition: Callable[[], bool], seconds: float = 3.0) -> None:
    """Wait for something to happen, not longer than is fair."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
