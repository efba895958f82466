"""What a run costs when little or nothing changed: ragline beside LangChain and LlamaIndex, on 2,000 documents.

    python -m benchmarks.reindex_speed --peers-python PEERS/bin/python

Each system indexes 2,000 abstracts of SciFact, then the same again, then with 1 % of them edited, each time in a
fresh process over what it kept. CPU seconds are those of the whole process tree; the peers' imports count in `cpu` and
are taken out in `work`. The peers get the texts decoded, in one file; ragline reads 2,000 files, and runs its checks.

Then the exactness of ragline alone: one change of each kind, and how many texts it embeds.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import corpora
from benchmarks.index_speed import PEERS, SYSTEMS
from benchmarks.processes import RAGLINE, measure

DOCUMENTS, EDITED = 2000, 20
TARGET = 0.5
_SINGLE = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def write_files(folder: Path, data: Path) -> None:
    """Write abstracts as text files."""
    with tempfile.TemporaryDirectory() as scratch:
        corpora.write_documents("scifact", Path(scratch), data)
        lines = (Path(scratch) / "corpus.jsonl").read_text(encoding="utf-8").splitlines()[:DOCUMENTS]
    folder.mkdir(parents=True)
    for row in map(json.loads, lines):
        (folder / f"{row['_id']}.txt").write_text(f"{row['title']}\n\n{row['text']}\n", encoding="utf-8")


def compare(folder: Path, systems: Sequence[str], options: argparse.Namespace) -> dict[str, Any]:
    """Return what each system took for the full index, the same again, and the edited documents."""
    documents, rows = folder / "documents", {system: dict[str, Any]() for system in systems}
    write_files(documents, options.data)
    for phase in ("full", "again", "edited"):
        if phase == "edited":
            for path in sorted(documents.iterdir())[:: DOCUMENTS // EDITED]:
                path.write_text(path.read_text(encoding="utf-8") + "\nThis sentence is new.\n", encoding="utf-8")
        corpora.write_texts(documents, folder / "texts.jsonl")
        for system in systems:
            rows[system][phase] = _run(system, folder, options)
            print(f"{phase:<7}{system:<11}{rows[system][phase]}", flush=True)
    return rows


def _run(system: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    kept = folder / system
    kept.mkdir(exist_ok=True)
    if system == "ragline":
        measured = measure([options.ragline, "index", folder / "documents", "--store", kept, "--json"])
        return {"cpu": round(measured.cpu, 2), "wall": round(measured.wall, 2), "embedded": measured.last["embedded"]}
    script = PEERS / f"{system}_index.py"
    measured = measure([options.peers_python, script, folder / "texts.jsonl", kept], env=_SINGLE)
    return {"cpu": round(measured.cpu, 2), "wall": round(measured.wall, 2), "work": measured.last["cpu_work"]}


Change = Callable[[Path], object]
_LONG = "\n\n".join(f"## Part {part}\n\n" + f"Sentence of part {part} on the harbour. " * 25 for part in range(12))


def _replace(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new, 1))


CHANGES: dict[str, tuple[Change, int]] = {
    "the same again": (lambda _: None, 0),
    "content of a short document": (lambda docs: _replace(docs / "note1.md", "keeper", "captain"), 1),
    "one word of a long document": (lambda docs: _replace(docs / "long.md", "of part 7 on", "of part 7 about"), 1),
    "metadata": (lambda docs: _replace(docs / "facts.md", "1931", "1932"), 0),
    "move": (lambda docs: (docs / "note2.md").rename(docs / "moved.md"), 0),
    "delete": (lambda docs: (docs / "note3.md").unlink(), 0),
    "duplicate": (lambda docs: (docs / "copy.md").write_text((docs / "long.md").read_text()), 0),
}


def exactness(folder: Path, ragline: Path) -> dict[str, tuple[int, int]]:
    """Return, for each kind of change, how many texts are new and how many were embedded."""
    documents = folder / "documents"
    documents.mkdir(parents=True)
    for number in range(30):
        (documents / f"note{number}.md").write_text(f"# Note {number}\n\nThe keeper wrote note {number}.\n")
    (documents / "facts.md").write_text("---\nyear: 1931\n---\n# Facts\n\nThe tower is green.\n")
    (documents / "long.md").write_text(_LONG)
    command = [ragline, "index", documents, "--store", folder / "store", "--json"]
    measure(command)
    results = {}
    for kind, (change, expected) in CHANGES.items():
        change(documents)
        results[kind] = (expected, int(measure(command).last["embedded"]))
        print(f"{kind:<30}expected {expected}  embedded {results[kind][1]}", flush=True)
    return results


def main() -> None:
    """Compare the systems, try each kind of change, and print one JSON object at the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reindex_speed", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=corpora.DATA, help="data folder (default: %(default)s)")
    parser.add_argument("--only", choices=SYSTEMS, action="append", help="default: all")
    parser.add_argument("--peers-python", type=Path, help="Python of the environment in peers/requirements.txt")
    parser.add_argument("--ragline", type=Path, default=RAGLINE, help="the ragline command (default: %(default)s)")
    options = parser.parse_args()
    systems = options.only or SYSTEMS
    if options.peers_python is None and set(systems) - {"ragline"}:
        parser.error("--peers-python is needed for langchain and llamaindex (or: --only ragline)")
    with tempfile.TemporaryDirectory() as scratch:
        exact = exactness(Path(scratch) / "exact", options.ragline)
        rows = compare(Path(scratch), systems, options)
    ratios = {
        system: {
            phase: round(rows["ragline"][phase]["cpu"] / rows[system][phase]["cpu"], 2) for phase in ("again", "edited")
        }
        for system in systems
        if system != "ragline" and "ragline" in systems
    }
    for system, ratio in ratios.items():
        print(f"CPU of ragline to {system}: {ratio['again']} unchanged, {ratio['edited']} edited (target: {TARGET})")
    print(json.dumps({"systems": rows, "ratios": ratios, "exact": exact}))


if __name__ == "__main__":
    main()
