"""The vector index: Chroma in a folder, written once by one writer, then only read.

Chroma holds vectors and what a filter may ask for; texts stay in the release's chunk table, since Chroma
would store them a second time and index every trigram (docs/decisions/0004).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import chromadb
import numpy as np
from chromadb.config import Settings as ChromaSettings
from chromadb.errors import ChromaError, InvalidArgumentError

from ragline.errors import DamagedReleaseError, InputError

COLLECTION = "chunks"
HNSW = {"space": "cosine", "max_neighbors": 32, "ef_construction": 200, "ef_search": 200}
"""Recall@10 of 0.98 on a hard 100,000 vectors where Chroma's defaults give 0.77 (docs/benchmarks.md)."""
BATCH = 2000

Where = Mapping[str, Any]
Metadata = Mapping[str, str | int | float | bool]


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

    def search(self, vector: np.ndarray, limit: int, where: Where | None = None) -> dict[int, float]:
        """Return the cosine similarity of the `limit` nearest rows, best first.

        Args:
            vector: float32 [dimensions].
            limit: at most so many.
            where: Chroma's filter language over the chunks' metadata.

        Raises:
            InputError: the filter is malformed.
        """
        count = min(limit, len(self))
        if not count:
            return {}
        try:
            found = self._collection.query(
                query_embeddings=[vector],
                n_results=count,
                where=dict(where) if where else None,
                include=["metadatas", "distances"],
            )
        except (InvalidArgumentError, ValueError) as exc:
            raise InputError(f"filter {where!r}: {exc}; see docs/cli.md for the fields and operators") from exc
        rows, distances = (found["metadatas"] or [[]])[0], (found["distances"] or [[]])[0]
        return {int(row["row"]): 1.0 - float(distance) for row, distance in zip(rows, distances, strict=True)}

    def rows(self, where: Where) -> set[int]:
        """Return the rows that a filter lets through."""
        try:
            found = self._collection.get(where=dict(where), include=["metadatas"])
        except (InvalidArgumentError, ValueError) as exc:
            raise InputError(f"filter {where!r}: {exc}; see docs/cli.md for the fields and operators") from exc
        return {int(row["row"]) for row in found["metadatas"] or []}

    def stored(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the stored vectors of chunk ids; an id without one is left out.

        Raises:
            DamagedReleaseError: Chroma lists an id and has lost its vector.
        """
        try:
            found = self._collection.get(ids=list(ids), include=["embeddings"])
        except ChromaError as exc:
            raise DamagedReleaseError(f"the vector index has lost vectors ({exc}); index the documents again") from exc
        embeddings = found["embeddings"]
        return {} if embeddings is None else dict(zip(found["ids"], np.asarray(embeddings, np.float32), strict=True))


def build_vector_store(
    folder: Path, ids: Sequence[str], vectors: np.ndarray, metadata: Iterator[Metadata]
) -> Iterator[int]:
    """Write a collection to the empty `folder`; yields the number of rows written so far, after each batch.

    Args:
        folder: where Chroma keeps its files.
        ids: the chunk ids; their position is the row.
        vectors: float32 [len(ids), dimensions], may be memory-mapped.
        metadata: one mapping per row, in order.
    """
    client = _client(folder)
    try:
        collection = client.create_collection(COLLECTION, configuration={"hnsw": dict(HNSW)}, embedding_function=None)
        for start in range(0, len(ids), BATCH):
            end = min(start + BATCH, len(ids))
            rows: list[Any] = [{**next(metadata), "row": row} for row in range(start, end)]
            collection.add(list(ids[start:end]), embeddings=np.asarray(vectors[start:end]), metadatas=rows)
            yield end
    finally:
        client.close()


def _client(folder: Path) -> Any:
    settings = ChromaSettings(anonymized_telemetry=False, is_persistent=True, persist_directory=str(folder))
    return chromadb.PersistentClient(str(folder), settings=settings)
