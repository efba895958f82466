"""Question to passages: two rankings, by meaning and by words, fused into one."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np

from ragline.chunk_table import ChunkTable
from ragline.documents import Chunk
from ragline.lexical import LexicalIndex
from ragline.release import CHUNKS, LEXICAL, VECTOR_TABLE, VECTORS
from ragline.vector_store import VectorStore, Where
from ragline.vector_table import VectorTable

Mode = Literal["hybrid", "dense", "lexical"]
"""`dense`: cosine of embeddings; `lexical`: BM25; `hybrid`: both."""

MODES: tuple[Mode, ...] = ("dense", "lexical", "hybrid")
CANDIDATES = 200
"""How many chunks of each ranking enter the fusion."""

_FILTERED = 2000
_EQUAL = 1e-9
"""Scores that deviate less are equal: rounding alone makes some 1e-17."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrieved chunk.

    Attributes:
        source: the document's id.
        score: what it was ranked by; comparable within one question only.
        similarity: cosine to the question, in [-1, 1].
    """

    id: str
    source: str
    title: str
    section: str
    start: int
    end: int
    text: str
    score: float
    similarity: float


class Retriever:
    """Searches one release; safe to share between threads.

    Example:
        >>> with Retriever(folder) as retriever:  # doctest: +SKIP
        ...     passages = retriever.search("How do I ...?", embedder.embed(["How do I ...?"])[0])
    """

    def __init__(self, folder: Path) -> None:
        self.chunks = ChunkTable(folder / CHUNKS)
        self.lexical = LexicalIndex(folder / LEXICAL, lambda: self.chunks.rows)
        self.vectors = VectorStore(folder / VECTORS)
        table = folder / VECTOR_TABLE
        self.table = VectorTable.read(table) if table.is_file() else self._table_of_chroma()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Release the files; a search after that fails."""
        self.vectors.close()
        self.chunks.close()
        del self.table

    def __len__(self) -> int:
        return len(self.chunks)

    def _table_of_chroma(self) -> VectorTable:
        ids = self.chunks.ids()
        stored = self.vectors.stored(ids)
        return VectorTable(np.array([stored[key] for key in ids if key in stored], np.float16))

    def search(
        self, question: str, vector: np.ndarray, limit: int = 10, *, mode: Mode = "hybrid", where: Where | None = None
    ) -> list[Passage]:
        """Return the `limit` best passages, best first.

        Args:
            question: in a person's words.
            vector: its embedding, float32 [dimensions], by the release's embedder.
            limit: at most so many.
            mode: which ranking.
            where: filter over the chunks' metadata, in Chroma's language.

        Raises:
            InputError: the filter is malformed.
        """
        (found,) = self.search_all([question], np.asarray([vector]), limit, mode=mode, where=where)
        return found

    def search_all(
        self,
        questions: Sequence[str],
        vectors: np.ndarray,
        limit: int = 10,
        *,
        mode: Mode = "hybrid",
        where: Where | None = None,
    ) -> list[list[Passage]]:
        """Return what `search` returns for each question; many at once cost less than one by one.

        Args:
            questions: in people's words.
            vectors: their embeddings, float32 [len(questions), dimensions].
            limit: at most so many for each.
            mode: which ranking.
            where: filter over the chunks' metadata, in Chroma's language.
        """
        allowed = {self.chunks.rows[key] for key in self.vectors.ids(where)} if where and mode != "dense" else None
        nearest = self._nearest(vectors, where) if mode != "lexical" else map(self._none, vectors)
        return [
            self._ranked(self._lexical(question, allowed) if mode != "dense" else {}, rows, cosines, mode, limit)
            for question, (rows, cosines) in zip(questions, nearest, strict=True)
        ]

    def _ranked(
        self, lexical: Mapping[int, float], nearest: np.ndarray, cosines: "_Cosines", mode: Mode, limit: int
    ) -> list[Passage]:
        """Return the best of both rankings' chunks, best first; equals in the order of the documents."""
        found = np.fromiter(lexical, np.intp, len(lexical))
        rows = np.unique(np.concatenate((nearest, found)))
        words = np.zeros(len(rows))
        words[np.searchsorted(rows, found)] = np.fromiter(lexical.values(), np.float64, len(lexical))
        near = np.asarray(cosines(rows), np.float64)
        scores = fuse(near, words) if mode == "hybrid" else near if mode == "dense" else words
        best = np.lexsort((rows, -scores))[:limit]
        ranked = zip(rows[best].tolist(), scores[best].tolist(), near[best].tolist(), strict=True)
        return [_passage(self.chunks[row], score, similarity) for row, score, similarity in ranked]

    def _lexical(self, question: str, allowed: Set[int] | None) -> dict[int, float]:
        if allowed is None:
            return self.lexical.search(question, CANDIDATES)
        found = self.lexical.search(question, _FILTERED)
        return dict(islice(((row, score) for row, score in found.items() if row in allowed), CANDIDATES))

    def _nearest(self, vectors: np.ndarray, where: Where | None) -> Iterator[tuple[np.ndarray, "_Cosines"]]:
        """Yield the rows of the nearest chunks to each vector, and what gives the cosines of any rows to it."""
        if self.table.is_small and not where:
            for rows, scores in self.table.nearest(vectors, CANDIDATES):
                yield rows, scores.__getitem__
            return
        number = self.chunks.rows
        for vector, found in zip(vectors, self.vectors.search_all(vectors, CANDIDATES, where), strict=True):
            yield np.array([number[key] for key in found], np.intp), self._none(vector)[1]

    def _none(self, vector: np.ndarray) -> tuple[np.ndarray, "_Cosines"]:
        return np.empty(0, np.intp), lambda rows: self.table.of_rows(rows) @ vector


_Cosines = Callable[[np.ndarray], np.ndarray]


def _passage(chunk: Chunk, score: float, similarity: float) -> Passage:
    return Passage(
        id=chunk.id,
        source=chunk.document,
        title=chunk.title,
        section=chunk.section,
        start=chunk.start,
        end=chunk.end,
        text=chunk.text,
        score=score,
        similarity=similarity,
    )


def fuse(similarities: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Return the mean of both rankings' z-scores over all candidates.

    Args:
        similarities: cosine of every candidate, float64 [candidates].
        words: their BM25 scores; 0 for one that shares no word with the question.

    Chosen among rank fusion and four ways of score fusion on four sets (docs/decisions/0004).
    """
    return np.asarray((_standardised(similarities) + _standardised(words)) / 2)


def _standardised(values: np.ndarray) -> np.ndarray:
    deviation = float(values.std()) if values.size else 0.0
    return (values - values.mean()) / deviation if deviation > _EQUAL else np.zeros_like(values)
