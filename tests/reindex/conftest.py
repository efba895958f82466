"""A corpus that changes, and the steps of `reindex` as functions: what the components call, in this process."""

import shutil
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import pytest
from chromadb.config import Settings as ChromaSettings

from ragline.chunk_table import ChunkTable
from ragline.object_store import open_store
from ragline.reindex.build import Built, build_index
from ragline.reindex.check import check_index
from ragline.reindex.chunk import chunk_documents
from ragline.reindex.embed import embed_shard
from ragline.reindex.origin import Origin
from ragline.reindex.plan import Plan, plan_reindex
from ragline.reindex.publish import publish_release
from ragline.reindex.snapshot import snapshot_documents
from ragline.release import CHUNKS, VECTORS, Index, Manifest
from ragline.vector_store import COLLECTION

EMBEDDER = "all-MiniLM-L6-v2"


@dataclass
class Corpus:
    """A folder of documents, and runs over it."""

    documents: Path
    store_uri: str
    scratch: Path
    name: str = "default"
    embedder: str = EMBEDDER
    questions_uri: str = ""
    runs: "count[int]" = field(default_factory=lambda: count(1))

    def write(self, **texts: str) -> None:
        """Write documents: name to text."""
        self.documents.mkdir(exist_ok=True)
        for name, text in texts.items():
            (self.documents / f"{name}.md").write_text(text)

    @property
    def index(self) -> Index:
        """The index of the runs."""
        return Index(open_store(self.store_uri), self.name)

    def plan(self, work: Path, *, max_shrink: float = 0.5, rebuild: bool = False) -> Plan:
        """Snapshot, chunk, plan."""
        place: dict[str, Any] = {"store_uri": self.store_uri, "name": self.name}
        snapshot = snapshot_documents(str(self.documents), work / "documents", work / "unreadable")
        made = chunk_documents(work / "documents", work / "chunks", embedder=self.embedder, **place)
        origin = Origin(snapshot.digest, made.digest, made.model_digest, 200, 0, str(self.documents), self.embedder)
        return plan_reindex(
            work / "documents",
            work / "chunks",
            work / "plan",
            origin=origin,
            max_shrink=max_shrink,
            rebuild=rebuild,
            **place,
        )

    def start(self, **options: Any) -> "Started":
        """Do all that a run of the pipeline does before it publishes; options are those of `plan`."""
        run = f"run-{next(self.runs)}"
        work = self.scratch / run
        work.mkdir(parents=True)
        plan = self.plan(work, **options)
        place: dict[str, Any] = {"store_uri": self.store_uri, "name": self.name}
        model: dict[str, Any] = {"embedder": plan.origin.embedder, "model_digest": plan.origin.model}
        embedded = sum(
            embed_shard(work / "chunks", shard, store_uri=self.store_uri, size=200, overlap=0, **model)
            for shard in plan.shards
        )
        built = build_index(
            work / "documents", work / "chunks", work / "plan", work / "index", embedder=plan.origin.embedder, **place
        )
        golden: dict[str, Any] = {"questions_uri": self.questions_uri}
        check_index(work / "index", work / "checks", base=built.base, **golden, **model, **place)
        return Started(run, work, plan, embedded, built)

    def publish(self, started: "Started") -> "Run":
        """Publish what was started."""
        publish_release(
            started.work / "index",
            started.work / "checks",
            started.work / "plan",
            store_uri=self.store_uri,
            name=self.name,
            run=started.run,
            deleted=started.built.deleted,
        )
        return Run(started.plan, started.embedded, started.built, self.index.current())

    def run(self, **options: Any) -> "Run":
        """Do all that a run of the pipeline does."""
        return self.publish(self.start(**options))


@dataclass(frozen=True)
class Started:
    """A run that has not published yet."""

    run: str
    work: Path
    plan: Plan
    embedded: int
    built: Built


@dataclass(frozen=True)
class Run:
    """What a run did."""

    plan: Plan
    embedded: int
    built: Built
    manifest: Manifest


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """An empty corpus with an empty store in a folder."""
    monkeypatch.setenv("RAGLINE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "store").mkdir()
    return Corpus(tmp_path / "docs", str(tmp_path / "store"), tmp_path / "work")


Content = dict[str, tuple[bytes, dict[str, Any]]]


def content(corpus: Corpus) -> Content:
    """Read the current release with Chroma itself: per chunk id its vector's bytes and what a filter may ask for."""
    folder = corpus.scratch / f"copy-{next(corpus.runs)}"  # Chroma shares a client per path
    shutil.copytree(corpus.index.fetch(corpus.index.current(), corpus.scratch / "fetched"), folder)
    client: Any = chromadb.PersistentClient(str(folder / VECTORS), ChromaSettings(anonymized_telemetry=False))
    found = client.get_collection(COLLECTION, embedding_function=None).get(include=["embeddings", "metadatas"])
    client.close()
    with ChunkTable(folder / CHUNKS) as chunks:
        assert sorted(found["ids"]) == sorted(chunks.ids())
    rows = zip(found["ids"], found["embeddings"], found["metadatas"], strict=True)
    return {key: (np.ascontiguousarray(vector).tobytes(), dict(metadata)) for key, vector, metadata in rows}
