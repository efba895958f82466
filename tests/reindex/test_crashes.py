"""A run that dies at any moment leaves a whole release serving, and the next run needs no cleaning."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragline.object_store import open_store
from ragline.reindex.plan import Plan
from ragline.verification import verify_release
from tests.conftest import Bucket
from tests.reindex.conftest import Corpus

STEPS = (
    "snapshot_documents",
    "chunk_documents",
    "plan_shards",
    "embed_shard",
    "build_index",
    "check_index",
    "publish_release",
    "report_run",
)
COMMAND = [sys.executable, "-m", "ragline", "index"]


@pytest.fixture(params=["folder", "s3"])
def indexed(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """A corpus that is indexed once, in a folder and on a real S3 server."""
    monkeypatch.setenv("RAGLINE_CACHE", str(tmp_path / "cache"))
    if request.param == "s3":
        bucket: Bucket = request.getfixturevalue("s3")
        uri = f"{bucket.uri}/ragline"
    else:
        (tmp_path / "store").mkdir()
        uri = str(tmp_path / "store")
    corpus = Corpus(tmp_path / "docs", uri, tmp_path / "work")
    corpus.write(**{f"note{number}": f"# Note {number}\n\nThe keeper wrote note {number}." for number in range(30)})
    corpus.run()
    return corpus


def start(corpus: Corpus) -> "subprocess.Popen[str]":
    """Start the command as a user would, in a process group of its own."""
    command = [*COMMAND, str(corpus.documents), "--store", corpus.store_uri, "--json"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )


def kill(process: "subprocess.Popen[str]") -> None:
    """Kill the command and all that it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def wait_for_step(process: "subprocess.Popen[str]", step: str) -> None:
    """Wait until a step of the run is under way."""
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        if any(step in line for line in _commands(process.pid)):
            return
        time.sleep(0.005)
    raise AssertionError(f"the run did not come to {step}")


def _commands(group: int) -> Iterator[str]:
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.getpgid(int(entry.name)) == group:
                yield (entry / "cmdline").read_text()
        except OSError:
            continue


def assert_whole(corpus: Corpus, allowed: set[str], scratch: Path) -> None:
    """A reader sees the old release or the new one, with all its files."""
    release = corpus.index.pointer().release
    assert release in allowed
    scratch.mkdir(parents=True, exist_ok=True)
    assert verify_release(corpus.index, release, scratch).problems == ()


def attempt(corpus: Corpus, number: int, tmp_path: Path, moment: str | float) -> None:
    """Change the documents, kill a run at the moment, look, and run again."""
    corpus.write(**{f"note{number % 30}": f"# Note\n\nChanged for the attempt number {number}."})
    (tmp_path / f"plan-{number}").mkdir()
    planned = corpus.plan(tmp_path / f"plan-{number}").origin.release
    before = corpus.index.pointer().release
    process = start(corpus)
    if isinstance(moment, str):
        wait_for_step(process, moment)
        time.sleep(random.Random(number).uniform(0, 0.4))
    else:
        time.sleep(moment)
    kill(process)
    assert_whole(corpus, {before, planned}, tmp_path / "scratch")
    assert corpus.run().manifest.release == planned
    assert_whole(corpus, {planned}, tmp_path / "scratch")


@pytest.mark.slow
def test_a_run_may_die_in_any_step(indexed: Corpus, tmp_path: Path) -> None:
    """Killed in each step: the old release or the new one serves, whole; the next run publishes."""
    for number, step in enumerate(STEPS):
        attempt(indexed, number, tmp_path, step)


@pytest.mark.slow
def test_a_run_may_die_at_any_moment(indexed: Corpus, tmp_path: Path) -> None:
    """Killed at twenty moments spread over a run."""
    indexed.write(first="How long does a run take here?")
    begun = time.monotonic()
    start(indexed).communicate()
    length = time.monotonic() - begun
    moments = [random.Random(number).uniform(0, length) for number in range(20)]
    for number, moment in enumerate(moments):
        attempt(indexed, number, tmp_path, moment)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_runs_at_once_on_one_index_end_with_one_winner(count: int, indexed: Corpus, tmp_path: Path) -> None:
    """Each run publishes, or ends with one clear error; what is live is whole, and of a run that published."""
    corpora = [
        Corpus(tmp_path / f"docs{number}", indexed.store_uri, tmp_path / f"w{number}") for number in range(count)
    ]
    for number, corpus in enumerate(corpora):
        corpus.write(**{path.stem: path.read_text() for path in indexed.documents.iterdir()})
        corpus.write(own=f"# Run {number}\n\nOnly run {number} has this document.")
    processes = [start(corpus) for corpus in corpora]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    published = []
    for process, output, corpus in zip(processes, outputs, corpora, strict=True):
        if process.returncode:
            assert process.returncode == 1
            assert '"error": "ConflictError"' in output
            assert "start the run again" in output
        else:
            work = tmp_path / f"plan-{corpus.documents.name}"
            work.mkdir()
            published.append(corpus.plan(work).origin.release)
    assert published
    assert_whole(indexed, set(published), tmp_path / "scratch")


@pytest.mark.slow
def test_two_runs_share_one_store_of_vectors(indexed: Corpus, tmp_path: Path) -> None:
    """Two indexes of the same new documents at once: both are published, and every text has one vector."""
    indexed.write(**{f"new{number}": f"# New {number}\n\nA new text, number {number}." for number in range(40)})
    indexes = [Corpus(indexed.documents, indexed.store_uri, tmp_path / name, name=name) for name in ("one", "two")]
    command = [*COMMAND, str(indexed.documents), "--store", indexed.store_uri, "--json", "--name"]
    processes = [subprocess.Popen([*command, index.name], stdout=subprocess.PIPE, text=True) for index in indexes]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert indexes[0].index.pointer().release == indexes[1].index.pointer().release
    work = tmp_path / "plan"
    work.mkdir()
    plan: Plan = indexes[0].plan(work)
    assert (plan.embed, plan.changed) == (0, False)
    assert open_store(indexed.store_uri).exists("indexes/one/current.json")
