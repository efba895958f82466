"""Question to passages: two rankings, by meaning and by words, fused into one."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

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
_Key = TypeVar("_Key", bound=Hashable)
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
        lexical = self._lexical(questions, where) if mode != "dense" else [{} for _ in questions]
        if mode == "lexical":
            scores = [self._best(each, limit) for each in lexical]
            near = [self._similarities(vector, each) for vector, each in zip(vectors, scores, strict=True)]
        else:
            near = list(self._dense(vectors, lexical, where))
            scores = list(map(fuse, near, lexical)) if mode == "hybrid" else near
        return [
            [_passage(self.chunks[row], score[row], known[row]) for row in self._best(score, limit)]
            for score, known in zip(scores, near, strict=True)
        ]

    @staticmethod
    def _best(scores: Mapping[int, float], limit: int) -> dict[int, float]:
        """Return the rows of the best chunks, best first; equals in the order of the documents."""
        return {row: scores[row] for row in sorted(scores, key=lambda row: (-scores[row], row))[:limit]}

    def _lexical(self, questions: Sequence[str], where: Where | None) -> list[dict[int, float]]:
        if not where:
            return [self.lexical.search(question, CANDIDATES) for question in questions]
        allowed = {self.chunks.rows[key] for key in self.vectors.ids(where)}
        found = [self.lexical.search(question, _FILTERED) for question in questions]
        return [dict(islice(((row, each[row]) for row in each if row in allowed), CANDIDATES)) for each in found]

    def _dense(
        self, vectors: np.ndarray, others: Sequence[Iterable[int]], where: Where | None
    ) -> Iterator[dict[int, float]]:
        """Yield the cosines of the nearest chunks to each vector, and of the others named for it."""
        if self.table.is_small and not where:
            for (rows, scores), other in zip(self.table.nearest(vectors, CANDIDATES), others, strict=True):
                wanted = list(dict.fromkeys(chain(rows.tolist(), other)))
                yield dict(zip(wanted, scores[wanted].tolist(), strict=True))
            return
        number = self.chunks.rows
        found = self.vectors.search_all(vectors, CANDIDATES, where)
        for vector, nearest, other in zip(vectors, found, others, strict=True):
            known = {number[key]: similarity for key, similarity in nearest.items()}
            yield known | self._similarities(vector, [row for row in other if row not in known])

    def _similarities(self, vector: np.ndarray, rows: Iterable[int]) -> dict[int, float]:
        wanted = list(rows)
        return dict(zip(wanted, (self.table.of_rows(wanted) @ vector).tolist(), strict=True))


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


def fuse(similarities: Mapping[_Key, float], lexical: Mapping[_Key, float]) -> dict[_Key, float]:
    """Return the sum of both rankings' z-scores over all candidates.

    Args:
        similarities: cosine of every candidate.
        lexical: BM25 scores; a candidate without one shares no word with the question and counts 0.

    Chosen among rank fusion and four ways of score fusion on four sets (docs/decisions/0004).
    """
    ids = list(similarities)
    dense = _standardised(np.array([similarities[key] for key in ids]))
    words = _standardised(np.array([lexical.get(key, 0.0) for key in ids]))
    return dict(zip(ids, ((dense + words) / 2).tolist(), strict=True))


def _standardised(values: np.ndarray) -> np.ndarray:
    deviation = float(values.std()) if values.size else 0.0
    return (values - values.mean()) / deviation if deviation > _EQUAL else np.zeros_like(values)
