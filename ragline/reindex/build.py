"""Build the indexes of a release in a folder: Chroma and tantivy over the same rows."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ragline.embedding.model import find_model
from ragline.lexical import build_lexical
from ragline.object_store import open_store
from ragline.progress import progress
from ragline.release import CHUNKS, DOCUMENTS, LEXICAL, VECTORS
from ragline.tables import CHUNKS as CHUNK_SCHEMA
from ragline.tables import TableWriter, count_rows, read_chunks, read_rows
from ragline.vector_store import Metadata, build_vector_store
from ragline.vectors import Vectors

EXACT = "vectors.npy"
"""The vectors in row order, for the checks; not published."""

_DOCUMENT_FACTS = pa.schema([(name, pa.string()) for name in ("id", "digest", "title", "media_type", "metadata")])
_RESERVED = frozenset({"row", "source", "title", "section", "media_type", "chroma:document"})


def build_index(documents: Path, chunks: Path, index: Path, *, store_uri: str, embedder: str, model_digest: str) -> int:
    """Write chunks, documents, vector index and lexical index to the folder `index`; return the rows.

    Args:
        documents: Parquet of the snapshot.
        chunks: Parquet of its chunks, all of whose texts have vectors.
        index: folder to create.
        store_uri: where the vectors are.
        embedder: name of the model, for its dimensions.
        model_digest: whose vectors to take.

    Raises:
        IntegrityError: a chunk has no vector.
    """
    index.mkdir(parents=True, exist_ok=True)
    facts = _write_documents(documents, index / DOCUMENTS)
    _write_chunks(chunks, index / CHUNKS)
    ids, vectors = _gather(chunks, index / EXACT, Vectors(open_store(store_uri), model_digest), embedder)
    (index / LEXICAL).mkdir()
    build_lexical(index / LEXICAL, read_chunks(chunks))
    with progress("index", total=len(ids), unit="chunks") as step:
        for done in build_vector_store(index / VECTORS, ids, vectors, _metadata(chunks, facts)):
            step.advance(done - step.done)
    return len(ids)


def _gather(chunks: Path, path: Path, vectors: Vectors, embedder: str) -> tuple[list[str], np.ndarray]:
    """Bring the vectors into row order on disk, so that memory does not grow with them."""
    rows = list(read_rows(chunks, ["id", "digest"]))
    shape = (len(rows), find_model(embedder).dimensions)
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    vectors.read([row["digest"] for row in rows], out)
    out.flush()
    return [row["id"] for row in rows], out


def _write_documents(documents: Path, path: Path) -> dict[str, dict[str, Any]]:
    """Write the documents without their text; return what filters may ask of each."""
    facts = {}
    with TableWriter(path, _DOCUMENT_FACTS) as writer:
        for row in read_rows(documents, _DOCUMENT_FACTS.names):
            writer.write_row(row)
            facts[row["id"]] = {
                **{key: value for key, value in json.loads(row["metadata"]).items() if key not in _RESERVED},
                "media_type": row["media_type"],
            }
    return facts


def _write_chunks(chunks: Path, path: Path) -> None:
    """Write the chunks uncompressed, so that a reader maps the file and touches what it shows."""
    with pa.ipc.new_file(str(path), CHUNK_SCHEMA) as writer:
        rows: list[dict[str, Any]] = []
        for row in read_rows(chunks):
            rows.append(row)
            if len(rows) == 1024:
                writer.write_table(pa.Table.from_pylist(rows, schema=CHUNK_SCHEMA))
                rows = []
        if rows or not count_rows(chunks):
            writer.write_table(pa.Table.from_pylist(rows, schema=CHUNK_SCHEMA))


def _metadata(chunks: Path, facts: dict[str, dict[str, Any]]) -> Iterator[Metadata]:
    for row in read_rows(chunks, ["document", "title", "section"]):
        own = {"source": row["document"], "title": row["title"], "section": row["section"]}
        yield {**facts[row["document"]], **own}
