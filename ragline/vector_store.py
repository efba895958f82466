"""The vector index: Chroma in a folder, written once by one writer, then only read.

Chroma holds vectors and what a filter may ask for; texts stay in the release's chunk table, since Chroma
would store them a second time and index every trigram (docs/decisions/0004).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import chromadb
import numpy as np
from chromadb.config import Settings as ChromaSettings
from chromadb.errors import ChromaError, InvalidArgumentError

from ragline.errors import DamagedReleaseError, InputError

COLLECTION = "chunks"
BATCH = 2000
_SMALL = 30_000

Where = Mapping[str, Any]
Metadata = Mapping[str, str | int | float | bool]


def hnsw(count: int) -> dict[str, Any]:
    """Return the graph's parameters for so many vectors.

    Chroma's defaults find 0.77 of the ten nearest among 100,000 hard vectors; these find 0.98, and a small
    index needs half the edges, and half the time to build (docs/decisions/0004).
    """
    neighbors, effort = (16, 100) if count <= _SMALL else (32, 200)
    return {"space": "cosine", "max_neighbors": neighbors, "ef_construction": effort, "ef_search": 400}


class VectorStore:
    """Chunks by the direction of their vector.

    Example:
        >>> with VectorStore(folder) as vectors:  # doctest: +SKIP
        ...     scores = vectors.search(question_vector, 10)
    """

    def __init__(self, folder: Path) -> None:
        self._client = _client(folder)
        try:
            self._collection = self._client.get_collection(COLLECTION, embedding_function=None)
        except (ChromaError, ValueError) as exc:
            self._client.close()
            raise DamagedReleaseError(f"{folder} holds no vector index ({exc}); index the documents again") from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Release the files."""
        self._client.close()

    def __len__(self) -> int:
        return int(self._collection.count())

    def search(self, vector: np.ndarray, limit: int, where: Where | None = None) -> dict[str, float]:
        """Return the cosine similarity of the `limit` nearest chunks by id, best first.

        Args:
            vector: float32 [dimensions].
            limit: at most so many.
            where: Chroma's filter language over the chunks' metadata.

        Raises:
            InputError: the filter is malformed.
        """
        return self.search_all(np.asarray([vector], np.float32), limit, where)[0]

    def search_all(self, vectors: np.ndarray, limit: int, where: Where | None = None) -> list[dict[str, float]]:
        """Return what `search` returns for each row of `vectors`, float32 [any, dimensions]."""
        count = min(limit, len(self))
        if not count:
            return [{} for _ in vectors]
        try:
            found = self._collection.query(
                query_embeddings=list(vectors),
                n_results=count,
                where=dict(where) if where else None,
                include=["distances"],
            )
        except (InvalidArgumentError, ValueError) as exc:
            raise _bad_filter(where, exc) from exc
        return [
            {key: 1.0 - float(distance) for key, distance in zip(ids, distances, strict=True)}
            for ids, distances in zip(found["ids"], found["distances"] or [], strict=True)
        ]

    def ids(self, where: Where) -> set[str]:
        """Return the chunks that a filter lets through.

        Raises:
            InputError: the filter is malformed.
        """
        try:
            return set(self._collection.get(where=dict(where), include=[])["ids"])
        except (InvalidArgumentError, ValueError) as exc:
            raise _bad_filter(where, exc) from exc

    def stored(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the stored vectors of chunk ids; an id without one is left out.

        Raises:
            DamagedReleaseError: Chroma lists an id and has lost its vector.
        """
        vectors: dict[str, np.ndarray] = {}
        for batch in _batches(ids):
            try:
                found = self._collection.get(ids=batch, include=["embeddings"])
            except ChromaError as exc:
                raise DamagedReleaseError(
                    f"the vector index has lost vectors ({exc}); index the documents again"
                ) from exc
            vectors.update(zip(found["ids"], np.asarray(found["embeddings"], np.float32), strict=True))
        return vectors


def unlike(store: VectorStore, ids: Sequence[str], vectors: np.ndarray) -> list[str]:
    """Return the ids whose stored vector is missing, or another than that in `vectors`, float32 [len(ids), any]."""
    stored = store.stored(ids)
    there = [row for row, key in enumerate(ids) if key in stored]
    found = np.array([stored[ids[row]] for row in there]).reshape(len(there), vectors.shape[1])
    cosines = np.einsum("ij,ij->i", found, vectors[there])
    return [key for key in ids if key not in stored] + [ids[there[row]] for row in np.flatnonzero(cosines < 1 - 1e-5)]


def build_vector_store(
    folder: Path, ids: Sequence[str], vectors: np.ndarray, metadata: Iterator[Metadata]
) -> Iterator[int]:
    """Write a collection to the empty `folder`; yields the number of chunks written so far, after each batch.

    Args:
        folder: where Chroma keeps its files.
        ids: of the chunks.
        vectors: float32 [len(ids), dimensions], may be memory-mapped.
        metadata: one mapping per chunk, in order.
    """
    client = _client(folder)
    try:
        collection = client.create_collection(
            COLLECTION, configuration={"hnsw": hnsw(len(ids))}, embedding_function=None
        )
        for start in range(0, len(ids), BATCH):
            end = min(start + BATCH, len(ids))
            rows: list[Any] = [dict(next(metadata)) for _ in range(start, end)]
            collection.add(list(ids[start:end]), embeddings=np.asarray(vectors[start:end]), metadatas=rows)
            yield end
    finally:
        client.close()


@dataclass(frozen=True, slots=True)
class Difference:
    """What turns one collection into another.

    Attributes:
        removed: ids to delete.
        added: ids to add, with `vectors`, float32 [len(added), dimensions], and `metadata`.
        changed: id to (metadata before, metadata after), where the vector stays.
    """

    removed: Sequence[str]
    added: Sequence[str]
    vectors: np.ndarray
    metadata: Sequence[Metadata]
    changed: Mapping[str, tuple[Metadata, Metadata]]


def update_vector_store(folder: Path, difference: Difference) -> None:
    """Change the collection in `folder`, a private copy of a release's."""
    client = _client(folder)
    try:
        collection = client.get_collection(COLLECTION, embedding_function=None)
        for batch in _batches(difference.removed):
            collection.delete(ids=batch)
        for batch in _batches(list(difference.changed)):
            rows: list[Any] = [_replaced(*difference.changed[key]) for key in batch]
            collection.update(batch, metadatas=rows)
        for start, batch in enumerate(_batches(difference.added)):
            span = slice(start * BATCH, start * BATCH + len(batch))
            rows = [dict(row) for row in difference.metadata[span]]
            collection.add(batch, embeddings=np.asarray(difference.vectors[span]), metadatas=rows)
    finally:
        client.close()


def _batches(ids: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), BATCH):
        yield list(ids[start : start + BATCH])


def _replaced(before: Metadata, after: Metadata) -> dict[str, Any]:
    """Return what makes Chroma forget the keys that are gone: an update merges, and None deletes."""
    return {**dict.fromkeys(before.keys() - after.keys()), **after}


def _bad_filter(where: Where | None, exc: Exception) -> InputError:
    return InputError(f"filter {where!r}: {exc}; see docs/cli.md for the fields and operators")


def _client(folder: Path) -> Any:
    settings = ChromaSettings(anonymized_telemetry=False, is_persistent=True, persist_directory=str(folder))
    return chromadb.PersistentClient(str(folder), settings=settings)
