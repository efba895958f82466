"""How good an embedder is on held-out questions, beside the model it came from and the one in use.

    metric      over
    ndcg@10     held-out questions: every chunk of the corpus is ranked, exactly
    mrr@10      likewise
    recall@10   likewise
    recall@100  likewise
    hit@4       golden questions: a right document among the first 4 passages

Differences come with 95 % intervals (`ragline.finetune.comparison.bootstrap`).
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ragline.embedding.model import find_model
from ragline.evaluation import mrr_at, ndcg_at, recall_at
from ragline.finetune.comparison.bootstrap import paired_intervals
from ragline.finetune.comparison.contender import Contender, Model
from ragline.finetune.comparison.contest import Contest
from ragline.finetune.comparison.corpus import HeldOut
from ragline.finetune.comparison.golden import GOLDEN_METRICS, GoldenQuestion, rank_of_gold, read_golden, score_golden
from ragline.tables import count_rows, read_rows

_log = logging.getLogger(__name__)

BASE, CHAMPION, CHALLENGER = ROLES = ("base", "champion", "challenger")
METRICS = ("ndcg@10", "mrr@10", "recall@10", "recall@100")
ALL, GOLDEN = "all", "golden"
"""Kinds beside those of pairs: every held-out question, and the golden ones."""

_EXCERPT = 400


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the models made of one question; each mapping is by role.

    Attributes:
        query: what was asked.
        kind: of its pair, or "golden".
        document: of the answer; for a golden question all right ones, with ", " between.
        gold: the beginning of the answer; "" for a golden question.
        group: what it is resampled with.
        ranks: place of the best answer; 0 when it is not among the first 100 (golden questions only).
        scores: cosine of the best answer; none for a golden question.
        others: cosine of the best other passage; likewise.
        metrics: by name, by role.
    """

    query: str
    kind: str
    document: str
    gold: str
    group: str
    ranks: Mapping[str, int]
    scores: Mapping[str, float]
    others: Mapping[str, float]
    metrics: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Gain:
    """The challenger's mean metric minus another model's.

    Attributes:
        over: role of the other model.
        kind: of questions: "all", "golden" or a kind of pairs.
        metric: its name.
        before, after: the means of the other model and of the challenger.
        mean: their difference.
        low, high: where the difference lies with 95 % confidence.
        better, worse: how many questions.
    """

    over: str
    kind: str
    metric: str
    before: float
    after: float
    mean: float
    low: float
    high: float
    better: int
    worse: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A comparison of models.

    Attributes:
        models: what each role's model is and costs; roles with one digest share the model.
        outcomes: each question.
        means: mean metric by role, kind and name.
        gains: differences with intervals; over the base only when it is not the champion.
        passages: number of chunks in the corpus.
        documents: number of documents in the corpus.
        seed: of the resampling.
        seconds: that the comparison took.
    """

    models: Mapping[str, Model]
    outcomes: Sequence[Outcome]
    means: Mapping[str, Mapping[str, Mapping[str, float]]]
    gains: Sequence[Gain]
    passages: int
    documents: int
    seed: int
    seconds: float

    @classmethod
    def of(
        cls,
        models: Mapping[str, Model],
        outcomes: Sequence[Outcome],
        *,
        passages: int = 0,
        documents: int = 0,
        seed: int = 0,
        seconds: float = 0.0,
    ) -> "Evaluation":
        """Return the comparison that the outcomes give: means and differences are worked out here."""
        rivals = [CHAMPION] if models[BASE].digest == models[CHAMPION].digest else [CHAMPION, BASE]
        return cls(
            models=models,
            outcomes=outcomes,
            means={role: _means(outcomes, role) for role in ROLES},
            gains=[gain for over in rivals for gain in _gains(outcomes, over, seed)],
            passages=passages,
            documents=documents,
            seed=seed,
            seconds=round(seconds, 1),
        )

    def gain(self, over: str = CHAMPION, kind: str = ALL, metric: str = "ndcg@10") -> Gain | None:
        """Return one difference, or None when there are no such questions; a base that is the champion counts as it."""
        if over == BASE and self.models[BASE].digest == self.models[CHAMPION].digest:
            over = CHAMPION
        return next((g for g in self.gains if (g.over, g.kind, g.metric) == (over, kind, metric)), None)

    def of_kind(self, kind: str) -> list[Outcome]:
        """Return the outcomes of a kind; "all" are those that are not golden."""
        return [o for o in self.outcomes if (o.kind != GOLDEN if kind == ALL else o.kind == kind)]

    def to_json(self) -> str:
        """Return the comparison as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Evaluation":
        """Return what `to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        fields["models"] = {role: Model(**model) for role, model in fields["models"].items()}
        fields["outcomes"] = [Outcome(**outcome) for outcome in fields["outcomes"]]
        fields["gains"] = [Gain(**gain) for gain in fields["gains"]]
        return cls(**fields)


def evaluate_models(
    pairs: Path,
    chunks: Path,
    documents: Path,
    *,
    base: str,
    champion: str,
    challenger: str,
    questions_uri: str = "",
    seed: int = 0,
) -> Evaluation:
    """Compare a challenger with the champion and with the base model it was trained from.

    Args:
        pairs: Parquet of pairs; those of the test split are asked.
        chunks: Parquet of all chunks: the corpus.
        documents: Parquet of all documents.
        base: name of the model that the training began with.
        champion: name of the model in use; usually the base at first, then it runs once.
        challenger: name of the trained model.
        questions_uri: golden questions (file or s3:// object); "" for none.
        seed: of the resampling.

    Raises:
        InputError: nothing to measure with, or a golden question names only unknown files; nothing was embedded.
        ModelError: a model cannot be run, or gives vectors that hold no numbers.
    """
    begun = time.monotonic()
    held_out = HeldOut(pairs, chunks)
    ids = (row["id"] for row in read_rows(documents, ["id"]))
    questions = read_golden(questions_uri, ids) if questions_uri else []
    contenders, places = _contenders({BASE: base, CHAMPION: champion, CHALLENGER: challenger})
    _log.info(
        "comparing %d models on %d held-out and %d golden questions",
        len(contenders),
        len(held_out.queries),
        len(questions),
    )
    contest = Contest(contenders, held_out, questions)
    contest.run()
    outcomes = [*_outcomes(contest, held_out, places), *_golden_outcomes(contest, questions, places)]
    models = [contender.measured() for contender in contenders]
    return Evaluation.of(
        {role: models[place] for role, place in places.items()},
        outcomes,
        passages=count_rows(chunks),
        documents=count_rows(documents),
        seed=seed,
        seconds=time.monotonic() - begun,
    )


def _contenders(names: Mapping[str, str]) -> tuple[list[Contender], dict[str, int]]:
    """Return the different models, and which one each role has."""
    found = {role: find_model(name) for role, name in names.items()}
    digests = list(dict.fromkeys(model.digest for model in found.values()))
    first = {model.digest: model for model in reversed(found.values())}
    return [Contender(first[digest]) for digest in digests], {r: digests.index(m.digest) for r, m in found.items()}


def _outcomes(contest: Contest, held_out: HeldOut, places: Mapping[str, int]) -> Iterator[Outcome]:
    for row, query in enumerate(held_out.queries):
        scores = {role: max(contest.answers[place][row]) for role, place in places.items()}
        others = {role: contest.rankings[place].best(row)[1][:1] for role, place in places.items()}
        first = held_out.golds[query.golds[0]]
        yield Outcome(
            query=query.text,
            kind=query.kind,
            document=query.document,
            gold=_excerpt(first.text),
            group=query.group,
            ranks={role: int(contest.rankings[place].above[row]) + 1 for role, place in places.items()},
            scores={role: round(score, 5) for role, score in scores.items()},
            others={role: round(best[0], 5) for role, best in others.items() if best},
            metrics={role: _scored(contest, place, row, query.golds) for role, place in places.items()},
        )


def _scored(contest: Contest, place: int, row: int, golds: Sequence[int]) -> dict[str, float]:
    answers = list(zip(golds, contest.answers[place][row], strict=True))
    ranked = [str(number) for number in contest.rankings[place].with_answers(row, answers)]
    relevant = {str(number): 1.0 for number in golds}
    return {
        "ndcg@10": round(ndcg_at(ranked, relevant, 10), 6),
        "mrr@10": round(mrr_at(ranked, relevant, 10), 6),
        "recall@10": round(recall_at(ranked, relevant, 10), 6),
        "recall@100": round(recall_at(ranked, relevant, 100), 6),
    }


def _golden_outcomes(
    contest: Contest, questions: Sequence[GoldenQuestion], places: Mapping[str, int]
) -> Iterator[Outcome]:
    for row, question in enumerate(questions):
        best = {role: contest.golden[place].best(row)[0] for role, place in places.items()}
        ranked = {role: [contest.documents[number] for number in numbers] for role, numbers in best.items()}
        yield Outcome(
            query=question.text,
            kind=GOLDEN,
            document=", ".join(sorted(question.documents)),
            gold="",
            group=f"question {row}",
            ranks={role: rank_of_gold(question, names) for role, names in ranked.items()},
            scores={},
            others={},
            metrics={role: score_golden(question, names) for role, names in ranked.items()},
        )


def _kinds(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Return the outcomes by kind, all held-out ones first."""
    kinds: dict[str, list[Outcome]] = {ALL: []}
    for outcome in outcomes:
        kinds.setdefault(outcome.kind, []).append(outcome)
        if outcome.kind != GOLDEN:
            kinds[ALL].append(outcome)
    return {kind: some for kind, some in kinds.items() if some}


def _means(outcomes: Sequence[Outcome], role: str) -> dict[str, dict[str, float]]:
    return {
        kind: {name: round(float(np.mean([o.metrics[role][name] for o in some])), 6) for name in _names(kind)}
        for kind, some in _kinds(outcomes).items()
    }


def _gains(outcomes: Sequence[Outcome], over: str, seed: int) -> Iterator[Gain]:
    for kind, some in _kinds(outcomes).items():
        names = _names(kind)
        before, after = (
            np.array([[o.metrics[role][name] for name in names] for o in some]) for role in (over, CHALLENGER)
        )
        intervals = paired_intervals(after - before, [o.group for o in some], seed=seed)
        for column, (name, interval) in enumerate(zip(names, intervals, strict=True)):
            difference = after[:, column] - before[:, column]
            yield Gain(
                over=over,
                kind=kind,
                metric=name,
                before=round(float(before[:, column].mean()), 6),
                after=round(float(after[:, column].mean()), 6),
                mean=round(interval.mean, 6),
                low=round(interval.low, 6),
                high=round(interval.high, 6),
                better=int((difference > 0).sum()),
                worse=int((difference < 0).sum()),
            )


def _names(kind: str) -> Sequence[str]:
    return GOLDEN_METRICS if kind == GOLDEN else METRICS


def _excerpt(text: str) -> str:
    return text if len(text) <= _EXCERPT else text[: _EXCERPT - 1].rstrip() + "…"
