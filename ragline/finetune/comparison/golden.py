"""Golden questions for a comparison of models: which documents of the corpus are right."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ragline.errors import InputError
from ragline.evaluation import Question, fetch_questions, mrr_at, names_of, ndcg_at, recall_at

HITS = 4
GOLDEN_METRICS = ("hit@4", "ndcg@10", "mrr@10", "recall@10")

_GOLD = "\0gold"
"""Stands for all right documents of a question: one of them suffices."""


@dataclass(frozen=True, slots=True)
class GoldenQuestion:
    """A question and the ids of the corpus's documents that answer it; one of them suffices."""

    text: str
    documents: frozenset[str]


def read_golden(uri: str, documents: Iterable[str]) -> list[GoldenQuestion]:
    """Return the golden questions that name a source; unanswerable ones say nothing about a ranking.

    Args:
        uri: JSON Lines of `ragline.evaluation.read_questions`, a file or s3:// object.
        documents: ids of all documents of the corpus.

    Raises:
        InputError: the questions cannot be read, none names a source, or all sources of one are unknown.
    """
    questions = [question for question in fetch_questions(uri) if question.answerable and question.gold]
    if not questions:
        raise InputError(f"{uri}: no question names its source; give gold_files, or run without golden questions")
    wanted = {name for question in questions for name in question.gold}
    owners: dict[str, set[str]] = {}
    for document in documents:
        for name in names_of(document) & wanted:
            owners.setdefault(name, set()).add(document)
    return [_resolved(question, owners, uri) for question in questions]


def _resolved(question: Question, owners: dict[str, set[str]], uri: str) -> GoldenQuestion:
    documents = frozenset(document for name in question.gold for document in owners.get(name, ()))
    if not documents:
        raise InputError(
            f"{uri}, question {question.id!r} ({question.text[:80]!r}): its gold file {question.gold[0]!r}"
            f"{' and the others are' if len(question.gold) > 1 else ' is'} nowhere in the corpus; correct the name "
            '(a path below the documents URI), or take the question out or mark it "answerable": false'
        )
    return GoldenQuestion(question.text, documents)


def score_golden(question: GoldenQuestion, ranked: Sequence[str]) -> dict[str, float]:
    """Return the metrics of one question.

    Args:
        question: what was asked.
        ranked: the document of each passage, best passage first.

    Returns:
        `hit@4` counts passages, as an answer cites them; the others rank documents, each at its best passage.
    """
    labels = [_GOLD if document in question.documents else document for document in ranked]
    relevant = {_GOLD: 1.0}
    metrics = {"ndcg@10": ndcg_at, "mrr@10": mrr_at, "recall@10": recall_at}
    ranked_metrics = {name: metric(labels, relevant, 10) for name, metric in metrics.items()}
    return {f"hit@{HITS}": float(_GOLD in labels[:HITS]), **ranked_metrics}


def rank_of_gold(question: GoldenQuestion, ranked: Sequence[str]) -> int:
    """Return the place of the first passage of a right document, or 0 when there is none among those found."""
    places = (place for place, document in enumerate(ranked, 1) if document in question.documents)
    return next(places, 0)
