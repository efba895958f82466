"""What the chain of services costs beside one process, how much it carries, and how it streams.

    make triton && python -m benchmarks.chain

20,000 chunks are indexed (or `--store` names an index), a real Triton server embeds, and the services run as plain
processes. Sides that are compared take turns, since a shared machine is never equally fast twice. Who asks is a process
of its own; the CPU time of every process is in the JSON object. The tutorial's way is benchmarks/chain_tutorial.py, the
language model's stand-in benchmarks/chain_backend.py. `--quick` shows that everything runs; its figures mean nothing.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from benchmarks import chain_measures as measures
from benchmarks import corpora
from benchmarks.chain_backend import MODEL as BACKEND_MODEL
from benchmarks.chain_load import Load
from benchmarks.chain_measures import Bench, Figure, Urls
from benchmarks.chain_processes import Processes
from benchmarks.chain_tutorial import store_documents
from benchmarks.large_index import sentences, write_rows
from benchmarks.processes import RAGLINE, measure
from ragline.answering import Answerer
from ragline.embedding.model import DEFAULT, find_model
from ragline.export.exported import export_model
from ragline.export.triton_repository import version_of
from ragline.object_store import open_store
from ragline.release import Index
from ragline.serving import open_answerer

NAME = "default"
CHUNKS = 20_000
MEASURES: dict[str, Callable[[Bench], list[Figure]]] = {
    "one": measures.one_by_one,
    "throughput": measures.throughput,
    "tutorial": measures.beside_the_tutorial,
    "streaming": measures.streaming,
    "cancellation": measures.cancellation,
}


def main() -> None:
    """Print a line for each figure, and last a JSON object."""
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        os.environ["RAGLINE_CACHE"] = str(folder.resolve() / "cache")
        prepared = Prepared(folder, options)
        figures: list[Figure] = []
        with prepared.bench(options) as bench:
            for name in options.only or MEASURES:
                for figure in MEASURES[name](bench):
                    print(figure, flush=True)
                    figures.append(figure)
    rows = [asdict(figure) | {"reached": figure.reached} for figure in figures]
    print(json.dumps({"figures": rows, "details": bench.details, "load_average": os.getloadavg()}))
    sys.exit(not all(figure.reached for figure in figures) and not options.quick)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=corpora.DATA, help="data folder (default: %(default)s)")
    parser.add_argument("--store", type=Path, help="an index named 'default' that is there already")
    parser.add_argument("--folder", type=Path, help="keeps index, model repository and logs for another run")
    parser.add_argument(
        "--triton", type=Path, default=Path("build/triton"), help="environment that `make triton` makes"
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often the sides take turns (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a turn under load (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=40, help="questions of a turn one by one (default: %(default)s)")
    parser.add_argument("--only", action="append", choices=MEASURES, help="measure only this; may be repeated")
    parser.add_argument("--quick", action="store_true", help="1,000 chunks and short turns, to see that it runs")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.batch = 1, 1.0, 5
    return options


class Prepared:
    """An index, the embedder's model repository and the tutorial's collection, made where they are missing."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._data: Path = options.data
        self._chunks = 1000 if options.quick else CHUNKS
        self.store: Path = options.store.resolve() if options.store else self._index()
        self.repository = self._repository()
        self.chroma = self._collection()
        queries = (self._data / "retrieval-scifact" / "queries.jsonl").read_text(encoding="utf-8").splitlines()
        self.questions = [json.loads(line)["text"] for line in queries]
        random.Random(0).shuffle(self.questions)

    def _index(self) -> Path:
        store = self.folder / f"store-{self._chunks}"
        if not (store / "indexes" / NAME / "current.json").exists():
            documents = self.folder / "documents"
            shutil.rmtree(documents, ignore_errors=True)
            write_rows(documents, sentences(self._data), self._chunks, 0)
            measure([RAGLINE, "index", documents, "--store", store, "--name", NAME, "--json"])
        return store

    def _repository(self) -> Path:
        repository = self.folder / "repository"
        if not repository.exists():
            texts = sentences(self._data)[:120]
            pairs = [(" ".join(text.split()[:8]), text) for text in texts]
            export_model(find_model(DEFAULT).folder, pairs, repository)
        return repository

    def _collection(self) -> Path:
        folder = self.folder / "chroma"
        if not folder.exists():
            index = Index(open_store(str(self.store)), NAME)
            store_documents(index.fetch(index.current(), self.folder / "cache"), folder)
        return folder

    @contextmanager
    def bench(self, options: argparse.Namespace) -> Iterator[Bench]:
        """Start every process, and open the index in this one."""
        version = version_of(find_model(DEFAULT).digest)
        with (
            Processes(self.folder) as processes,
            Load() as load,
            open_answerer(str(self.store), NAME) as answerer,
        ):
            processes.watch("client", load.process.pid)
            urls = self._start(processes, options.triton, version)
            limits = (options.rounds, options.seconds, options.batch)
            yield Bench(processes, load, urls, answerer, _answerable(answerer, self.questions), *limits, version)

    def _start(self, processes: Processes, triton: Path, version: int) -> Urls:
        urls = Urls(embedder=processes.start_embedder(triton, self.repository, version))
        store = ["-m", "ragline.services.vectorstore", "--store", str(self.store), "--name", NAME]
        store += ["--embedder-url", urls.embedder]
        urls.vectorstore = processes.start("vectorstore", store, ready="/v2/models/vectorstore/ready")
        urls.backend = processes.start("backend", ["-m", "benchmarks.chain_backend"], ready="/health")
        llm = ["-m", "ragline.services.llm", "--vectorstore-url", urls.vectorstore]
        ready = "/v2/models/llm/ready"
        urls.llm = processes.start("llm", [*llm, "--plan", "extractive"], ready=ready)
        backend = ["--plan", "openai", "--llm-url", f"{urls.backend}/v1", "--llm-model", BACKEND_MODEL]
        many = ["--concurrency", "256", "--queue", "256"]
        urls.streaming = processes.start("llm with a backend", [*llm, *backend, *many], ready=ready)
        urls.tutorial = self._start_tutorial(processes, urls.backend)
        return urls

    def _start_tutorial(self, processes: Processes, backend: str) -> str:
        plain = ["-m", "benchmarks.chain_tutorial"]
        url = processes.start("tutorial embedder", [*plain, "embedder"], ready="/")
        store = [*plain, "vectorstore", "--chroma", str(self.chroma), "--next", url]
        url = processes.start("tutorial vectorstore", store, ready="/")
        return processes.start("tutorial llm", [*plain, "llm", "--next", url, "--backend", backend], ready="/")


def _answerable(answerer: Answerer, questions: Sequence[str]) -> list[str]:
    """Return the questions that something is surely found for, with any tag behind them: the others cost less."""
    tagged = [f"{question} tag-1" for question in questions]
    found = answerer.retrieve_all(tagged, answerer.embedder.embed(tagged))
    relevances = [each.relevance for each in found if each.found]
    least = statistics.median(relevances)
    return [question for question, each in zip(questions, found, strict=True) if each.relevance >= least]


if __name__ == "__main__":
    main()
