"""A release is exchanged for the next while questions are answered."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ragline.answering import Answerer
from ragline.embedding.text_embedder import TextEmbedder
from ragline.errors import NoReleaseError, ServiceError
from ragline.live import LiveIndex, Status
from ragline.object_store import ObjectStore
from ragline.release import Manifest
from ragline.rollback import roll_back
from ragline.served import served_releases
from ragline.serving import open_embedder
from tests.conftest import Bucket
from tests.embedding.conftest import tiny_model
from tests.fault_proxy import Fault, FaultProxy
from tests.reindex.conftest import Corpus

QUESTION = "When does the ferry leave?"


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """A corpus that is indexed: the ferry leaves at seven."""
    monkeypatch.setenv("RAGLINE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "store").mkdir()
    corpus = Corpus(tmp_path / "docs", str(tmp_path / "store"), tmp_path / "work")
    corpus.write(ferry="The ferry leaves at seven.", tower="The tower is green.")
    corpus.run()
    return corpus


@contextmanager
def serving(corpus: Corpus, store_uri: str = "") -> Iterator[LiveIndex]:
    """Serve the corpus, and look at the pointer often."""
    with LiveIndex(store_uri or corpus.store_uri, corpus.name, corpus.scratch / "served", interval=0.05) as live:
        assert live.wait(60), live.status()
        yield live


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_closed(answerer: Answerer) -> bool:
    """Tell whether the files of a release were let go of."""
    try:
        answerer.ask(QUESTION)
    except AttributeError:
        return True
    return False


def answer(live: LiveIndex) -> str:
    """Ask when the ferry leaves."""
    with live.answerer() as answerer:
        return answerer.ask(QUESTION).answer


def change(corpus: Corpus, hour: str) -> str:
    """Have the ferry leave at another hour; return the release."""
    corpus.write(ferry=f"The ferry leaves at {hour}.")
    return corpus.run().manifest.release


def test_a_new_release_is_served_and_a_rollback_too(corpus: Corpus) -> None:
    """Nothing is restarted; the status says which release, since when, and how often it was exchanged."""
    first = corpus.index.pointer().release
    with serving(corpus) as live:
        assert "seven" in answer(live)
        second = change(corpus, "nine")
        until(lambda: live.status().release == second)
        assert "nine" in answer(live)
        assert "seven" not in answer(live)
        assert served_releases(corpus.index.store, corpus.name) >= {second}
        roll_back(corpus.index)
        until(lambda: live.status().release == first)
        assert "seven" in answer(live)
        status = live.status()
        assert (status.swaps, status.problem, status.ready, status.draining) == (2, "", True, 0)
    assert served_releases(corpus.index.store, corpus.name) == set()


def test_questions_in_flight_finish_on_the_release_on_which_they_began(corpus: Corpus) -> None:
    """The old one is closed by the last of them."""
    with serving(corpus) as live:
        with live.answerer() as old:
            second = change(corpus, "nine")
            until(lambda: live.status().release == second)
            assert live.status().draining == 1
            assert "seven" in old.ask(QUESTION).answer
            assert "nine" in answer(live)
        assert live.status().draining == 0
        until(lambda: is_closed(old))


def test_no_question_fails_while_releases_are_exchanged(corpus: Corpus) -> None:
    """Many askers, several exchanges: each answer is whole, of one release or another."""
    stop = threading.Event()

    def ask(live: LiveIndex) -> list[str]:
        answers = []
        while not stop.is_set():
            answers.append(answer(live))
        return answers

    with serving(corpus) as live, ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, live) for _ in range(4)]
        for hour in ("eight", "nine", "ten"):
            release = change(corpus, hour)
            until(lambda release=release: live.status().release == release)  # type: ignore[misc]
        stop.set()
        answers = [text for each in asking for text in each.result()]
    hours = ("seven", "eight", "nine", "ten")
    assert len(answers) > 20
    assert all(sum(f"leaves at {hour}" in text for hour in hours) == 1 for text in answers)


def test_before_the_first_release_there_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The status says why; once one is published, it is served."""
    monkeypatch.setenv("RAGLINE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "store").mkdir()
    corpus = Corpus(tmp_path / "docs", str(tmp_path / "store"), tmp_path / "work")
    corpus.write(ferry="The ferry leaves at seven.")
    with LiveIndex(corpus.store_uri, corpus.name, tmp_path / "served", interval=0.05) as live:
        until(lambda: bool(live.status().problem))
        assert not live.status().ready
        with pytest.raises(NoReleaseError, match="nothing has been published"), live.answerer():
            pass
        corpus.run()
        assert live.wait(30)
        assert "seven" in answer(live)


def test_a_corrupt_release_is_not_served(corpus: Corpus) -> None:
    """The old one stays, the status names the file; the next whole release is served."""
    second = change(corpus, "nine")
    roll_back(corpus.index)
    chunks = Path(corpus.store_uri) / "indexes" / "default" / "releases" / second / "chunks.arrow"
    data = bytearray(chunks.read_bytes())
    data[len(data) // 2] ^= 1
    chunks.write_bytes(data)
    with serving(corpus) as live:
        before = live.status()
        corpus.index.point(corpus.index.manifest(second), "a run")
        until(lambda: bool(live.status().problem))
        status = live.status()
        assert (status.release, status.ready) == (before.release, True)
        assert f"{second}/chunks.arrow is not what its manifest says" in status.problem
        assert "seven" in answer(live)
        third = change(corpus, "ten")
        until(lambda: live.status().release == third)
        assert live.status().problem == ""


def test_a_store_that_cannot_be_reached_stops_nothing(
    corpus: Corpus, s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status says what is wrong and since when; once the store is back, the newest release is served."""
    monkeypatch.setenv("RAGLINE_STORE_RETRY_SECONDS", "0")
    remote = Corpus(corpus.documents, f"{s3.uri}/ragline", tmp_path / "remote")
    remote.run()
    with FaultProxy(s3.server.host) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{proxy.host}")
        with serving(remote) as live:
            proxy.plan(*[Fault.RESET] * 10_000)
            until(lambda: bool(live.status().problem))
            assert "seven" in answer(live)
            assert live.status().problem_since
            proxy.heal()
            until(lambda: not live.status().problem)
            second = change(remote, "nine")
            until(lambda: live.status().release == second)


def test_a_full_disk_stops_nothing(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was fetched so far is removed; once there is room, the release is served."""
    monkeypatch.setattr("ragline.refusal.FIRST_WAIT", 0.2)
    with small_disk(corpus.scratch / "served") as disk, serving(corpus) as live:
        ballast = disk / "ballast"
        fill(ballast)
        second = change(corpus, "nine")
        until(lambda: "No space left" in live.status().problem)
        assert "seven" in answer(live)
        until(lambda: not list(disk.glob("releases/fetch-*")))
        ballast.unlink()
        until(lambda: live.status().release == second)
        assert live.status().problem == ""


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a file system of its own, of a few megabytes."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "ragline", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no right to mount a small file system: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(ballast: Path) -> None:
    """Write a file until there is no room left."""
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))


def test_an_embedder_that_is_not_up_yet_is_asked_again(corpus: Corpus) -> None:
    """The release is not refused for a minute; the status says what is missing until it is there."""
    up = threading.Event()

    def embedder_of(manifest: Manifest, store: ObjectStore) -> TextEmbedder:
        if not up.is_set():
            raise ServiceError("the embedder serves b, not a")
        return open_embedder(manifest, store)

    place = (corpus.store_uri, corpus.name, corpus.scratch / "served")
    with LiveIndex(*place, interval=0.05, embedder_of=embedder_of) as live:
        until(lambda: bool(live.status().problem))
        status = live.status()
        assert (status.problem, status.refused, status.ready) == (
            "the embedder serves b, not a",
            corpus.index.pointer().release,
            False,
        )
        up.set()
        assert live.wait(10)
        assert "seven" in answer(live)
        assert live.status().problem == ""


def test_release_and_embedder_change_together(corpus: Corpus, tmp_path: Path) -> None:
    """A release of another model is served with that model."""
    other = tiny_model(tmp_path / "model", positions=514)
    with serving(corpus) as live:
        before = live.status()
        corpus.embedder = str(other)
        run = corpus.run()
        until(lambda: live.status().release == run.manifest.release)
        assert live.status().model == run.manifest.digests["model"] != before.model
        with live.answerer() as answerer:
            assert answerer.embedder.digest == live.status().model
    assert isinstance(live.status(), Status)
