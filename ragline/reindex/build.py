"""Build the indexes of a release in a folder: Chroma and tantivy over the same chunks."""

import logging
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ragline.chunk_table import write_chunk_table
from ragline.embedding.model import EmbeddingModel, require_model
from ragline.errors import ReleaseError
from ragline.lexical import build_lexical
from ragline.object_store import open_store
from ragline.progress import progress
from ragline.registry.model_store import ModelStore
from ragline.registry.registered_model import is_reference
from ragline.reindex.entries import Entries
from ragline.reindex.plan import Plan
from ragline.release import ADDED, CHUNKS, DOCUMENTS, EXACT, LEXICAL, VECTOR_TABLE, VECTORS, Index, Manifest
from ragline.settings import Settings
from ragline.tables import TableWriter, read_chunks, read_rows
from ragline.vector_store import Difference, build_vector_store, hnsw, update_vector_store
from ragline.vector_table import write_vector_table
from ragline.vectors import Vectors

_log = logging.getLogger(__name__)

MOST_CHANGED = 0.2
"""Share of chunks that a vector index may lose by deletion, or gain, before it is built anew: a deleted vector stays
in the graph, takes room and is walked through."""

_OF_BASE = (VECTORS, CHUNKS, DOCUMENTS)

_DOCUMENT_FACTS = pa.schema([(name, pa.string()) for name in ("id", "digest", "title", "media_type", "metadata")])


@dataclass(frozen=True, slots=True)
class Built:
    """What was built.

    Attributes:
        chunks: how many the index holds.
        base: the release whose vector index was changed; "" if it was built from nothing.
        deleted: vectors deleted from it since it was built from nothing.
    """

    chunks: int
    base: str
    deleted: int


def build_index(
    documents: Path, chunks: Path, plan: Path, index: Path, *, store_uri: str, name: str, embedder: str
) -> Built:
    """Write chunks, documents, vector index and lexical index to the folder `index`.

    The vector index is the current release's, with what changed, if that is little; otherwise it is built from
    nothing. Ids and vectors are the same either way.

    Args:
        documents: Parquet of the snapshot.
        chunks: Parquet of its chunks, all of whose texts have vectors.
        plan: of the run.
        index: folder to create.
        store_uri: where vectors and releases are.
        name: of the index.
        embedder: name of the model.

    Raises:
        IntegrityError: a chunk has no vector.
        ModelError: the embedder is not the one that the run was planned for.
    """
    index.mkdir(parents=True, exist_ok=True)
    planned = Plan.read(plan)
    store, model = open_store(store_uri), require_model(embedder, planned.origin.model)
    if is_reference(embedder):
        _keep_model(ModelStore(store), model)
    with (
        tempfile.TemporaryDirectory(dir=index.parent, prefix="base-") as scratch,
        ThreadPoolExecutor(Settings.from_environment().threads, "build") as pool,
    ):
        fetched = pool.submit(_fetch_base, Index(store, name), planned, model.digest, Path(scratch))
        gathered = pool.submit(_gather, chunks, index, Vectors(store, model.digest), model.dimensions)
        worded = pool.submit(_write_lexical, index / LEXICAL, chunks)
        _write_documents(documents, index / DOCUMENTS)
        write_chunk_table(chunks, index / CHUNKS)
        entries, base, vectors = Entries.read(index), fetched.result(), gathered.result()
        built = base and _update(base, Path(scratch), entries, vectors, index)
        if not built:
            _build(entries, vectors, index / VECTORS)
        worded.result()
    return built or Built(len(entries), "", 0)


def _keep_model(models: ModelStore, model: EmbeddingModel) -> None:
    """Keep a registered model beside its releases, so that questions need no registry."""
    if not models.has(model.digest):
        models.put(model.folder, name=model.name)


def _fetch_base(releases: Index, plan: Plan, model_digest: str, folder: Path) -> Manifest | None:
    """Bring what is needed of the release whose vector index can be changed into this one; None if there is none."""
    if not plan.previous or plan.rebuild:
        return None
    base = releases.manifest(plan.previous)
    if base.digests["model"] != model_digest:
        return None
    try:
        releases.bring(base, [path for path in base.files if path.split("/")[0] in _OF_BASE], folder)
    except ReleaseError as exc:
        _log.warning("release %s cannot be built upon: %s", base.release, exc)
        return None
    return base


def _update(base: Manifest, folder: Path, entries: Entries, vectors: np.ndarray, index: Path) -> Built | None:
    """Take the base's vector index and change it, if little changed."""
    earlier = Entries.read(folder)
    removed, added, changed = earlier.difference(entries)
    deleted = int(base.counts.get("deleted", 0)) + len(removed)
    if max(deleted, len(added)) > MOST_CHANGED * len(entries) or hnsw(len(earlier)) != hnsw(len(entries)):
        return None
    rows = np.array([entries.row(key) for key in added], np.intp)
    np.save(index / ADDED, rows)
    metadata = [entries.metadata_of(row) for row in rows.tolist()]
    (folder / VECTORS).rename(index / VECTORS)
    update_vector_store(index / VECTORS, Difference(removed, added, vectors[rows], metadata, changed))
    _log.info(
        "vector index of release %s: %d removed, %d added, %d with other metadata",
        base.release,
        len(removed),
        len(added),
        len(changed),
    )
    return Built(len(entries), base.release, deleted)


def _build(entries: Entries, vectors: np.ndarray, folder: Path) -> None:
    with progress("index", total=len(entries), unit="chunks") as step:
        for done in build_vector_store(folder, entries.ids, vectors, entries.metadata()):
            step.advance(done - step.done)


def _write_lexical(folder: Path, chunks: Path) -> None:
    folder.mkdir()
    build_lexical(folder, read_chunks(chunks))


def _gather(chunks: Path, index: Path, vectors: Vectors, dimensions: int) -> np.ndarray:
    """Bring the vectors into row order on disk, so that memory does not grow with them; also rounded, to be served."""
    digests = [row["digest"] for row in read_rows(chunks, ["digest"])]
    out = np.lib.format.open_memmap(index / EXACT, mode="w+", dtype=np.float32, shape=(len(digests), dimensions))
    vectors.read(digests, out)
    out.flush()
    write_vector_table(out, index / VECTOR_TABLE)
    return out


def _write_documents(documents: Path, path: Path) -> None:
    """Write the documents without their text."""
    with TableWriter(path, _DOCUMENT_FACTS) as writer:
        for row in read_rows(documents, _DOCUMENT_FACTS.names):
            writer.write_row(row)
