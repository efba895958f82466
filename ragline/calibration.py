"""Tell an answer from nothing relevant: a measure of relevance, and per release the level that means "found".

Relevance is the mean of two measures that fail on different questions: the highest cosine of the question
to a passage, and the share of the question's words, weighted by rarity in this corpus, that one passage
holds. What it comes to for questions that have nothing to do with the documents depends on the corpus (its
size, its language, how broad it is), so each release asks itself a fixed list of everyday questions
(everyday_questions.txt) and takes the level that most of them stay below. A corpus that does answer some
of them loses little, since a quantile is taken and not the highest value.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np

from ragline.everyday_questions import everyday_questions
from ragline.lexical import LexicalIndex
from ragline.retrieval import Passage, Retriever

QUANTILE = 0.9
"""Share of unrelated questions to refuse; on held-out topics it comes out lower (docs/benchmarks.md)."""
PASSAGES = 8
"""Passages per question that count."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What this release takes for relevant.

    Attributes:
        threshold: relevance below it means that nothing was found.
        unrelated_median: what unrelated questions come to, for comparison.
        questions: how many were asked.
    """

    threshold: float
    unrelated_median: float
    questions: int

    @classmethod
    def of(cls, values: "dict[str, float]") -> Self:
        """Read what a manifest holds."""
        return cls(values["threshold"], values["unrelated_median"], int(values["questions"]))

    def to_dict(self) -> dict[str, float]:
        """Return what a manifest holds."""
        return asdict(self)


class Relevance:
    """Measures how far passages bear on a question."""

    def __init__(self, lexical: LexicalIndex) -> None:
        self._lexical = lexical

    def weights(self, question: str) -> dict[str, float]:
        """Return the question's terms and their rarity: BM25's inverse document frequency."""
        total = len(self._lexical)
        frequencies = {term: self._lexical.document_frequency(term) for term in self._lexical.terms(question)}
        return {term: math.log(1 + (total - count + 0.5) / (count + 0.5)) for term, count in frequencies.items()}

    def coverage(self, weights: dict[str, float], text: str) -> float:
        """Return the share of the question's weight whose terms stand in `text`, in [0, 1]."""
        held = weights.keys() & set(self._lexical.terms(text))
        return sum(weights[term] for term in held) / (sum(weights.values()) or 1.0)

    def of(self, question: str, passages: Sequence[Passage]) -> float:
        """Return the relevance of the best passages, in [-0.5, 1]; 0 without any."""
        if not passages:
            return 0.0
        weights = self.weights(question)
        similarity = max(passage.similarity for passage in passages)
        coverage = max(self.coverage(weights, f"{p.title} {p.section} {p.text}") for p in passages)
        return (similarity + coverage) / 2


def calibrate(retriever: Retriever, vectors: np.ndarray) -> Calibration:
    """Return the level of relevance that tells related questions from unrelated ones in this release.

    Args:
        retriever: of the release.
        vectors: of the everyday questions, by its model.
    """
    questions = everyday_questions()
    relevance = Relevance(retriever.lexical)
    values = [
        relevance.of(question, passages)
        for question, passages in zip(questions, retriever.search_all(questions, vectors, PASSAGES), strict=True)
    ]
    threshold = round(float(np.quantile(values, QUANTILE)), 4)
    return Calibration(threshold, round(float(np.median(values)), 4), len(questions))
