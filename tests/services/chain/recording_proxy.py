"""A hop that others do not notice: it passes requests on, and keeps what came by; it can also be slow, or refuse."""

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import aiohttp
from aiohttp import web

_OF_ONE_HOP = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}


@dataclass(frozen=True)
class Seen:
    """A request that came by."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Refused:
    """What the proxy answers in the place of the service."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class RecordingProxy:
    """A reverse proxy in a thread; a context manager.

    Attributes:
        seen: what came by, in its order.
        delay: seconds before a request is passed on.
        refused: answered instead of passing a request on.
    """

    def __init__(self, target: str) -> None:
        self.seen: list[Seen] = []
        self.delay = 0.0
        self.refused: Refused | None = None
        self.url = ""
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def clear(self) -> None:
        """Forget what came by, and pass everything on at once."""
        self.seen.clear()
        self.delay, self.refused = 0.0, None

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", self._pass)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = "http://{}:{}".format(*runner.addresses[0][:2])
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as self._session:
            self._ready.set()
            await self._stop.wait()
        await runner.cleanup()

    async def _pass(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.seen.append(Seen(request.path, {key.lower(): value for key, value in request.headers.items()}, body))
        if self.refused and request.method == "POST":
            return web.Response(status=self.refused.status, body=self.refused.body, headers=self.refused.headers)
        await asyncio.sleep(self.delay if request.method == "POST" else 0)
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _OF_ONE_HOP}
        url = self._target + request.path_qs
        async with self._session.request(request.method, url, data=body, headers=headers) as answer:
            data = await answer.read()
            kept = {key: value for key, value in answer.headers.items() if key.lower() not in _OF_ONE_HOP}
            return web.Response(status=answer.status, body=data, headers=kept)
