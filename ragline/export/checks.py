"""Texts that a variant is checked with, and how far its vectors may be from those it replaces."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from ragline.errors import InputError

DEPTH = 10
"""Ranks that count for nDCG."""


@dataclass(frozen=True, slots=True)
class CheckTexts:
    """Questions, the texts they are asked of, and which text answers which question.

    Attributes:
        queries: the questions.
        texts: the corpus.
        relevant: for each question the position in `texts` of its answer.
    """

    queries: tuple[str, ...]
    texts: tuple[str, ...]
    relevant: tuple[int, ...]

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[str, str]], *, most: int = 500) -> Self:
        """Return the first `most` pairs of question and answer; an equal answer is one text.

        Raises:
            InputError: there is no pair.
        """
        chosen = [pair for pair, _ in zip(pairs, range(most), strict=False)]
        if not chosen:
            raise InputError("export: no pairs to check the variants with; give pairs of question and text")
        places = {text: place for place, text in enumerate(dict.fromkeys(positive for _, positive in chosen))}
        queries = tuple(query for query, _ in chosen)
        return cls(queries, tuple(places), tuple(places[positive] for _, positive in chosen))


@dataclass(frozen=True, slots=True)
class Limits:
    """What a variant must keep of float32 to be served.

    Attributes:
        mean_cosine: at least this, over questions and texts.
        least_cosine: at least this, for the worst of them.
        ndcg_loss: nDCG@10 may fall by at most this.
    """

    mean_cosine: float = 0.999
    least_cosine: float = 0.995
    ndcg_loss: float = 0.005

    def broken(self, cosines: np.ndarray, ndcg: float, reference: float) -> str:
        """Return which limit is not kept, with the figure, or ""."""
        mean, least = float(cosines.mean()), float(cosines.min())
        if not mean >= self.mean_cosine:
            return f"mean cosine {mean:.5f} is below {self.mean_cosine}"
        if not least >= self.least_cosine:
            return f"least cosine {least:.5f} is below {self.least_cosine}"
        if not reference - ndcg <= self.ndcg_loss:
            return f"nDCG@{DEPTH} falls from {reference:.4f} to {ndcg:.4f}, by more than {self.ndcg_loss}"
        return ""


def ndcg(queries: np.ndarray, texts: np.ndarray, relevant: Sequence[int]) -> float:
    """Return the mean nDCG@10 of exact search with one right answer for each question.

    Args:
        queries: unit vectors [questions, dimensions].
        texts: unit vectors [texts, dimensions].
        relevant: row of `texts` that answers each question.
    """
    scores = queries @ texts.T
    wanted = np.asarray(relevant)
    # Texts of equal score stand in the order of the corpus, so that a tie is no gain.
    own = scores[np.arange(len(wanted)), wanted][:, None]
    ahead = (scores > own).sum(axis=1) + ((scores == own) & (np.arange(len(texts)) < wanted[:, None])).sum(axis=1)
    return float(np.mean([1 / math.log2(rank + 2) if rank < DEPTH else 0.0 for rank in ahead.tolist()]))


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the cosine of each pair of rows."""
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    result: np.ndarray = (left * right).sum(axis=1) / np.maximum(lengths, 1e-12)
    return result
