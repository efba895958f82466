"""Searches gather while a batch is worked on; what is too much or too late is refused."""

import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from ragline.errors import ServiceError
from ragline.services.edge.caller import Caller
from ragline.services.vectorstore.query import Query
from ragline.services.vectorstore.search_queue import BATCH, QUOTED, Search, SearchQueue


class Work:
    """Settles searches once it may, and notes its batches."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.may = threading.Event()

    def __call__(self, batch: Sequence[Search]) -> None:
        """Wait, and give every question back."""
        self.batches.append([search.caller.request_id for search in batch])
        assert self.may.wait(10)
        if any(query.question == "broken" for search in batch for query in search.queries):
            raise KeyError("broken")
        for search in batch:
            search.predictions.set_result([{"input": query.question} for query in search.queries])


@pytest.fixture
def work() -> Work:
    """What the queue hands its batches to."""
    return Work()


@pytest.fixture
def queue(work: Work) -> Iterator[SearchQueue]:
    """A queue with one worker, for 100 questions."""
    made = SearchQueue(work, longest=100, workers=1)
    yield made
    work.may.set()
    made.close()


def put(queue: SearchQueue, name: str, *questions: str, quotes: bool = False, deadline: float = 1e9) -> Search:
    """Put a search of these questions."""
    return queue.put([Query(question, quotes=quotes) for question in questions], Caller(name, deadline=deadline))


def first(queue: SearchQueue, work: Work) -> Search:
    """Keep the worker busy."""
    search = put(queue, "first", "?")
    while not work.batches:
        time.sleep(0.001)
    return search


def test_what_waits_becomes_one_batch(queue: SearchQueue, work: Work) -> None:
    """At most so many questions; a search is never divided, and the order is kept."""
    searches = [first(queue, work)]
    searches += [put(queue, f"s{number}", *(f"q{number}.{n}" for n in range(10))) for number in range(4)]
    searches += [put(queue, f"t{number}", "t", quotes=True) for number in range(BATCH // QUOTED)]
    work.may.set()
    assert searches[1].predictions.result(10) == [{"input": f"q0.{n}"} for n in range(10)]
    assert all(search.predictions.result(10) for search in searches)
    assert work.batches == [
        ["first"],
        ["s0", "s1", "s2"],
        ["s3", *(f"t{number}" for number in range(5))],
        ["t5", "t6", "t7"],
    ]


def test_what_is_too_much_is_refused(queue: SearchQueue, work: Work) -> None:
    """With 429, and when to ask again; a search that is longer than the queue is taken when nothing waits."""
    first(queue, work)
    long = put(queue, "long", *["?"] * 101)
    with pytest.raises(ServiceError, match="101 questions wait already, and 100 may") as caught:
        put(queue, "more", "?")
    assert caught.value.status == 429
    assert caught.value.retry_after >= 1
    work.may.set()
    assert len(long.predictions.result(10)) == 101


def test_what_is_late_or_not_wanted_any_more_is_not_done(queue: SearchQueue, work: Work) -> None:
    """504 for the one; nothing for the other."""
    first(queue, work)
    late = put(queue, "late", "?", deadline=time.monotonic() + 0.01)
    gone, good = put(queue, "gone", "?"), put(queue, "good", "?")
    assert gone.predictions.cancel()
    time.sleep(0.02)
    work.may.set()
    assert good.predictions.result(10) == [{"input": "?"}]
    with pytest.raises(ServiceError, match="was over before it was its turn") as caught:
        late.predictions.result(10)
    assert caught.value.status == 504
    assert work.batches == [["first"], ["good"]]


def test_a_batch_that_fails_is_not_the_last(queue: SearchQueue, work: Work) -> None:
    """Its searches fail, and the next ones are answered."""
    work.may.set()
    with pytest.raises(KeyError, match="broken"):
        put(queue, "a", "broken").predictions.result(10)
    assert put(queue, "b", "whole").predictions.result(10) == [{"input": "whole"}]


def test_at_the_end_what_waits_is_finished(queue: SearchQueue, work: Work) -> None:
    """And nothing more is taken."""
    waiting = [first(queue, work), put(queue, "second", "?")]
    threading.Timer(0.05, work.may.set).start()
    queue.close()
    assert all(search.predictions.done() for search in waiting)
    with pytest.raises(ServiceError, match="is being stopped"):
        put(queue, "third", "?")
