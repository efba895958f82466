"""What a running service does when a release cannot be served, a copy is not needed, or the store is silent."""

import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from ragline import live as live_module
from ragline import refusal, served
from ragline.errors import NoReleaseError
from ragline.live import LiveIndex
from ragline.live_metrics import LiveMetrics
from ragline.object_store import open_store
from ragline.release import CHUNKS, Index, Manifest, describe_files
from ragline.served import mark_served, served_releases
from ragline.serving import open_answerer
from tests.conftest import Bucket
from tests.fault_proxy import Fault, FaultProxy
from tests.reindex.conftest import Corpus
from tests.test_live import QUESTION, answer, fill, small_disk, until

HOURS = ("seven", "eight", "nine")


@dataclass(frozen=True)
class Shelf:
    """A store of its own with three releases, of which the first is current."""

    store: Path
    cache: Path
    manifests: tuple[Manifest, ...]

    @property
    def index(self) -> Index:
        """The index of the releases."""
        return Index(open_store(str(self.store)), "default")

    def point(self, number: int) -> str:
        """Make a release current, and return its name."""
        self.index.point(self.manifests[number], "test")
        return self.manifests[number].release

    def files(self, number: int) -> Path:
        """The folder of a release in the store."""
        return self.store / "indexes" / "default" / "releases" / self.manifests[number].release

    def rewrite(self, manifest: Manifest) -> None:
        """Replace the manifest of a release."""
        self.index.store.write(f"indexes/default/releases/{manifest.release}/manifest.json", manifest.to_json())

    def copies(self) -> set[str]:
        """The digests of the local copies."""
        return {path.name for path in (self.cache / "releases").iterdir() if path.is_dir()}

    def digests(self, *numbers: int) -> set[str]:
        """The digests of releases."""
        return {self.manifests[number].digests["index"] for number in numbers}

    @contextmanager
    def serving(self, uri: str = "") -> Iterator[LiveIndex]:
        """Serve the index, and look at the pointer often."""
        with LiveIndex(uri or str(self.store), "default", self.cache, interval=0.05) as live:
            assert live.wait(60), live.status()
            yield live


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three releases, made once: the ferry leaves at seven, at eight, at nine."""
    folder = tmp_path_factory.mktemp("library")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAGLINE_CACHE", str(folder / "cache"))
        (folder / "store").mkdir()
        corpus = Corpus(folder / "docs", str(folder / "store"), folder / "work")
        corpus.write(tower="The tower is green.")
        for hour in HOURS:
            corpus.write(ferry=f"The ferry leaves at {hour}.")
            corpus.run()
    return folder / "store"


@pytest.fixture
def shelf(library: Path, tmp_path: Path) -> Shelf:
    """A copy of the three releases."""
    shutil.copytree(library, tmp_path / "store")
    index = Index(open_store(str(tmp_path / "store")), "default")
    shelf = Shelf(tmp_path / "store", tmp_path / "cache", tuple(index.releases()))
    shelf.point(0)
    return shelf


# releases that cannot be served


def test_a_release_that_cannot_be_opened_is_refused(shelf: Shelf) -> None:
    """Its checksums are right, its files are not; the thread goes on watching."""
    (shelf.files(1) / CHUNKS).write_bytes(b"not a table")
    names = set(shelf.manifests[1].files)
    files = {path: facts for path, facts in describe_files(shelf.files(1)).items() if path in names}
    shelf.rewrite(replace(shelf.manifests[1], files=files))
    with shelf.serving() as live:
        second = shelf.point(1)
        until(lambda: live.status().refused == second)
        assert f"release {second} cannot be opened: ArrowInvalid" in live.status().problem
        assert "seven" in answer(live)
        third = shelf.point(2)
        until(lambda: live.status().release == third)
        assert (live.status().problem, live.status().refused) == ("", "")
        assert "nine" in answer(live)


def test_metrics_tell_of_a_refused_release(shelf: Shelf) -> None:
    """What an alert is made of: there is a problem, since when, and which release still serves."""
    first, second = shelf.manifests[0], shelf.manifests[1]
    (shelf.files(1) / CHUNKS).write_bytes(b"not a table")
    with shelf.serving() as live:
        registry = CollectorRegistry()
        registry.register(LiveMetrics(live))
        shelf.point(1)
        until(lambda: live.status().refused == second.release)
        about = {"release": first.release, "model": first.digests["model"], "refused": second.release}
        assert registry.get_sample_value("ragline_release_info", {"index": "default", **about}) == 1
        values = {
            name: registry.get_sample_value(f"ragline_index_{name}", {"index": "default"})
            for name in ("ready", "problem", "draining", "swaps_total")
        }
        assert values == {"ready": 1, "problem": 1, "draining": 0, "swaps_total": 0}
        since = registry.get_sample_value("ragline_index_problem_since_seconds", {"index": "default"})
        assert since is not None
        assert 0 <= time.time() - since < 60
        shelf.point(2)
        until(lambda: live.status().release == shelf.manifests[2].release)
        assert registry.get_sample_value("ragline_index_problem", {"index": "default"}) == 0
        assert registry.get_sample_value("ragline_index_swaps_total", {"index": "default"}) == 1


def test_a_refused_release_is_not_fetched_again_and_again(shelf: Shelf, s3: Bucket) -> None:
    """Only its manifest is looked at, until it was made anew."""
    store = open_store(f"{s3.uri}/ragline")
    for info in shelf.index.store.list("indexes/"):
        store.upload(info.key, shelf.store / info.key)
    index, (_, second, _) = Index(store, "default"), shelf.manifests
    key = f"{index.prefix_of(second.release)}{CHUNKS}"
    whole = store.read(key)
    store.write(key, whole[:-1] + bytes([whole[-1] ^ 1]))
    with FaultProxy(s3.server.host) as proxy, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{proxy.host}")
        with shelf.serving(f"{s3.uri}/ragline") as live:
            index.point(second, "test")
            until(lambda: live.status().refused == second.release)
            assert "is not what its manifest says" in live.status().problem
            seen = len(proxy.requests)
            until(lambda: len(proxy.requests) > seen + 10)
            assert sum(f"{second.release}/{CHUNKS}" in request for request in proxy.requests) == 1
            assert "seven" in answer(live)
            store.write(key, whole)
            store.write(f"{index.prefix_of(second.release)}manifest.json", replace(second, created="now").to_json())
            until(lambda: live.status().release == second.release)


def test_a_refused_release_is_tried_again_after_a_while(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time later than the time before."""
    monkeypatch.setattr(refusal, "FIRST_WAIT", 0.2)
    path = shelf.files(1) / CHUNKS
    whole = path.read_bytes()
    path.unlink()
    with shelf.serving() as live:
        second = shelf.point(1)
        until(lambda: f"{second}/{CHUNKS} is missing" in live.status().problem)
        time.sleep(0.5)
        assert live._refusal is not None
        assert live._refusal.wait >= 0.4
        path.write_bytes(whole)
        until(lambda: live.status().release == second)


def test_a_release_of_a_model_that_is_not_here_is_refused_before_it_is_fetched(shelf: Shelf) -> None:
    """Release and embedder change together or not at all."""
    other = {"model": "0" * 64}
    shelf.rewrite(replace(shelf.manifests[1], digests={**shelf.manifests[1].digests, **other}, embedder="./no-model"))
    shelf.rewrite(replace(shelf.manifests[2], digests={**shelf.manifests[2].digests, **other}))
    with shelf.serving() as live:
        model = live.status().model
        second = shelf.point(1)
        until(lambda: live.status().refused == second)
        assert "embedder './no-model'" in live.status().problem
        third = shelf.point(2)
        until(lambda: live.status().refused == third)
        assert "is not the model that made release" in live.status().problem
        assert (live.status().release, live.status().model) == (shelf.manifests[0].release, model)
        assert shelf.copies() == shelf.digests(0)


def test_newer_formats_are_not_served(shelf: Shelf) -> None:
    """Neither of a release nor of the pointer; what can be read is served again."""
    shelf.rewrite(replace(shelf.manifests[1], format=99))
    pointer = shelf.store / "indexes" / "default" / "current.json"
    with shelf.serving() as live:
        second = shelf.point(1)
        until(lambda: live.status().refused == second)
        assert "has format 99" in live.status().problem
        data = json.loads(pointer.read_text())
        pointer.write_text(json.dumps(data | {"format": 98}))
        until(lambda: "current.json has format 98" in live.status().problem)
        assert "seven" in answer(live)
        pointer.write_text(json.dumps(data))
        third = shelf.point(2)
        until(lambda: live.status().release == third)


# the store


def test_a_store_that_is_gone_is_asked_less_and_less(shelf: Shelf) -> None:
    """A folder that is moved away and back: nobody makes it anew meanwhile, and the newest release is served then."""
    away = shelf.store.with_name("away")
    with shelf.serving() as live:
        until(
            lambda: bool(served_releases(shelf.index.store, "default"))
        )  # else the mark may be written to the old place
        shelf.store.rename(away)
        until(lambda: bool(live.status().problem))
        since = live.status().problem_since
        until(lambda: live._failures >= 3)
        assert "seven" in answer(live)
        assert (live.status().problem_since, live.status().refused, shelf.store.exists()) == (since, "", False)
        away.rename(shelf.store)
        second = shelf.point(1)
        until(lambda: live.status().release == second)
        assert live.status().problem_since == ""


def test_the_end_does_not_wait_for_a_silent_store(shelf: Shelf, s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question in flight is still answered, and closes the release."""
    monkeypatch.setattr(live_module, "_STOP_SECONDS", 0.2)
    store = open_store(f"{s3.uri}/ragline")
    for info in shelf.index.store.list("indexes/"):
        store.upload(info.key, shelf.store / info.key)
    with FaultProxy(s3.server.host) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{proxy.host}")
        with shelf.serving(f"{s3.uri}/ragline") as live, live.answerer() as answerer:
            proxy.plan(Fault.STALL)
            seen = len(proxy.requests)
            until(lambda: len(proxy.requests) > seen)
            begun = time.monotonic()
            live.close()
            assert time.monotonic() - begun < 1.0
            assert "seven" in answerer.ask("When does the ferry leave?").answer
        with pytest.raises(AttributeError):  # Chroma's client is closed
            answerer.retriever.vectors.stored(["x"])
        with pytest.raises(NoReleaseError, match="not served any more"), live.answerer():
            pass


# local copies


def test_the_current_copy_and_the_one_before_are_kept(shelf: Shelf) -> None:
    """A rollback reads nothing but the manifest; copies of others, and what others hold, stay."""
    other = shelf.cache / "releases" / "of-another"
    other.mkdir(parents=True)
    with shelf.serving() as live:
        for number in (1, 2):
            release = shelf.point(number)
            until(lambda release=release: live.status().release == release)  # type: ignore[misc]
        until(lambda: shelf.copies() == {"of-another", *shelf.digests(1, 2)})
        for path in shelf.manifests[1].files:
            (shelf.files(1) / path).unlink()
        second = shelf.point(1)
        until(lambda: live.status().release == second)
        assert "eight" in answer(live)
    assert shelf.copies() == {"of-another", *shelf.digests(1, 2)}


def test_a_copy_that_another_service_holds_stays(shelf: Shelf) -> None:
    """It goes when that one has let go of it."""
    with shelf.serving() as live:
        (first,) = shelf.digests(0)
        lock = os.open(shelf.cache / "releases" / f"{first}.lock", os.O_RDWR)
        fcntl.flock(lock, fcntl.LOCK_SH)
        for number in (1, 2):
            release = shelf.point(number)
            until(lambda release=release: live.status().release == release)  # type: ignore[misc]
        time.sleep(0.2)
        assert shelf.copies() == shelf.digests(0, 1, 2)
        os.close(lock)
        first_again = shelf.point(0)
        until(lambda: live.status().release == first_again)
        until(lambda: shelf.copies() == shelf.digests(0, 2))


def test_a_copy_that_a_question_is_answered_from_stays(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service beside `ragline ask` removes it only after the answer."""
    monkeypatch.setenv("RAGLINE_CACHE", str(shelf.cache))
    with shelf.serving() as live:
        with open_answerer(str(shelf.store), "default") as first:
            for number in (1, 2):
                release = shelf.point(number)
                until(lambda release=release: live.status().release == release)  # type: ignore[misc]
            time.sleep(0.2)
            assert shelf.copies() == shelf.digests(0, 1, 2)
            assert "seven" in first.ask(QUESTION).answer
        first_again = shelf.point(0)
        until(lambda: live.status().release == first_again)
        until(lambda: shelf.copies() == shelf.digests(0, 2))


def test_a_rollback_while_questions_are_in_flight_takes_the_open_release_back(shelf: Shelf) -> None:
    """Chroma shares a client per path, so it is not opened a second time."""
    with shelf.serving() as live:
        with live.answerer() as old:
            second = shelf.point(1)
            until(lambda: live.status().release == second)
            assert live.status().draining == 1
            first = shelf.point(0)
            until(lambda: live.status().release == first)
            with live.answerer() as current:
                assert current is old
        assert "seven" in answer(live)
        assert (live.status().draining, live.status().swaps) == (0, 2)


def test_a_full_disk_costs_the_copy_before_first(shelf: Shelf) -> None:
    """The new release needs the room more; what was fetched in part is removed."""
    with small_disk(shelf.cache) as disk, shelf.serving() as live:
        second = shelf.point(1)
        until(lambda: live.status().release == second)
        until(lambda: live.status().draining == 0)
        fill(disk / "ballast")
        os.truncate(disk / "ballast", (disk / "ballast").stat().st_size - (1 << 17))
        third = shelf.point(2)
        until(lambda: live.status().release == third)
        assert shelf.copies() == shelf.digests(1, 2)
        assert not list(disk.glob("releases/fetch-*"))


# marks


def test_the_mark_is_renewed_also_while_the_newest_release_is_refused(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else `ragline gc` would remove what is served."""
    monkeypatch.setattr(served, "MARK_SECONDS", 0.6)
    (shelf.files(1) / CHUNKS).unlink()
    store = shelf.index.store
    with shelf.serving() as live:
        second = shelf.point(1)
        until(lambda: live.status().refused == second)
        time.sleep(0.8)
        assert served_releases(store, "default") == {shelf.manifests[0].release}
    assert served_releases(store, "default") == set()
    mark_served(store, "default", "dead", second)
    time.sleep(0.7)
    assert served_releases(store, "default") == set()


def test_a_service_that_may_not_write_serves(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    """One warning says what that means."""
    (shelf.store / "indexes" / "default" / "serving").write_text("in the way")
    with caplog.at_level(logging.WARNING), shelf.serving() as live:
        for number in (1, 2):
            release = shelf.point(number)
            until(lambda release=release: live.status().release == release)  # type: ignore[misc]
    assert len([text for text in caplog.messages if "gc" in text]) == 1


def test_downloads_that_were_killed_are_removed(shelf: Shelf) -> None:
    """After a day: nobody is at work in them any more."""
    old, new = (shelf.cache / "releases" / f"fetch-{name}" for name in ("old", "new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
    then = (datetime.now(UTC) - timedelta(days=2)).timestamp()
    os.utime(old, (then, then))
    with shelf.serving() as live:
        second = shelf.point(1)
        until(lambda: live.status().release == second)
        until(lambda: not old.exists())
        assert new.exists()
