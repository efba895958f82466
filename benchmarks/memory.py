"""How much memory a full index takes, and whether it grows with the number of documents.

    python -m benchmarks.memory

Generated Markdown is indexed twice, the second time twice as much of it. Memory is the proportional set size summed
over the whole process tree, looked at several times a second: pages that processes share count once.
"""

import argparse
import json
import math
import random
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.processes import RAGLINE, measure

LIMIT = 1.5e9
INTERVAL = 0.1
PROBE = 40
SECTIONS = 10
VOCABULARY = """
able about address after again answer area average batch before begin block build cache call change check city client
cluster column command common compare computer config copy count course create cycle data default delete depend device
direct document driver early edge empty engine error event every example expect export extra field figure file filter
first folder format forward frame function general graph group handle header history house image import index input
kernel label language large layer letter level library limit line list local machine manager market master matrix
measure memory message method middle minute model module moment network number object offset open order output page
parallel pattern people period place plan point policy port position power precise price print process product program
project public quality query queue random range rate reader reason record region release report request resource
result river root round route sample schedule scope search second section server service session signal simple single
size source space special standard state step storage stream string structure summer system table target task
temperature test text thread time total training transfer tree type update user value vector version view volume wait
water window winter worker write year zone
"""


def write_documents(folder: Path, count: int) -> None:
    """Write Markdown files of `SECTIONS` sections; words repeat, numbers keep all texts different."""
    words = VOCABULARY.split()
    for number in range(count):
        chance = random.Random(number)
        sections = (f"## {chance.choice(words)} {index}\n\n{_paragraph(chance, words)}\n" for index in range(SECTIONS))
        path = folder / f"{number // 1000:03}" / f"{number:06}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# Document {number}\n\n" + "\n".join(sections), encoding="utf-8")


def _paragraph(chance: random.Random, words: list[str]) -> str:
    sentences = (
        " ".join([*chance.choices(words, k=chance.randint(8, 20)), str(chance.randrange(10**6))]).capitalize() + "."
        for _ in range(10)
    )
    return " ".join(sentences)


def index(count: int, ragline: Path) -> dict[str, Any]:
    """Index so many documents into a new store; return the counts and the peak in bytes."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_documents(folder / "documents", count)
        command = [ragline, "index", folder / "documents", "--store", folder / "store", "--json"]
        measured = measure(command, interval=INTERVAL)
    row = {"documents": count, "chunks": measured.last["chunks"], "peak": measured.peak}
    row |= {"cpu": round(measured.cpu, 1), "wall": round(measured.wall, 1)}
    print("  ".join(f"{key} {value:,}" for key, value in row.items()), flush=True)
    return row


def main() -> None:
    """Index a probe, then the corpus and twice the corpus; print one JSON object at the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__.split("\n")[0])
    parser.add_argument("--chunks", type=int, default=20_000, help="size of the first run (default: %(default)s)")
    parser.add_argument("--ragline", type=Path, default=RAGLINE, help="the ragline command (default: %(default)s)")
    options = parser.parse_args()
    probe = index(PROBE, options.ragline)
    count = math.ceil(options.chunks * PROBE / probe["chunks"])
    single, double = index(count, options.ragline), index(2 * count, options.ragline)
    growth = double["peak"] / single["peak"]
    per_chunk = (double["peak"] - single["peak"]) / (double["chunks"] - single["chunks"])
    print(f"peak {single['peak'] / 1e9:.2f} GB for {single['chunks']:,} chunks (target: at most {LIMIT / 1e9} GB)")
    print(f"twice the documents: {growth:.2f} times the peak, {per_chunk:,.0f} bytes for each further chunk")
    print(json.dumps({"probe": probe, "single": single, "double": double, "growth": round(growth, 3)}))


if __name__ == "__main__":
    main()
