"""Question to passages: two rankings, by meaning and by words, fused into one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np

from ragline.chunk_table import ChunkTable
from ragline.documents import Chunk
from ragline.lexical import LexicalIndex
from ragline.release import CHUNKS, LEXICAL, VECTORS
from ragline.vector_store import VectorStore, Where

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
        self.lexical = LexicalIndex(folder / LEXICAL)
        self.vectors = VectorStore(folder / VECTORS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Release the files."""
        self.vectors.close()
        self.chunks.close()

    def __len__(self) -> int:
        return len(self.chunks)

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
        none: list[dict[str, float]] = [{} for _ in questions]
        dense = self.vectors.search_all(vectors, CANDIDATES, where) if mode != "lexical" else none
        lexical = self._lexical(questions, where) if mode != "dense" else none
        if mode == "hybrid":
            near = self._similarities(vectors, dense, lexical)
            scores = list(map(fuse, near, lexical))
        else:
            scores = dense if mode == "dense" else lexical
            near = dense
        best = [self._best(each, limit) for each in scores]
        if mode == "lexical":
            near = self._similarities(vectors, dense, best)
        return [
            [_passage(self.chunks[row], score[key], known[key]) for key, row in found.items()]
            for found, score, known in zip(best, scores, near, strict=True)
        ]

    def _best(self, scores: Mapping[str, float], limit: int) -> dict[str, int]:
        """Return the rows of the best chunks, best first; equals in the order of the documents."""
        rows = self.chunks.rows(scores)
        return {key: rows[key] for key in sorted(scores, key=lambda key: (-scores[key], rows[key]))[:limit]}

    def _lexical(self, questions: Sequence[str], where: Where | None) -> list[dict[str, float]]:
        if not where:
            return [self.lexical.search(question, CANDIDATES) for question in questions]
        allowed = self.vectors.ids(where)
        found = [self.lexical.search(question, _FILTERED) for question in questions]
        return [{key: each[key] for key in [key for key in each if key in allowed][:CANDIDATES]} for each in found]

    def _similarities(
        self, vectors: np.ndarray, dense: Sequence[Mapping[str, float]], ids: Sequence[Iterable[str]]
    ) -> list[dict[str, float]]:
        """Return the cosine of all chunks in either ranking; those only found by words are looked up."""
        unknown = [[key for key in wanted if key not in known] for known, wanted in zip(dense, ids, strict=True)]
        stored = self.vectors.stored(list(dict.fromkeys(chain.from_iterable(unknown))))
        return [
            {**known, **{key: float(stored[key] @ vector) for key in keys}}
            for vector, known, keys in zip(vectors, dense, unknown, strict=True)
        ]


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


def fuse(similarities: Mapping[str, float], lexical: Mapping[str, float]) -> dict[str, float]:
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
