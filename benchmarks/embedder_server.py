"""How many texts does a CPU second embed in a Triton server, beside the embedder in this process?

    make triton && python -m benchmarks.embedder_server

The embedded default is exported; a real server runs each variant. Questions come one by one from 16 callers, passages
16 at a time from one. CPU seconds are those of the server and its Python processes; the figures with the callers' own
follow. In this process the same texts go through `Embedder`, one question at a time and passages all at once.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ragline.embedding.embedder import Embedder
from ragline.embedding.model import DEFAULT, find_model
from ragline.embedding.triton_client import TritonEmbedder, version_of
from ragline.export.exported import export_model
from ragline.export.triton_model import DESCRIPTION
from ragline.export.triton_repository import MODEL
from ragline.triton_server import TritonServer

WORDS = 110
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print a line for each way, and last a JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=Path, default=Path("docs"), help="folder of Markdown files")
    parser.add_argument(
        "--triton", type=Path, default=Path("build/triton"), help="environment that `make triton` makes"
    )
    parser.add_argument("--texts", type=int, default=120)
    options = parser.parse_args()
    passages = _passages(options.documents)[: options.texts]
    questions = [" ".join(text.split()[: 5 + number % 9]) for number, text in enumerate(passages)]
    with tempfile.TemporaryDirectory() as folder:
        figures = _compare(Path(folder), options.triton, questions, passages)
    print(json.dumps(figures))


def _compare(folder: Path, triton: Path, questions: list[str], passages: list[str]) -> dict[str, Any]:
    model = find_model(DEFAULT)
    exported = export_model(model.folder, zip(questions, passages, strict=True), folder / "repository")
    figures: dict[str, Any] = {"variants": [variant.to_json() for variant in exported.variants]}
    embedder = Embedder(model)
    figures["in process"] = _measured(
        f"in process, {embedder.precision}", lambda text: embedder.embed([text]), embedder.embed, questions, passages, 1
    )
    for variant in exported.served:
        _prefer(folder / "repository" / MODEL / str(exported.version) / DESCRIPTION, variant)
        figures[variant] = _served(folder, triton, exported.digest, variant, questions, passages)
    return figures


def _served(
    folder: Path, triton: Path, digest: str, variant: str, questions: list[str], passages: list[str]
) -> dict[str, float]:
    with TritonServer.start(triton, folder / "repository", folder / "run", models=[MODEL]) as server:
        server.wait_ready({MODEL: [version_of(digest)]})
        client = TritonEmbedder(server.addresses.url, digest)
        name = f"Triton, {variant}"
        figures = _measured(name, lambda text: client.embed([text]), client.embed, questions, passages, 16, server)
        client.close()
    return figures


def _measured(
    name: str,
    one: Callable[[str], np.ndarray],
    many: Callable[[Sequence[str]], np.ndarray],
    questions: list[str],
    passages: list[str],
    callers: int,
    server: TritonServer | None = None,
) -> dict[str, float]:
    size = len(passages) if callers == 1 else 16
    parts = [passages[start : start + size] for start in range(0, len(passages), size)]
    figures = {}
    with ThreadPoolExecutor(callers) as pool:
        works: dict[str, Callable[[], object]] = {
            "questions": lambda: list(pool.map(one, questions)),
            "passages": lambda: list(map(many, parts)),
        }
        for kind, work in works.items():
            work()  # warm
            rounds = [_round(work, len(passages), server) for _ in range(3)]
            figures[f"{kind} per CPU second"] = max(rate for rate, _ in rounds)
            figures[f"{kind} per CPU second with the callers"] = max(rate for _, rate in rounds)
    waits = []
    for question in (*questions[:40], *questions[:40]):
        start = time.perf_counter()
        one(question)
        waits.append(time.perf_counter() - start)
    figures["ms for one question, idle, p50"] = statistics.median(waits[40:]) * 1000
    figures = {key: round(value, 1) for key, value in figures.items()}
    print(f"{name:18s}", ", ".join(f"{key} {value}" for key, value in figures.items()), flush=True)
    return figures


def _round(work: Callable[[], object], count: int, server: TritonServer | None) -> tuple[float, float]:
    before, served = time.process_time(), _session_cpu(server)
    work()
    own, theirs = time.process_time() - before, _session_cpu(server) - served
    return count / (theirs if server else own), count / (own + theirs)


def _session_cpu(server: TritonServer | None) -> float:
    """Return user and system seconds of the server and its Python processes."""
    seconds = 0.0
    for path in Path("/proc").glob("[0-9]*/stat") if server else ():
        fields = path.read_text().rpartition(") ")[2].split()
        if server and int(fields[3]) == server.process.pid:
            seconds += (int(fields[11]) + int(fields[12])) / _TICKS
    return seconds


def _prefer(path: Path, variant: str) -> None:
    """Let the server start with one variant."""
    description = json.loads(path.read_text())
    description["variants"].sort(key=lambda entry: entry["name"] != variant)
    path.write_text(json.dumps(description))


def _passages(folder: Path) -> list[str]:
    words = [path.read_text().split() for path in sorted(folder.rglob("*.md"))]
    return [" ".join(text[start : start + WORDS]) for text in words for start in range(0, len(text), WORDS)]


if __name__ == "__main__":
    main()
