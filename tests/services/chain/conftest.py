"""A running chain over a small corpus, shared by all tests of this folder: a real Triton server and real services."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.chain_backend import MODEL as BACKEND_MODEL
from ragline.embedding.model import DEFAULT, find_model
from ragline.export.exported import export_model
from ragline.export.triton_repository import version_of
from tests.export.conftest import triton
from tests.services.chain.corpus import PAGES, QUESTIONS, write_pages
from tests.services.chain.local_chain import ROOT, Chain, Embedder, Service, running
from tests.services.chain.recording_proxy import RecordingProxy, Refused

__all__ = ["triton"]


@dataclass(frozen=True)
class Corpus:
    """A folder of documents and the store that they are indexed to."""

    documents: Path
    store: Path

    def index(self) -> None:
        """Bring the index up to date, as a person or a schedule does."""
        command = [Path(sys.executable).with_name("ragline"), "index", self.documents, "--store", self.store]
        subprocess.run([*map(str, command), "--json"], check=True, capture_output=True)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """An indexed corpus; a page of this documentation is in it, which docs/services.md asks about."""
    folder = tmp_path_factory.mktemp("corpus")
    page = (ROOT / "docs" / "documents.md").read_text(encoding="utf-8")
    made = Corpus(write_pages(folder / "documents", documents=page), folder / "store")
    made.index()
    return made


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the services write their logs."""
    return tmp_path_factory.mktemp("chain")


@pytest.fixture(scope="session")
def embedder(triton: Path, folder: Path) -> Iterator[Embedder]:
    """The embedded default model in a Triton server, in float32 alone: it is exported quickly."""
    model = find_model(DEFAULT)
    pairs = list(zip(QUESTIONS, PAGES.values(), strict=False))
    export_model(model.folder, pairs, folder / "repository", variants=[])
    server = Embedder(triton, folder / "repository", version_of(model.digest), folder / "triton")
    with running({"embedder": server}):
        yield server


def vectorstore(
    corpus: Corpus, embedder_url: str, folder: Path, name: str = "vectorstore", **variables: str
) -> Service:
    """Return a vector store that asks the embedder at a URL."""
    arguments = ["-m", "ragline.services.vectorstore", "--store", str(corpus.store), "--embedder-url", embedder_url]
    return Service(name, arguments, "/v2/models/vectorstore/ready", folder, variables)


def llm(store: str, plan: list[str], folder: Path, name: str, **variables: str) -> Service:
    """Return an LLM service with a serving plan that asks the vector store at a URL."""
    arguments = ["-m", "ragline.services.llm", "--vectorstore-url", store, "--plan", *plan]
    return Service(name, arguments, "/v2/models/llm/ready", folder, variables)


def backend(folder: Path) -> Service:
    """Return the stand-in for a language model's server."""
    return Service("backend", ["-m", "benchmarks.chain_backend"], "/health", folder)


def generating(url: str) -> list[str]:
    """Return the plan that asks the stand-in."""
    return ["openai", "--llm-url", f"{url}/v1", "--llm-model", BACKEND_MODEL]


@pytest.fixture(scope="session")
def chain(corpus: Corpus, embedder: Embedder, folder: Path) -> Iterator[Chain]:
    """Embedder, vector store, and two LLM services: `llm` quotes, `generator` asks the stand-in `backend`."""
    store = vectorstore(corpus, embedder.url, folder)
    model = backend(folder)
    services: dict[str, Service | Embedder] = {
        "vectorstore": store,
        "backend": model,
        "llm": llm(store.url, ["extractive"], folder, "llm"),
        "generator": llm(store.url, generating(model.url), folder, "generator"),
    }
    with running(services) as started:
        yield Chain({"embedder": embedder, **started.services})


@dataclass(frozen=True)
class Watched:
    """A chain whose every hop is seen.

    Attributes:
        to_store: between the LLM services and the vector store.
        to_embedder: between the vector store and the embedder.
        to_backend: between `generator` and the language model.
        spans: what the services sent to the collector of traces.
    """

    chain: Chain
    to_store: RecordingProxy
    to_embedder: RecordingProxy
    to_backend: RecordingProxy
    spans: RecordingProxy

    def clear(self) -> None:
        """Forget what came by."""
        for proxy in (self.to_store, self.to_embedder, self.to_backend, self.spans):
            proxy.clear()
        self.spans.refused = Refused(200, b"", {"Content-Type": "application/x-protobuf"})


@pytest.fixture(scope="session")
def watched_chain(corpus: Corpus, embedder: Embedder, chain: Chain, folder: Path) -> Iterator[Watched]:
    """The same services once more, with recording proxies between them and everything logged."""
    with (
        RecordingProxy(embedder.url) as to_embedder,
        RecordingProxy(chain.url("backend")) as to_backend,
        RecordingProxy(chain.url("backend")) as spans,
    ):
        loud = {"RAGLINE_LOG_LEVEL": "DEBUG", "OTEL_EXPORTER_OTLP_ENDPOINT": spans.url}
        store = vectorstore(corpus, to_embedder.url, folder, "watched-vectorstore", **loud)
        with RecordingProxy(store.url) as to_store:
            services: dict[str, Service | Embedder] = {
                "vectorstore": store,
                "llm": llm(to_store.url, ["extractive"], folder, "watched-llm", **loud),
                "generator": llm(to_store.url, generating(to_backend.url), folder, "watched-generator", **loud),
            }
            with running(services) as started:
                yield Watched(started, to_store, to_embedder, to_backend, spans)


@pytest.fixture
def watched(watched_chain: Watched) -> Iterator[Watched]:
    """The watched chain, with nothing seen yet; nothing is slow or refused afterwards."""
    watched_chain.clear()
    yield watched_chain
    watched_chain.clear()
