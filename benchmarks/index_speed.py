"""How many documents a CPU second indexes: ragline beside LangChain and LlamaIndex, on the same model and documents.

    python -m benchmarks.index_speed --peers-python PEERS/bin/python

Every system starts in a fresh process with an empty store. ragline is charged with everything: reading and parsing
the files, each step of the pipeline with its interpreter and imports, the lexical index, the checks and publishing. The
peers get the decoded text (markup of HTML pages removed beforehand) and their imports are not charged. The ratio
printed is therefore a lower bound; `cpu_with_imports` gives their whole process.

For ragline a second index is built over the same store, where every vector is already at hand: that is the cost of
everything but embedding.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import corpora
from benchmarks.processes import RAGLINE, measure

SYSTEMS = ("ragline", "langchain", "llamaindex")
PEERS = Path(__file__).parent / "peers"


def compare(name: str, systems: Sequence[str], options: argparse.Namespace) -> dict[str, Any]:
    """Index one corpus with each system; return what each took and the ratios to ragline."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        count = corpora.write_documents(name, folder / "documents", options.data, limit=options.limit)
        corpora.write_texts(folder / "documents", folder / "texts.jsonl")
        print(f"{name}: {count:,} documents", flush=True)
        rows = {}
        for system in systems:
            measured = _ragline(folder, options) if system == "ragline" else _peer(system, folder, options)
            rows[system] = measured | {"documents_per_cpu_second": round(count / measured["cpu"], 3)}
            print(f"  {system:<11}{_readable(rows[system])}", flush=True)
    return {"documents": count, "systems": rows, "ratio": _ratios(rows)}


def _ragline(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    command = [options.ragline, "index", folder / "documents", "--store", folder / "store", "--json"]
    full = measure(command, nice=options.nice)
    again = measure([*command, "--name", "again"], nice=options.nice)
    return {
        "cpu": round(full.cpu, 2),
        "wall": round(full.wall, 2),
        "chunks": full.last["chunks"],
        "cpu_without_embedding": round(again.cpu, 2),
        "share_without_embedding": round(again.cpu / full.cpu, 4),
    }


def _peer(system: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    (folder / system).mkdir()
    command = [options.peers_python, PEERS / f"{system}_index.py", folder / "texts.jsonl", folder / system]
    measured = measure(command, nice=options.nice, env={"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})
    imports = measured.last["cpu_total"] - measured.last["cpu_work"]
    return {
        "cpu": round(measured.cpu - imports, 2),
        "cpu_with_imports": round(measured.cpu, 2),
        "wall": round(measured.wall, 2),
        "chunks": measured.last["chunks"],
    }


def _ratios(rows: dict[str, dict[str, Any]]) -> dict[str, float]:
    if "ragline" not in rows:
        return {}
    own = rows["ragline"]["cpu"]
    return {system: round(row["cpu"] / own, 2) for system, row in rows.items() if system != "ragline"}


def _readable(row: dict[str, Any]) -> str:
    return "  ".join(f"{key} {value:,}" for key, value in row.items())


def main() -> None:
    """Compare the systems on the corpora and print one JSON object at the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.index_speed", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=corpora.DATA, help="data folder (default: %(default)s)")
    parser.add_argument("--corpus", choices=corpora.CORPORA, action="append", help="default: all")
    parser.add_argument("--only", choices=SYSTEMS, action="append", help="default: all")
    parser.add_argument("--limit", type=int, default=0, help="about this many documents; 0: all (default)")
    parser.add_argument("--peers-python", type=Path, help="Python of the environment in peers/requirements.txt")
    parser.add_argument("--ragline", type=Path, default=RAGLINE, help="the ragline command (default: %(default)s)")
    parser.add_argument("--nice", type=int, default=0, help="lower the priority of what is measured")
    options = parser.parse_args()
    systems = options.only or SYSTEMS
    if options.peers_python is None and set(systems) - {"ragline"}:
        parser.error("--peers-python is needed for langchain and llamaindex (or: --only ragline)")
    results = {name: compare(name, systems, options) for name in options.corpus or corpora.CORPORA}
    for name, result in results.items():
        for system, ratio in result["ratio"].items():
            print(f"{name}: ragline indexes {ratio} times the documents per CPU second of {system} (target: 4)")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
