"""Intervals of paired differences hold the truth as often as they say."""

import numpy as np
import pytest

from ragline.finetune.comparison.bootstrap import Interval, paired_intervals


def _simulated(generator: np.random.Generator, groups: int, truth: float) -> tuple[np.ndarray, list[str]]:
    """Return differences as evaluations have them: most are 0, documents differ in size and in how well they do."""
    sizes = generator.geometric(0.1, groups)
    names = [f"d{group}" for group, size in enumerate(sizes) for _ in range(size)]
    effects = np.repeat(generator.normal(0, 0.05, groups), sizes)
    noise = np.where(generator.random(len(names)) < 0.6, 0.0, generator.normal(0, 0.35, len(names)))
    return (truth + effects + noise)[:, None], names


@pytest.mark.parametrize("groups", [10, 40])
def test_intervals_hold_the_truth_as_often_as_they_say(groups: int) -> None:
    """Of 300 simulated evaluations about 95 % have an interval with the true difference in it."""
    generator = np.random.default_rng(groups)
    held = 0
    for _ in range(300):
        (interval,) = paired_intervals(*_simulated(generator, groups, 0.05), resamples=1000)
        held += interval.low <= 0.05 <= interval.high
    assert 0.90 <= held / 300 <= 0.985


def test_documents_are_drawn_not_questions() -> None:
    """Forty questions that all agree within each of four documents say no more than four questions do."""
    of_documents = np.array([0.3, 0.1, -0.1, 0.2])
    many = np.repeat(of_documents, 10)[:, None]
    names = [f"d{number}" for number in range(4)]
    (few,) = paired_intervals(of_documents[:, None], names)
    (grouped,) = paired_intervals(many, [name for name in names for _ in range(10)])
    (alone,) = paired_intervals(many, [f"q{number}" for number in range(40)])
    assert (grouped.mean, grouped.low, grouped.high) == pytest.approx((few.mean, few.low, few.high))
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_matches_the_known_interval_of_a_mean() -> None:
    """For many independent normal differences the interval is that of Student's t."""
    values = np.random.default_rng(1).normal(0.1, 0.2, 400)
    (interval,) = paired_intervals(values[:, None], [str(number) for number in range(400)])
    half = 1.966 * values.std(ddof=1) / 20
    expected = (values.mean(), values.mean() - half, values.mean() + half)
    assert (interval.mean, interval.low, interval.high) == pytest.approx(expected, abs=0.001)


def test_same_seed_same_intervals() -> None:
    """The draws are those of the seed, whatever else was drawn before."""
    values, names = _simulated(np.random.default_rng(3), 20, 0.0)
    first = paired_intervals(values, names, seed=5)
    assert paired_intervals(values, names, seed=5) == first
    assert paired_intervals(values, names, seed=6) != first


def test_metrics_share_the_draws() -> None:
    """Two metrics with the same differences get the same interval."""
    values, names = _simulated(np.random.default_rng(4), 20, 0.0)
    first, second = paired_intervals(np.hstack([values, values]), names)
    assert first == second


def test_no_difference_and_one_document() -> None:
    """Equal models differ by 0 for sure; from one document nothing follows."""
    assert paired_intervals(np.zeros((6, 1)), list("aabbcc")) == [Interval(0.0, 0.0, 0.0)]
    assert paired_intervals(np.full((6, 1), 0.5), ["a"] * 6) == [Interval(0.5, -1.0, 1.0)]
