"""How much is done at once: a few generations, a limited queue before them, and no more."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from ragline.errors import ServiceError
from ragline.services.edge.telemetry import QUEUED, SHED

_QUEUE = "llm"
_SMOOTHING = 0.2
_LONGEST_RETRY = 30.0


class Gate:
    """Lets so many questions in, and so many of those generate at once.

    A question waits for its turn after its passages were found: who waits is ready to generate. What is asked while
    all places are taken is refused at once, before any work.

    Args:
        concurrency: generations at once.
        queue: further questions, which retrieve or wait.
    """

    def __init__(self, concurrency: int, queue: int) -> None:
        self._concurrency = concurrency
        self._places = concurrency + queue
        self._inside = 0
        self._turns = asyncio.Semaphore(concurrency)
        self._seconds = 1.0  # that a generation takes, on the moving average
        QUEUED.labels(_QUEUE).set(0)
        SHED.labels(_QUEUE).inc(0)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Hold a place.

        Raises:
            ServiceError: 429, all are taken; with the time after which one is likely to be free.
        """
        if self._inside >= self._places:
            SHED.labels(_QUEUE).inc()
            raise ServiceError(
                f"{self._inside} questions are being answered or wait already, and more are not taken: ask again later",
                429,
                retry_after=self._wait(),
            )
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the turn to generate, and hold it."""
        with QUEUED.labels(_QUEUE).track_inprogress():
            await self._turns.acquire()
        began = time.monotonic()
        try:
            yield
        finally:
            self._turns.release()
            self._seconds += _SMOOTHING * (time.monotonic() - began - self._seconds)

    def _wait(self) -> float:
        """Return the seconds until a place is likely to be free, at least one."""
        return min(_LONGEST_RETRY, max(1.0, self._seconds * self._inside / self._concurrency))
