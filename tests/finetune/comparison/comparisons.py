"""Made-up comparisons of models, for the tests of what is concluded from them and how it is shown."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ragline.finetune.comparison.contender import Model
from ragline.finetune.comparison.evaluation import BASE, CHALLENGER, CHAMPION, Evaluation, Outcome

MODEL = Model("all-MiniLM-L6-v2", "a" * 64, "bf16", 384, 90_000_000, 1_536_000, 100.0, 190.0, 4.2)
KINDS = ("title", "heading", "first sentence", "question")


def outcome(number: int, before: int, after: int, *, golden: bool = False) -> Outcome:
    """Return one question with a rank of the champion and one of the challenger; 0 is none."""
    ranks = {CHAMPION: before, BASE: before, CHALLENGER: after}
    names = ("hit@4", "ndcg@10", "mrr@10", "recall@10") if golden else ("ndcg@10", "mrr@10", "recall@10", "recall@100")
    return Outcome(
        query=f"how is thing {number} done?",
        kind="golden" if golden else KINDS[number % len(KINDS)],
        document=f"guide/{number // 8}.md",
        gold="" if golden else f"Guide > Thing {number}\nDo it in {number} steps, and wait.",
        group=f"question {number}" if golden else f"document {number // 8}",
        ranks=ranks,
        scores={} if golden else {role: round(0.8 - 0.05 * np.log(rank), 5) for role, rank in ranks.items()},
        others={} if golden else {role: round(0.75 - 0.01 * (number % 9), 5) for role in ranks},
        metrics={role: {name: _metric(name, rank) for name in names} for role, rank in ranks.items()},
    )


def _metric(name: str, rank: int) -> float:
    kind, _, cut = name.partition("@")
    if not 1 <= rank <= int(cut):
        return 0.0
    return {"ndcg": float(1 / np.log2(1 + rank)), "mrr": 1 / rank}.get(kind, 1.0)


def comparison(
    ranks: Sequence[tuple[int, int]], golden: Sequence[tuple[int, int]] = (), challenger: Model | None = None
) -> Evaluation:
    """Return the comparison in which the questions have these ranks before and after."""
    outcomes = [outcome(number, *pair) for number, pair in enumerate(ranks)]
    outcomes += [outcome(number, *pair, golden=True) for number, pair in enumerate(golden)]
    trained = challenger or replace(MODEL, name="challenger", digest="b" * 64)
    return Evaluation.of(
        {BASE: MODEL, CHAMPION: MODEL, CHALLENGER: trained}, outcomes, passages=4321, documents=168, seconds=61.5
    )


def noisy(count: int, gain: float, *, seed: int = 0) -> list[tuple[int, int]]:
    """Return ranks before and after of questions, of which the share `gain` gets much better, the rest at random."""
    generator = np.random.default_rng(seed)
    before = generator.geometric(0.12, count)
    moved = np.maximum(1, before + generator.integers(-3, 4, count))
    after = np.where(generator.random(count) < gain, np.minimum(before, generator.geometric(0.6, count)), moved)
    return list(zip(before.tolist(), after.tolist(), strict=True))
