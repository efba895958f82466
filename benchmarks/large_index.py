"""What a small change costs in a large index: a run that changes 0.1 %, beside one that builds the same release anew.

    python -m benchmarks.large_index

Runs against a real S3 server on this machine. Vectors are synthetic, spread around a few hundred centres, and stored
beforehand under the digests of the texts, so that building an index is measured and not embedding; only the texts
that change are embedded. Seconds of the steps are those of the run's own report; `live` is from the plan to the moved
pointer.
"""

import argparse
import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import corpora
from benchmarks.processes import RAGLINE, measure
from benchmarks.s3_server import BUCKET, s3_server
from ragline.object_store import open_store
from ragline.reindex.chunk import chunk_documents
from ragline.reindex.snapshot import snapshot_documents
from ragline.release import Index
from ragline.tables import read_rows
from ragline.vectors import Shard, Vectors

SIZES = (1_000, 10_000, 100_000)
CHANGED = 0.001
STEPS = ("snapshot", "chunk", "plan", "embed", "index", "check", "publish")
LIVE = STEPS[2:]
RATIO, MEMORY = 0.15, 2.5e9
_EMBEDDER = "all-MiniLM-L6-v2"
_DIMENSIONS = 384
_PART = 8192
_FILE = 1000


def sentences(data: Path) -> list[str]:
    """Return sentences of SciFact's abstracts."""
    with tempfile.TemporaryDirectory() as scratch:
        corpora.write_documents("scifact", Path(scratch), data)
        lines = (Path(scratch) / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    texts = (json.loads(line)["text"] for line in lines)
    return [sentence.strip() for text in texts for sentence in text.split(". ") if 40 < len(sentence) < 200]


def write_rows(folder: Path, stock: list[str], count: int, changed: int) -> None:
    """Write `count` rows of about 60 tokens in files of a thousand; `changed` rows, spread over all, have a new end."""
    folder.mkdir(parents=True, exist_ok=True)
    every = count // changed if changed else count + 1
    for start in range(0, count, _FILE):
        rows = range(start, min(start + _FILE, count))
        lines = [
            json.dumps({"id": str(row), "text": _text(stock, row, new=not row % every and changed)}) for row in rows
        ]
        (folder / f"{start // _FILE:05}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _text(stock: list[str], row: int, *, new: object) -> str:
    chosen = random.Random(row).choices(stock, k=2)
    return ". ".join([*chosen, f"Entry {row}" + (" was changed" if new else "")]) + "."


def store_vectors(documents: Path) -> int:
    """Store a vector for every text of the documents; return how many chunks there are."""
    with tempfile.TemporaryDirectory() as scratch:
        table, chunks = Path(scratch) / "documents", Path(scratch) / "chunks"
        snapshot_documents(str(documents), table, Path(scratch) / "unreadable")
        made = chunk_documents(table, chunks, embedder=_EMBEDDER)
        keys = [row["digest"] for row in read_rows(chunks, ["digest"])]
    vectors = Vectors(open_store(BUCKET), made.model_digest)
    for part, found in _parts(sorted(set(keys) - vectors.known(Shard()))):
        vectors.write(Shard(), part, found)
    return made.chunks


def _parts(keys: list[str]) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yield keys and unit vectors: 48 directions that matter, 500 centres, and noise."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(500, 48))
    frame = generator.normal(size=(48, _DIMENSIONS))
    for start in range(0, len(keys), _PART):
        part = keys[start : start + _PART]
        inner = centres[generator.integers(0, 500, len(part))] + 0.7 * generator.normal(size=(len(part), 48))
        rows = inner @ frame + 0.5 * generator.normal(size=(len(part), _DIMENSIONS))
        yield part, (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def index(documents: Path, name: str, ragline: Path) -> dict[str, Any]:
    """Run ragline; return the seconds of each step, the size of the release, and CPU and memory of all processes."""
    command = [ragline, "index", documents, "--store", BUCKET, "--name", name, "--json"]
    measured = measure(command, interval=0.2)
    published = Index(open_store(BUCKET), name)
    seconds, files = published.last_run()["seconds"], published.current().files.values()
    row: dict[str, Any] = {step: round(seconds[step], 2) for step in STEPS}
    row["live"] = round(sum(seconds[step] for step in LIVE), 2)
    row["bytes"] = sum(file["bytes"] for file in files)
    return row | {"cpu": round(measured.cpu, 1), "peak": measured.peak, "embedded": measured.last["embedded"]}


def compare(count: int, stock: list[str], ragline: Path, folder: Path) -> dict[str, Any]:
    """Index `count` rows, change a few, and bring the index up to date in both ways."""
    documents, name = folder / f"documents-{count}", f"rows-{count}"
    write_rows(documents, stock, count, 0)
    chunks = store_vectors(documents)
    index(documents, name, ragline)
    write_rows(documents, stock, count, max(1, int(count * CHANGED)))
    change = index(documents, name, ragline)
    anew = index(documents, f"{name}-anew", ragline)
    for label, row in (("change", change), ("anew", anew)):
        print(
            f"{chunks:>8,} chunks  {label:<7}" + "  ".join(f"{key} {value:,}" for key, value in row.items()), flush=True
        )
    return {"chunks": chunks, "change": change, "anew": anew, "ratio": round(change["live"] / anew["live"], 3)}


def main() -> None:
    """Compare at each size and print one JSON object at the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_index", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=corpora.DATA, help="data folder (default: %(default)s)")
    parser.add_argument("--size", type=int, action="append", help="number of chunks (default: 1000, 10000, 100000)")
    parser.add_argument("--ragline", type=Path, default=RAGLINE, help="the ragline command (default: %(default)s)")
    options = parser.parse_args()
    stock = sentences(options.data)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "s3"
        folder.mkdir()
        with s3_server(folder):
            results = [compare(size, stock, options.ragline, Path(scratch)) for size in options.size or SIZES]
    for result in results:
        peak = max(result["change"]["peak"], result["anew"]["peak"])
        print(
            f"{result['chunks']:,} chunks: a change of {CHANGED:.1%} goes live in {result['ratio']:.1%} of the time of "
            f"building anew (target at 100,000: {RATIO:.0%}); peak {peak / 1e9:.2f} GB (target: {MEMORY / 1e9} GB)"
        )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
