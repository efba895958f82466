"""The pointer to the current release: moved only by those who know what they replace, by one of many at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ragline.errors import ConflictError, NewerFormatError
from ragline.object_store import ObjectStore, open_store
from ragline.release import Index, Manifest

POINTER = "indexes/docs/current.json"


def release(mark: str) -> Manifest:
    """Return the manifest of a release without files."""
    return Manifest(
        release=mark * 16,
        digests={"corpus": "c", "chunks": "k", "model": "m", "index": mark * 64},
        embedder="all-MiniLM-L6-v2",
        counts={},
        chunking={},
        documents_uri="docs",
        calibration={},
        checks={},
        files={},
        created="2026-01-02T03:04:05.678+00:00",
    )


A, B, C = release("a"), release("b"), release("c")


@pytest.fixture
def index(store: ObjectStore) -> Index:
    """An index of which nothing is published."""
    return Index(store, "docs")


def test_the_digest_is_that_of_the_content(index: Index) -> None:
    """It is empty before the first release, changes with each move, and does not depend on the store."""
    assert index.pointer_digest() == ""
    index.point(A, "run-1")
    first = index.pointer_digest()
    data = index.store.read(POINTER)
    index.point(B, "run-2")
    assert len({"", first, index.pointer_digest()}) == 3
    index.store.write(POINTER, data)
    assert index.pointer_digest() == first


def test_a_run_moves_the_pointer_that_it_was_planned_against(index: Index) -> None:
    """Also the first one, which was planned against none."""
    index.point(A, "run-1", planned="")
    index.point(B, "run-2", planned=index.pointer_digest())
    pointer = index.pointer()
    assert (pointer.release, pointer.run, pointer.before) == (B.release, "run-2", (A.release,))


def test_a_run_that_was_overtaken_changes_nothing(index: Index) -> None:
    """The message names index, store, what is live, who published it, and what to do."""
    index.point(A, "run-1")
    planned = index.pointer_digest()
    index.point(B, "run-2")
    live = index.pointer()
    message = (
        f"the current release of index 'docs' in {index.store.uri} changed meanwhile: release {B.release}, "
        "published by run-2, is live, and stays so; start the run again"
    )
    for stale in (planned, ""):
        with pytest.raises(ConflictError) as caught:
            index.point(C, "run-3", planned=stale)
        assert str(caught.value) == message
    assert index.pointer() == live


def test_a_pointer_that_vanished_is_a_conflict(index: Index) -> None:
    """A run that was planned against a release does not publish into an index that was removed."""
    index.point(A, "run-1")
    planned = index.pointer_digest()
    index.store.delete(POINTER)
    with pytest.raises(ConflictError, match="changed meanwhile: there is none"):
        index.point(B, "run-2", planned=planned)
    assert index.pointer_digest() == ""


def test_what_is_live_already_is_not_written_again(index: Index) -> None:
    """The same run again, and another run with the same result: since when and by whom stays true."""
    index.point(A, "run-1", planned="")
    live = index.pointer()
    index.point(A, "run-1", planned="")
    index.point(A, "run-2", planned="0" * 64)
    index.point(A, "run-3")
    assert index.pointer() == live


def test_a_damaged_pointer_is_replaced(index: Index) -> None:
    """Publishing again is what the error about it advises."""
    index.store.write(POINTER, b"{")
    index.point(A, "run-1", planned=index.pointer_digest())
    assert index.pointer().release == A.release


def test_a_newer_pointer_is_not_replaced(index: Index) -> None:
    """An older ragline does not undo what a newer one published."""
    index.store.write(POINTER, b'{"format": 99, "version": "9.1"}')
    with pytest.raises(NewerFormatError, match=r"written by ragline 9\.1"):
        index.point(A, "run-1")
    assert b"9.1" in index.store.read(POINTER)


@pytest.mark.parametrize("is_planned", [True, False])
def test_of_two_publishers_at_once_one_wins(
    index: Index, store_uri: str, monkeypatch: pytest.MonkeyPatch, is_planned: bool
) -> None:
    """Both have read the same pointer when they write; the other one is told who won."""
    index.point(A, "run-1")
    planned = index.pointer_digest() if is_planned else None
    outcomes = _publish_at_once(monkeypatch, store_uri, {"run-b": B, "run-c": C}, planned)
    live = index.pointer()
    [(loser, error)] = outcomes.items()
    assert {live.run, loser} == {"run-b", "run-c"}
    assert f"release {live.release}, published by {live.run}, is live, and stays so; start the run again" in error
    assert live.before == (A.release,)


def test_two_publishers_of_one_release_both_succeed(
    index: Index, store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the second wanted is live."""
    index.point(A, "run-1")
    assert _publish_at_once(monkeypatch, store_uri, {"run-b": B, "run-c": B}, index.pointer_digest()) == {}
    assert index.pointer().release == B.release


def _publish_at_once(
    monkeypatch: pytest.MonkeyPatch, store_uri: str, releases: dict[str, Manifest], planned: str | None
) -> dict[str, str]:
    """Let each run point to its release, all having read the pointer before any writes; return the conflicts."""
    met = threading.Barrier(len(releases))

    def publish(run: str) -> str:
        index = Index(open_store(store_uri), "docs")
        write_if = index.store.write_if

        def meet(key: str, data: bytes, tag: str | None) -> str:
            met.wait(10)
            return write_if(key, data, tag)

        monkeypatch.setattr(index.store, "write_if", meet)
        try:
            index.point(releases[run], run, planned=planned)
        except ConflictError as exc:
            return str(exc)
        return ""

    with ThreadPoolExecutor(len(releases)) as pool:
        return {run: error for run, error in zip(releases, pool.map(publish, releases), strict=True) if error}
