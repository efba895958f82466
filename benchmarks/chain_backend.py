"""A stand-in for a language model's server: OpenAI's chat completions, with the speed that a measurement asks for.

    python -m benchmarks.chain_backend --port 9000

It generates numbered words that carry the tag of the question ("tag-17" gives "tag-17/0 tag-17/1 ..."), so that mixed,
lost or reordered pieces show. `PUT /speed` sets how fast, `GET /stats` tells what was asked and who left. Times are
seconds of the system's monotonic clock, which other processes on the machine share.
"""

import argparse
import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from typing import Any

from aiohttp import web

MODEL = "stand-in"
_TAG = re.compile(r"tag-\w+")


@dataclass
class Speed:
    """How long the first word and each further one take, and how many there are."""

    first_ms: float = 0.0
    word_ms: float = 0.0
    words: int = 32


@dataclass
class Stats:
    """What happened since the last change of speed.

    Attributes:
        begun: generations asked for.
        finished: those that came to their end.
        left: those whose client went away: tag, words made until then, and when it was noticed.
        authorizations: the Authorization headers that came.
    """

    begun: int = 0
    finished: int = 0
    left: list[dict[str, Any]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)


def expected(tag: str, words: int) -> str:
    """Return the whole text that a question with this tag gets."""
    return "".join(f"{tag}/{number} " for number in range(words))


class Backend:
    """The routes, and what they have counted."""

    def __init__(self) -> None:
        self.speed = Speed()
        self.stats = Stats()

    def application(self) -> web.Application:
        """Return the application that serves them."""
        app = web.Application(client_max_size=1 << 24)
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/v1/models", self._models),
                web.post("/v1/chat/completions", self._complete),
                web.put("/speed", self._set_speed),
                web.get("/stats", self._get_stats),
            ]
        )
        return app

    async def _health(self, request: web.Request) -> web.Response:  # noqa: ARG002  the form of a handler
        return web.json_response({"status": "ok"})

    async def _models(self, request: web.Request) -> web.Response:  # noqa: ARG002  the form of a handler
        return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    async def _set_speed(self, request: web.Request) -> web.Response:
        self.speed, self.stats = Speed(**await request.json()), Stats()
        return web.json_response(asdict(self.speed))

    async def _get_stats(self, request: web.Request) -> web.Response:  # noqa: ARG002  the form of a handler
        return web.json_response(asdict(self.stats))

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        found = _TAG.findall(json.dumps(body["messages"][-1]))
        tag = found[-1] if found else "tag-none"
        self.stats.begun += 1
        self.stats.authorizations.append(request.headers.get("Authorization", ""))
        made = [0]
        try:
            response = await (self._stream if body.get("stream") else self._whole)(request, body, tag, made)
        except (asyncio.CancelledError, ConnectionResetError):
            self.stats.left.append({"tag": tag, "words": made[0], "at": time.monotonic()})
            raise
        self.stats.finished += 1
        return response

    async def _words(self, tag: str, made: list[int]) -> AsyncIterator[str]:
        speed = self.speed
        await asyncio.sleep(speed.first_ms / 1000)
        for number in range(speed.words):
            if number and speed.word_ms:
                await asyncio.sleep(speed.word_ms / 1000)
            made[0] += 1
            yield f"{tag}/{number} "

    async def _whole(self, request: web.Request, body: dict[str, Any], tag: str, made: list[int]) -> web.Response:  # noqa: ARG002  as _stream
        text = "".join([word async for word in self._words(tag, made)])
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return web.json_response({**_head("chat.completion"), "choices": [choice], "usage": _usage(made[0])})

    async def _stream(
        self, request: web.Request, body: dict[str, Any], tag: str, made: list[int]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        async for word in self._words(tag, made):
            await response.write(_event({"delta": {"content": word}, "index": 0, "finish_reason": None}))
        await response.write(_event({"delta": {}, "index": 0, "finish_reason": "stop"}))
        if (body.get("stream_options") or {}).get("include_usage"):
            await response.write(_event(None, usage=_usage(made[0])))
        await response.write(b"data: [DONE]\n\n")
        return response


def _head(kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 0, "model": MODEL}


def _usage(words: int) -> dict[str, int]:
    return {"prompt_tokens": 100, "completion_tokens": words, "total_tokens": 100 + words}


def _event(choice: dict[str, Any] | None, **more: Any) -> bytes:
    chunk = {**_head("chat.completion.chunk"), "choices": [choice] if choice else [], **more}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    web.run_app(
        Backend().application(),
        host="127.0.0.1",
        port=options.port,
        access_log=None,
        print=None,
        handler_cancellation=True,  # a client that goes away ends its generation, as real servers do it
    )


if __name__ == "__main__":
    main()
