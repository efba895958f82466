"""An answer on its way out while it is made: a response of server-sent events."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress

from fastapi.responses import Response

from ragline.services.edge.asgi import Receive, Scope, Send
from ragline.services.edge.caller import Caller

KEEP_ALIVE_SECONDS = 10.0
"""After so long a silence a comment is sent, or a proxy would take the connection for dead."""

_HEADERS = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}
_WAITING = b": waiting\n\n"


class StreamedResponse(Response):
    """Sends events as soon as they are there.

    Until the first event, or the first silence, nothing is sent at all: what fails by then fails with its own HTTP
    status. What fails later is the last event.

    Args:
        events: the data of each event.
        caller: whose time limits all of it.
        failed: makes the data of the last event from what went wrong.
        keep_alive: seconds of silence.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        caller: Caller,
        failed: Callable[[Exception], bytes],
        *,
        keep_alive: float = KEEP_ALIVE_SECONDS,
    ) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._events = events
        self._caller = caller
        self._failed = failed
        self._keep_alive = keep_alive
        self._started = False
        self._sent = time.monotonic()
        self._sending = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI has it
        """Send the events; being cancelled, as when the client leaves, ends the work behind them."""
        keeper = asyncio.create_task(self._keep(send))
        try:
            async with aclosing(self._events) as events, asyncio.timeout(self._caller.remaining()):
                async for data in events:
                    await self._send(send, b"data: " + data + b"\n\n")
        except Exception as exc:
            if not self._started:
                raise
            await self._send(send, b"data: " + self._failed(exc) + b"\n\n")
        finally:
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send, data: bytes) -> None:
        async with self._sending:
            if not self._started:
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                self._started = True
            await send({"type": "http.response.body", "body": data, "more_body": True})
            self._sent = time.monotonic()

    async def _keep(self, send: Send) -> None:
        """Send a comment after each silence."""
        while True:
            await asyncio.sleep(max(0.0, self._sent + self._keep_alive - time.monotonic()))
            if time.monotonic() - self._sent >= self._keep_alive:
                await self._send(send, _WAITING)
