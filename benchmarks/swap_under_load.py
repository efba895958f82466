"""What askers notice when a service exchanges its release: nothing fails, little waits, the new text is there soon.

    python -m benchmarks.swap_under_load

The two snapshots of docs-determined become two releases. Eight askers ask without a pause, in one process with a
service's `LiveIndex`: each question is embedded, searched and answered with quotes. In the middle the pointer moves to
the second release, which is not in the cache yet, and later back to the first, as `ragline rollback` does. Each round
begins with an empty cache. Times are measured where the askers are; the swap's window lasts from the pointer's move to
the last answer from the release before.
"""

import argparse
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, count, cycle
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import corpora
from benchmarks.processes import RAGLINE, measure
from ragline.live import LiveIndex
from ragline.object_store import open_store
from ragline.release import Index
from ragline.rollback import roll_back

NAME = "default"
TARGETS = {"failed": 0.0, "swap_p99_ratio": 3.0, "new_text_seconds": 5.0, "rollback_seconds": 5.0}
_LONGEST_SWAP = 120.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: when it began and ended, which release answered, with which words; or why it failed."""

    begun: float
    ended: float
    release: str
    text: str
    error: str = ""

    @property
    def seconds(self) -> float:
        """How long the asker waited."""
        return self.ended - self.begun


class Askers:
    """Threads that ask the same questions in turn, without a pause."""

    def __init__(self, live: LiveIndex, questions: Sequence[str], number: int) -> None:
        self.asked: list[Asked] = []
        self._live = live
        self._questions = questions
        self._turn = count()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(number)]

    def __enter__(self) -> "Askers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._stop.is_set():
            question = self._questions[next(self._turn) % len(self._questions)]
            begun = time.monotonic()
            try:
                with self._live.answerer() as answerer:
                    answer = answerer.ask(question)
                text = " ".join(citation.quote for citation in answer.citations)
                asked = Asked(begun, time.monotonic(), answer.release, text)
            except Exception as exc:  # noqa: BLE001  each failure is counted and shown
                asked = Asked(begun, time.monotonic(), "", "", f"{type(exc).__name__}: {exc}")
            self.asked.append(asked)

    def wait_for(self, release: str) -> None:
        """Wait until a release has answered, and the one before does no more."""
        end = time.monotonic() + _LONGEST_SWAP
        while self._live.status().release != release or self._live.status().draining:
            if time.monotonic() > end:
                raise SystemExit(f"no exchange within {_LONGEST_SWAP:.0f} s: {self._live.status()}")
            time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Move:
    """One move of the pointer: when it was made, to which release, and which texts show it; none means any answer."""

    at: float
    release: str
    texts: Sequence[str]

    def seen(self, asked: Sequence[Asked]) -> tuple[float, float]:
        """Return the seconds until a question was asked whose answer shows the release, and until it was answered."""
        found = [each for each in asked if each.release == self.release and each.ended > self.at and self._shows(each)]
        if not found:
            return float("inf"), float("inf")
        return min(each.begun for each in found) - self.at, min(each.ended for each in found) - self.at

    def window(self, asked: Sequence[Asked], end: float) -> list[float]:
        """Return how long askers waited whose question was in flight between the move and the last old answer."""
        old = [each.ended for each in asked if each.begun < end and each.release not in ("", self.release)]
        last = max((ended for ended in old if ended > self.at), default=self.at)
        return [each.seconds for each in asked if each.ended > self.at and each.begun < last]

    def _shows(self, asked: Asked) -> bool:
        return not self.texts or any(text in asked.text for text in self.texts)


@dataclass(frozen=True, slots=True)
class Round:
    """What one round came to: the waits of askers, in seconds, and how long the exchanges took."""

    steady: list[float]
    swap: list[float]
    rollback: list[float]
    new_text_asked_seconds: float
    new_text_seconds: float
    rollback_asked_seconds: float
    rollback_seconds: float
    load_seconds: float
    failed: list[str]


def run_round(index: Index, releases: tuple[str, str], questions: "Questions", options: argparse.Namespace) -> Round:
    """Serve the first release, go to the second, go back; with askers all the time."""
    index.point(index.manifest(releases[0]), "benchmark")
    with (
        tempfile.TemporaryDirectory() as cache,
        LiveIndex(index.store.uri, NAME, Path(cache), **_interval(options)) as live,
    ):
        if not live.wait(_LONGEST_SWAP):
            raise SystemExit(f"not ready: {live.status()}")
        with Askers(live, questions.texts, options.askers) as askers:
            time.sleep(options.warm)
            begin = time.monotonic()
            time.sleep(options.steady)
            forward = Move(time.monotonic(), releases[1], questions.only_new)
            index.point(index.manifest(releases[1]), "benchmark")
            askers.wait_for(releases[1])
            load_seconds = live.status().swap_seconds
            time.sleep(options.steady / 2)
            back = Move(time.monotonic(), releases[0], ())
            roll_back(index, releases[0])
            askers.wait_for(releases[0])
            time.sleep(options.steady / 2)
        asked = list(askers.asked)
    steady = [each.seconds for each in asked if begin < each.begun and each.ended < forward.at]
    return Round(
        steady,
        forward.window(asked, back.at),
        back.window(asked, float("inf")),
        *forward.seen(asked),
        *back.seen(asked),
        load_seconds,
        [each.error for each in asked if each.error],
    )


def _interval(options: argparse.Namespace) -> dict[str, Any]:
    return {"interval": options.interval} if options.interval else {}


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked, and the answers that only the second snapshot has."""

    texts: Sequence[str]
    only_new: Sequence[str]

    @classmethod
    def read(cls, path: Path, old: Path) -> "Questions":
        """Read the questions; every other one is about something new, so that it is seen at once when it is there."""
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        before = "\n".join(file.read_text("utf-8", "replace") for file in sorted(old.rglob("*")) if file.is_file())
        new = [row for row in rows if row["status"] == "only-new"]
        others = [row["question"] for row in rows if row["status"] != "only-new"]
        pairs = zip(cycle(row["question"] for row in new), others, strict=False)
        answers = {answer for row in new for answer in row["answer_any_of"]}
        return cls(list(chain.from_iterable(pairs)), sorted(answer for answer in answers if answer not in before))


def index_both(documents: tuple[Path, Path], store: Path, scratch: Path, ragline: Path) -> tuple[str, str]:
    """Publish both snapshots as releases of one index; return their names."""
    names = []
    for folder in documents:
        place = scratch / "documents"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(folder, place)
        measure([ragline, "index", place, "--store", store, "--name", NAME, "--allow-shrink", "--json"])
        names.append(Index(open_store(str(store)), NAME).current().release)
    return names[0], names[1]


def summarise(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return the figures of all rounds: waits pooled, the slowest of the times until a text is there."""
    waits = {
        name: [value for each in rounds for value in getattr(each, name)] for name in ("steady", "swap", "rollback")
    }
    figures: dict[str, Any] = {"rounds": len(rounds), "failed": float(sum(len(each.failed) for each in rounds))}
    for name, values in waits.items():
        figures |= {f"{name}_answers": len(values)}
        figures |= {
            f"{name}_p{level}_ms": round(1000 * float(np.quantile(values, level / 100)), 1) for level in (50, 99)
        }
    for name in ("swap", "rollback"):
        figures[f"{name}_p99_ratio"] = round(figures[f"{name}_p99_ms"] / figures["steady_p99_ms"], 2)
    for name in (
        "new_text_asked_seconds",
        "new_text_seconds",
        "rollback_asked_seconds",
        "rollback_seconds",
        "load_seconds",
    ):
        figures[name] = round(max(getattr(each, name) for each in rounds), 2)
    return figures


def judge(figures: dict[str, Any]) -> Iterator[tuple[str, float, float]]:
    """Yield each figure that has a target: its name, its value, the most it may be."""
    for name, target in TARGETS.items():
        yield name, figures[name], target


@contextmanager
def scratch_folder(place: Path | None) -> Iterator[Path]:
    """Give a folder: a temporary one, or one that is kept and whose releases are used again."""
    if place:
        place.mkdir(parents=True, exist_ok=True)
        yield place
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def releases_in(scratch: Path, documents: tuple[Path, Path], ragline: Path) -> tuple[str, str]:
    """Return the names of the two releases, made if they are not there yet."""
    known = scratch / "releases.json"
    if not known.is_file():
        known.write_text(json.dumps(index_both(documents, scratch / "store", scratch, ragline)))
    first, second = json.loads(known.read_text())
    return first, second


def main() -> None:
    """Run the rounds, print the figures beside their targets and one JSON object at the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.swap_under_load", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=corpora.DATA, help="data folder (default: %(default)s)")
    parser.add_argument("--askers", type=int, default=8, help="how many ask at once (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often all is done (default: %(default)s)")
    parser.add_argument("--steady", type=float, default=10.0, help="seconds without a swap (default: %(default)s)")
    parser.add_argument("--warm", type=float, default=3.0, help="seconds before times count (default: %(default)s)")
    parser.add_argument("--interval", type=float, default=0.0, help="seconds between looks (default: the service's)")
    parser.add_argument("--keep", type=Path, help="folder for the two releases, to use them again")
    parser.add_argument("--ragline", type=Path, default=RAGLINE, help="the ragline command (default: %(default)s)")
    options = parser.parse_args()
    folder = options.data / "docs-determined"
    documents = (folder / "snapshot-2023-08-31", folder / "snapshot-2024-05-31")
    questions = Questions.read(folder / "questions.jsonl", documents[0])
    rounds = []
    with scratch_folder(options.keep) as scratch:
        releases = releases_in(scratch, documents, options.ragline)
        index = Index(open_store(str(scratch / "store")), NAME)
        for number in range(options.rounds):
            rounds.append(run_round(index, releases, questions, options))
            print(f"round {number + 1}: {json.dumps(summarise(rounds[-1:]))}", flush=True)
            for error in sorted(set(rounds[-1].failed)):
                print(f"  failed: {error}", flush=True)
    figures = summarise(rounds) | {"askers": options.askers, "cpus": os.cpu_count()}
    for name, value, target in judge(figures):
        print(f"{name:<20}{value:8.2f}  target at most {target:g}{'' if value <= target else '  MISSED'}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
