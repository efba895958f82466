"""How well an index ranks: nDCG@10 of every mode on several sets, so that a fusion is not chosen for one of them.

    python -m benchmarks.retrieval_quality

SciFact has human judgments (its test split is what others report, its train split is there to choose settings by).
The question sets become retrieval sets: passages as documents, answerable questions as queries, the gold passage as the
only judgment.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import corpora
from benchmarks.processes import RAGLINE, measure

SETS = {
    "scifact": ("scifact", "test"),
    "scifact-train": ("scifact", "train"),
    "qa-wiki": ("qa-wiki", "test"),
    "qa-en": ("qa-en", "test"),
}
TARGET = ("scifact", "hybrid", 0.715)


def evaluate(folder: Path, split: str, store: Path, ragline: Path) -> dict[str, dict[str, Any]]:
    """Return the metrics of each mode on a BEIR folder."""
    command = [ragline, "eval", "--beir", folder, "--split", split, "--store", store, "--json"]
    lines = measure(command).stdout.splitlines()
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    return {row["mode"]: row for row in rows}


def main() -> None:
    """Evaluate the sets and print one JSON object at the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval_quality", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=corpora.DATA, help="data folder (default: %(default)s)")
    parser.add_argument("--set", dest="sets", choices=SETS, action="append", help="default: all")
    parser.add_argument("--ragline", type=Path, default=RAGLINE, help="the ragline command (default: %(default)s)")
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.sets or SETS:
            corpus, split = SETS[name]
            folder = Path(scratch) / corpus
            if not folder.exists():
                corpora.write_beir(corpus, folder, options.data)
            # A store for each corpus: the splits of one share its vectors.
            results[name] = evaluate(folder, split, Path(scratch) / f"{corpus}-store", options.ragline)
            scores = "  ".join(f"{mode} {row['ndcg@10']:.4f}" for mode, row in results[name].items())
            print(f"{name:<14} nDCG@10  {scores}", flush=True)
    name, mode, target = TARGET
    if name in results:
        print(f"{name}, {mode}: {results[name][mode]['ndcg@10']:.4f} (target: {target})")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
