"""The response of events, as the server gets it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from ragline.errors import ServiceError
from ragline.services.edge.caller import Caller
from ragline.services.llm.streamed_response import StreamedResponse


async def events(parts: Sequence[bytes | float | Exception]) -> AsyncGenerator[bytes, None]:
    """Yield data, wait, or fail."""
    for part in parts:
        if isinstance(part, Exception):
            raise part
        if isinstance(part, float):
            await asyncio.sleep(part)
        else:
            yield part


def sent(*parts: bytes | float | Exception, keep_alive: float = 10.0, caller: Caller | None = None) -> list[Any]:
    """Return what a server gets: the status, then each part of the body."""
    got: list[Any] = []

    async def send(message: Any) -> None:
        got.append(message.get("status") or message["body"])

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def run() -> None:
        response = StreamedResponse(
            events(parts), caller or Caller("r"), lambda failure: str(failure).encode(), keep_alive=keep_alive
        )
        await response({"type": "http"}, receive, send)

    asyncio.run(run())
    return got


def test_each_event_is_sent_at_once() -> None:
    """One part of the body for each."""
    assert sent(b"1", b"2") == [200, b"data: 1\n\n", b"data: 2\n\n", b""]


def test_a_silence_is_broken_by_comments() -> None:
    """Also before the first event, and after it only where there is a silence."""
    waiting = b": waiting\n\n"
    assert sent(0.5, b"1", 0.2, b"2", keep_alive=0.3) == [200, waiting, b"data: 1\n\n", b"data: 2\n\n", b""]


def test_what_fails_first_is_no_event() -> None:
    """It still becomes an HTTP status."""
    with pytest.raises(ServiceError, match="busy"):
        sent(ServiceError("busy", 429))


def test_what_fails_later_is_the_last_event() -> None:
    """After some text, or after a comment."""
    assert sent(b"1", ServiceError("broken")) == [200, b"data: 1\n\n", b"data: broken\n\n", b""]
    assert sent(0.2, ServiceError("broken"), keep_alive=0.1)[-2:] == [b"data: broken\n\n", b""]


def test_the_callers_time_limits_the_whole() -> None:
    """Not only its beginning."""
    caller = Caller.from_headers({"x-request-timeout-ms": "100"})
    assert sent(b"1", 5.0, b"2", caller=caller) == [200, b"data: 1\n\n", b"data: \n\n", b""]
