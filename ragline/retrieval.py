"""Question to passages: two rankings, by meaning and by words, fused into one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa

from ragline.lexical import LexicalIndex
from ragline.release import CHUNKS, LEXICAL, VECTORS
from ragline.vector_store import VectorStore, Where

Mode = Literal["hybrid", "dense", "lexical"]
"""`dense`: cosine of embeddings; `lexical`: BM25; `hybrid`: both."""

MODES: tuple[Mode, ...] = ("dense", "lexical", "hybrid")
CANDIDATES = 200
"""How many rows of each ranking enter the fusion."""

_FILTERED = 2000
_EQUAL = 1e-9
"""Scores that deviate less are equal: rounding alone makes some 1e-17."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrieved chunk.

    Attributes:
        row: its number in the release.
        source: the document's id.
        score: what it was ranked by; comparable within one question only.
        similarity: cosine to the question, in [-1, 1].
    """

    row: int
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
        self._file = pa.memory_map(str(folder / CHUNKS))
        self._chunks = pa.ipc.open_file(self._file).read_all()
        self.lexical = LexicalIndex(folder / LEXICAL)
        self.vectors = VectorStore(folder / VECTORS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Release the files."""
        self.vectors.close()
        self._file.close()

    def __len__(self) -> int:
        return int(self._chunks.num_rows)

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
        if not len(self):
            return []
        dense = self.vectors.search(vector, CANDIDATES, where) if mode != "lexical" else {}
        lexical = self._lexical(question, where) if mode != "dense" else {}
        scores = fuse(self._similarities(vector, dense, lexical), lexical) if mode == "hybrid" else dense or lexical
        best = sorted(scores, key=lambda row: (-scores[row], row))[:limit]
        similarities = self._similarities(vector, dense, dict.fromkeys(best, 0.0))
        return [self._passage(row, scores[row], similarities[row]) for row in best]

    def text(self, row: int) -> str:
        """Return the text of a row."""
        return str(self._chunks["text"][row].as_py())

    def _lexical(self, question: str, where: Where | None) -> dict[int, float]:
        if not where:
            return self.lexical.search(question, CANDIDATES)
        allowed = self.vectors.rows(where)
        found = self.lexical.search(question, _FILTERED)
        return {row: found[row] for row in [row for row in found if row in allowed][:CANDIDATES]}

    def _similarities(
        self, vector: np.ndarray, dense: Mapping[int, float], rows: Mapping[int, float]
    ) -> dict[int, float]:
        """Return the cosine of all rows in either ranking; those only found by words are looked up."""
        unknown = [row for row in rows if row not in dense]
        ids = {str(self._chunks["id"][row].as_py()): row for row in unknown}
        stored = self.vectors.stored(list(ids)) if ids else {}
        return {**dense, **{ids[key]: float(row @ vector) for key, row in stored.items()}}

    def _passage(self, row: int, score: float, similarity: float) -> Passage:
        get: Callable[[str], Any] = lambda column: self._chunks[column][row].as_py()  # noqa: E731 - shorter than a def
        return Passage(
            row=row,
            id=get("id"),
            source=get("document"),
            title=get("title"),
            section=get("section"),
            start=get("start"),
            end=get("end"),
            text=get("text"),
            score=score,
            similarity=similarity,
        )


def fuse(similarities: Mapping[int, float], lexical: Mapping[int, float]) -> dict[int, float]:
    """Return the sum of both rankings' z-scores over all candidates.

    Args:
        similarities: cosine of every candidate.
        lexical: BM25 scores; a candidate without one shares no word with the question and counts 0.

    Chosen among rank fusion and four ways of score fusion on four sets (docs/decisions/0004).
    """
    rows = list(similarities)
    dense = _standardised(np.array([similarities[row] for row in rows]))
    words = _standardised(np.array([lexical.get(row, 0.0) for row in rows]))
    return dict(zip(rows, ((dense + words) / 2).tolist(), strict=True))


def _standardised(values: np.ndarray) -> np.ndarray:
    deviation = float(values.std()) if values.size else 0.0
    return (values - values.mean()) / deviation if deviation > _EQUAL else np.zeros_like(values)
