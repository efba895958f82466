"""Exact search over passages that come in blocks: none of their vectors is kept."""

from collections.abc import Sequence

import numpy as np

DEPTH = 100
"""Ranks that are kept; the place of the answer itself is exact beyond."""

_EQUAL = 1e-6
"""Scores this close are equal, and count against the answer: a model with one vector for all texts finds nothing."""
_QUERIES = 2048
"""Questions scored at a time."""


class Ranking:
    """The best passages for each of many questions, and how many are better than a given score."""

    def __init__(self, queries: np.ndarray, wanted: np.ndarray | None = None) -> None:
        """Begin with nothing found.

        Args:
            queries: vectors of the questions, [questions, dimensions].
            wanted: the scores to beat, [questions]; without, nothing is counted.
        """
        self._queries = queries
        self._wanted = np.full(len(queries), np.inf, dtype=np.float32) if wanted is None else wanted
        self.scores = np.full((len(queries), DEPTH), -np.inf, dtype=np.float32)
        self.numbers = np.full((len(queries), DEPTH), -1, dtype=np.int64)
        self.above = np.zeros(len(queries), dtype=np.int64)

    def add(self, numbers: np.ndarray, vectors: np.ndarray, hidden: Sequence[tuple[int, int]] = ()) -> None:
        """Look at some more passages.

        Args:
            numbers: of the passages, [passages].
            vectors: of the passages, [passages, dimensions].
            hidden: pairs of question and place in `numbers` that do not count.
        """
        pairs = np.asarray(hidden, dtype=np.int64).reshape(-1, 2)
        for start in range(0, len(self._queries), _QUERIES):
            part = slice(start, start + _QUERIES)
            scores = self._queries[part] @ vectors.T
            mine = pairs[(pairs[:, 0] >= start) & (pairs[:, 0] < start + _QUERIES)]
            scores[mine[:, 0] - start, mine[:, 1]] = -np.inf
            self.above[part] += (scores >= self._wanted[part, None] - _EQUAL).sum(axis=1)
            self._keep(part, numbers, scores)

    def _keep(self, part: slice, numbers: np.ndarray, scores: np.ndarray) -> None:
        every = np.hstack([self.scores[part], scores])
        best = np.argpartition(every, -DEPTH, axis=1)[:, -DEPTH:]
        old = self.numbers[part]
        known = np.take_along_axis(old, np.minimum(best, DEPTH - 1), axis=1)
        self.numbers[part] = np.where(best < DEPTH, known, numbers[np.maximum(best - DEPTH, 0)])
        self.scores[part] = np.take_along_axis(every, best, axis=1)

    def best(self, question: int) -> tuple[list[int], list[float]]:
        """Return the numbers and scores of the best passages for a question, best first."""
        found = [
            row for row in np.lexsort((self.numbers[question], -self.scores[question])) if self._found(question, row)
        ]
        return self.numbers[question][found].tolist(), self.scores[question][found].tolist()

    def _found(self, question: int, row: int) -> bool:
        return bool(np.isfinite(self.scores[question, row]))

    def with_answers(self, question: int, answers: Sequence[tuple[int, float]]) -> list[int]:
        """Return the numbers of the best passages with those of the answers at their places.

        Args:
            question: its row.
            answers: number and score of each passage that answers it; those were hidden from `add`.
        """
        numbers, scores = self.best(question)
        keyed = [(-score, 0, number) for number, score in zip(numbers, scores, strict=True)]
        keyed += [(-score + _EQUAL, 1, number) for number, score in answers]
        return [number for *_, number in sorted(keyed)][:DEPTH]
