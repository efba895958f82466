"""Searches that wait for their turn, and are done in batches.

There is no delay to make batches larger: while one batch is worked on the next one gathers. Two workers, so that one
batch is searched while the other is embedded.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ragline.errors import ServiceError
from ragline.services.edge.caller import Caller
from ragline.services.edge.telemetry import QUEUED, SHED, STAGES
from ragline.services.vectorstore.query import Query

LONGEST = 256
"""Questions that may wait; with one more a search is refused."""

BATCH = 32
"""Questions of one batch; a search is never divided."""

QUOTED = 4
"""A question with quotes counts as so many: its sentences are embedded, and the others wait for that."""

WORKERS = 2

_NAME = "vectorstore"
_WEIGHT = 0.2  # of the batch before, in the mean time of a question


@dataclass(slots=True, eq=False)
class Search:
    """What one request asks for.

    Attributes:
        queries: one for each instance.
        caller: on whose behalf.
        predictions: what becomes of it.
        since: when it began to wait, on the clock of `time.monotonic`.
        waited: seconds until it was its turn.
    """

    queries: Sequence[Query]
    caller: Caller
    predictions: "Future[list[dict[str, Any]]]" = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)
    waited: float = 0.0

    @property
    def weight(self) -> int:
        """What of a batch it takes."""
        return sum(QUOTED if query.quotes else 1 for query in self.queries)

    def fail(self, failure: Exception) -> None:
        """Say that it came to nothing."""
        if not self.predictions.done():
            self.predictions.set_exception(failure)


class SearchQueue:
    """Hands searches to a function in batches, in threads of its own.

    Args:
        work: settles the `predictions` of all searches of a batch.
        longest: questions that may wait.
        workers: threads.
    """

    def __init__(
        self, work: Callable[[Sequence[Search]], None], *, longest: int = LONGEST, workers: int = WORKERS
    ) -> None:
        self._work = work
        self._longest = longest
        self._change = threading.Condition()  # guards the four below
        self._waiting: deque[Search] = deque()
        self._questions = 0
        self._seconds = 0.0
        self._closed = False
        self._threads = [threading.Thread(target=self._run, name=f"search-{n}", daemon=True) for n in range(workers)]
        for thread in self._threads:
            thread.start()

    def put(self, queries: Sequence[Query], caller: Caller) -> Search:
        """Take a search; its predictions come later.

        Raises:
            ServiceError: 429, too many questions wait already; 503, the service is being stopped.
        """
        search = Search(queries, caller)
        with self._change:
            if self._closed:
                raise ServiceError("the vector store is being stopped; ask again in a moment", retry_after=1.0)
            if self._questions and self._questions + len(queries) > self._longest:
                SHED.labels(_NAME).inc()
                wait = max(1.0, self._questions * self._seconds)
                raise ServiceError(
                    f"{self._questions} questions wait already, and {self._longest} may; ask again later",
                    429,
                    retry_after=wait,
                )
            self._waiting.append(search)
            self._count(len(queries))
            self._change.notify()
        return search

    def close(self) -> None:
        """Take no more searches, and end the threads when all that wait are done."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while batch := self._take():
            begun = time.monotonic()
            wanted = list(_still_wanted(batch, begun))
            try:
                if wanted:
                    self._work(wanted)
            except Exception as exc:  # noqa: BLE001  the edge of a thread: without it nothing would be answered any more
                for search in wanted:
                    search.fail(exc)
            self._measure(time.monotonic() - begun, sum(len(search.queries) for search in wanted))

    def _take(self) -> list[Search]:
        """Wait for searches, and return as many as make a batch; none at the end."""
        batch: list[Search] = []
        size = 0
        with self._change:
            self._change.wait_for(lambda: self._waiting or self._closed)
            while self._waiting and (not batch or size + self._waiting[0].weight <= BATCH):
                batch.append(self._waiting.popleft())
                size += batch[-1].weight
            self._count(-sum(len(search.queries) for search in batch))
        return batch

    def _count(self, change: int) -> None:
        self._questions += change
        QUEUED.labels(_NAME).set(self._questions)

    def _measure(self, seconds: float, questions: int) -> None:
        if questions:
            with self._change:
                mean = seconds / questions / len(self._threads)
                self._seconds += _WEIGHT * (mean - self._seconds)


def _still_wanted(batch: Sequence[Search], now: float) -> Iterator[Search]:
    """Yield the searches that somebody still waits for; the others cost no work."""
    for search in batch:
        search.waited = now - search.since
        STAGES.labels("queue").observe(search.waited)
        if not search.predictions.set_running_or_notify_cancel():
            continue
        if now >= search.caller.deadline:
            search.fail(ServiceError("the time that the caller allowed was over before it was its turn", 504))
        else:
            yield search
