"""How good the answers are: own questions must be answered, questions about another corpus refused.

    python -m benchmarks.answers

Three corpora are indexed, each into a store of its own. Each is asked its own questions and those of the other two.
Some questions about one corpus may by chance be answered in another (encyclopedia articles touch on most subjects), so
that refusing all of them is not the aim.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import corpora
from benchmarks.processes import RAGLINE, measure

DOCUMENTS = {
    "docs-determined": "docs-determined/snapshot-2024-05-31",
    "qa-wiki": "qa-wiki/passages.jsonl",
    "qa-covid": "qa-covid/documents.jsonl",
}
TARGETS = {
    ("docs-determined", "source_hit@4"): 0.95,
    ("docs-determined", "answer_contained"): 0.65,
    ("qa-wiki", "source_hit@4"): 0.95,
    ("qa-wiki", "answer_contained"): 0.65,
}
REFUSED_OWN = 0.10
REFUSED_OTHER = 0.90

Results = dict[str, dict[str, dict[str, Any]]]


def ask_all(names: list[str], data: Path, ragline: Path) -> Results:
    """Index the corpora and ask each all questions; return the scores by corpus and question set."""
    results: Results = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            store = Path(scratch) / name
            measure([ragline, "index", data / DOCUMENTS[name], "--store", store, "--json"])
            results[name] = {}
            for asked in names:
                questions = data / asked / "questions.jsonl"
                command = [ragline, "eval", "--questions", questions, "--store", store, "--json"]
                results[name][asked] = measure(command).last
                print(f"{name} asked {asked}: {_readable(results[name][asked])}", flush=True)
    return results


def judge(results: Results) -> Iterator[tuple[str, float, str, bool]]:
    """Yield each figure that has a target: what it is, its value, the target, whether it is reached."""
    for (name, figure), target in TARGETS.items():
        if name in results:
            value = results[name][name][figure]
            yield f"{name} {figure}", value, f"at least {target:.0%}", value >= target
    for name, row in results.items():
        for asked, scores in row.items():
            if asked == name:
                value = scores["refused_answerable"]
                yield f"{name} refuses own answerable", value, f"at most {REFUSED_OWN:.0%}", value <= REFUSED_OWN
            else:
                value = scores["refused"]
                yield f"{name} refuses {asked}", value, f"at least {REFUSED_OTHER:.0%}", value >= REFUSED_OTHER


def _readable(scores: dict[str, Any]) -> str:
    return "  ".join(f"{key} {value:.3f}" for key, value in scores.items() if isinstance(value, float))


def main() -> None:
    """Ask all questions, print the figures beside their targets and one JSON object at the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.answers", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=corpora.DATA, help="data folder (default: %(default)s)")
    parser.add_argument("--only", choices=DOCUMENTS, action="append", help="these corpora and their questions only")
    parser.add_argument("--ragline", type=Path, default=RAGLINE, help="the ragline command (default: %(default)s)")
    options = parser.parse_args()
    results = ask_all(options.only or list(DOCUMENTS), options.data, options.ragline)
    for figure, value, target, reached in judge(results):
        print(f"{figure:<44}{value:7.1%}  target {target:<13}{'' if reached else '  MISSED'}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
