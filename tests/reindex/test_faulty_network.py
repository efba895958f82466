"""A run over a network that fails: it comes through, or it fails and what was live is live."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragline.errors import StoreError
from ragline.object_store import open_store
from ragline.release import Index
from ragline.verification import verify_release
from tests.conftest import Bucket
from tests.fault_proxy import Fault, FaultProxy
from tests.reindex.conftest import Corpus

PASSING = (Fault.RESET, Fault.BUSY, Fault.FAILED, Fault.FLIPPED, Fault.LOST_ANSWER, Fault.TRUNCATED)


@pytest.fixture
def proxy(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A proxy before the S3 server, which the environment points to."""
    with FaultProxy(s3.server.host) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{proxy.host}")
        monkeypatch.setenv("RAGLINE_STORE_RETRY_SECONDS", "3")
        yield proxy


@pytest.fixture
def indexed(proxy: FaultProxy, s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """A corpus that is indexed once, while the network was well."""
    monkeypatch.setenv("RAGLINE_CACHE", str(tmp_path / "cache"))
    corpus = Corpus(tmp_path / "docs", f"{s3.uri}/ragline", tmp_path / "work")
    corpus.write(**{f"note{number}": f"# Note {number}\n\nThe keeper wrote note {number}." for number in range(12)})
    corpus.run()
    return corpus


def assert_whole(index: Index, scratch: Path) -> None:
    """The current release can be read by anyone."""
    scratch.mkdir(exist_ok=True)
    assert verify_release(index, index.pointer().release, scratch).problems == ()


@pytest.mark.slow
@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.name.lower())
def test_a_passing_fault_is_got_over(
    fault: Fault, indexed: Corpus, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the requests of a run, every third fails; the release is the one that it would be without."""
    # Side by side, two transfers can take turns so that every fault hits the same one.
    monkeypatch.setenv("RAGLINE_THREADS", "1")
    indexed.write(note3="# Note 3\n\nA changed note.")
    proxy.plan(*[fault, Fault.NONE, Fault.NONE] * 40)
    run = indexed.run()
    proxy.heal()
    assert (run.embedded, run.manifest.counts["documents"]) == (1, 12)
    assert_whole(indexed.index, tmp_path / "scratch")


def test_mixed_faults_are_got_over(indexed: Corpus, proxy: FaultProxy, tmp_path: Path) -> None:
    """Two of five requests fail, each in another way."""
    chance = random.Random(5)
    indexed.write(note4="# Note 4\n\nAnother changed note.")
    proxy.plan(*chance.choices([Fault.NONE, *PASSING], weights=[9, 1, 1, 1, 1, 1, 1], k=300))
    run = indexed.run()
    proxy.heal()
    assert run.manifest.counts["documents"] == 12
    assert_whole(indexed.index, tmp_path / "scratch")


@pytest.mark.slow
@pytest.mark.parametrize("requests", [0, 3, 8, 15, 25])
def test_a_store_that_goes_away_leaves_the_release(
    requests: int, indexed: Corpus, proxy: FaultProxy, s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some requests there is no answer any more: one clear error; the next run needs no cleaning."""
    monkeypatch.setenv("RAGLINE_STORE_RETRY_SECONDS", "1")
    before = indexed.index.pointer()
    indexed.write(note5="# Note 5\n\nYet another changed note.")
    proxy.plan(*[Fault.NONE] * requests, *[Fault.RESET] * 2000)
    with pytest.raises(StoreError, match=r"ragline"):
        indexed.run()
    proxy.heal()
    assert indexed.index.pointer() == before
    assert_whole(indexed.index, tmp_path / "scratch")
    assert indexed.run().manifest.counts["documents"] == 12
    assert_whole(Index(open_store(f"{s3.uri}/ragline"), "default"), tmp_path / "scratch")
