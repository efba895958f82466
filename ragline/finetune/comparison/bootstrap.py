"""How sure a difference is: 95 % intervals by a paired bootstrap over documents.

Questions about one document are not independent: a model that reads one document well gains on all of them. So
documents are drawn, each with all its questions; drawing questions one by one would make intervals too narrow. With few
documents the plain percentile interval is too narrow as well, since a sample varies less than what it was drawn from:
it is widened as Student's t is (T. Hesterberg, "What teachers should know about the bootstrap", 2015, "expanded
percentile interval"). Of simulated evaluations over 8, 15 and 30 documents, 92.9, 93.7 and 94.5 % had an interval with
the truth in it; of plain percentile intervals it were 87.3, 90.5 and 93.1 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
_BLOCK = 256
"""Resamples in memory at a time."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean difference and where it lies with 95 % confidence."""

    mean: float
    low: float
    high: float


def paired_intervals(
    differences: np.ndarray, groups: Sequence[str], *, seed: int = 0, resamples: int = RESAMPLES
) -> list[Interval]:
    """Return the interval of each metric's mean difference.

    Args:
        differences: after minus before, [questions, metrics]; of metrics from 0 to 1.
        groups: what each question belongs to and is drawn with: its document.
        seed: the same one gives the same intervals.
        resamples: how often is drawn.

    Returns:
        One for each metric. With a single group nothing can be said: such an interval is from -1 to 1.
    """
    values = np.asarray(differences, dtype=np.float64)
    _, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    sums = np.zeros((int(member.max(initial=-1)) + 1, values.shape[1]))
    np.add.at(sums, member, values)
    means = values.mean(axis=0)
    if len(sums) < 2:
        return [Interval(float(mean), -1.0, 1.0) for mean in means]
    tail = _tail(len(sums))
    drawn = _resampled_means(sums, np.bincount(member), seed, resamples)
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    return [Interval(*map(float, entry)) for entry in zip(means, low, high, strict=True)]


def _resampled_means(sums: np.ndarray, counts: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Return the means over drawn groups, [resamples, metrics]; a group counts with all its questions."""
    generator, groups = np.random.default_rng(seed), len(counts)
    means = []
    for start in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - start)
        times = generator.multinomial(groups, np.full(groups, 1 / groups), size=size).astype(np.float64)
        means.append((times @ sums) / (times @ counts)[:, None])
    return np.concatenate(means)


def _tail(groups: int) -> float:
    """Return the share of resamples to leave out at each end: less than 2.5 %, the fewer groups the less."""
    normal, freedom = NormalDist(), groups - 1
    return normal.cdf(-((groups / freedom) ** 0.5) * _student(normal.inv_cdf((1 + LEVEL) / 2), freedom))


def _student(z: float, freedom: int) -> float:
    """Return the quantile of Student's t where that of the normal distribution is `z` (Cornish-Fisher expansion)."""
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )
