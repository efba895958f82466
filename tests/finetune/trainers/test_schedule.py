"""The learning rate over a training, planned once or anew."""

import pytest

from ragline.finetune.trainers.schedule import Schedule, steps_in


def test_up_then_down_to_zero() -> None:
    """It rises over the warm-up and falls in a straight line to 0 at the last step."""
    schedule = Schedule(steps=10, warmup=2)
    assert [schedule(step) for step in (0, 1, 2, 6, 10)] == pytest.approx([1 / 3, 2 / 3, 1, 0.5, 0])


def test_planned_anew_it_goes_on_from_where_it_is() -> None:
    """With less time the rate is continuous and falls to 0 at the new last step; with more again likewise."""
    schedule = Schedule(steps=100, warmup=0)
    schedule.end_at(60, now=20)
    assert [schedule(step) for step in (20, 40, 60)] == pytest.approx([0.8, 0.4, 0])
    schedule.end_at(80, now=40)
    assert [schedule(step) for step in (40, 60, 80)] == pytest.approx([0.4, 0.2, 0])


def test_planned_anew_while_it_rises() -> None:
    """The warm-up shrinks with the training, and the rate reaches its height."""
    schedule = Schedule(steps=100, warmup=50)
    schedule.end_at(20, now=5)
    assert (schedule.steps, schedule.warmup, schedule(10), schedule(20)) == (20, 10, 1.0, 0.0)


@pytest.mark.parametrize(("seconds", "expected"), [(100, 30), (10, 15), (0, 10), (-5, 10)])
def test_steps_that_fit(seconds: float, expected: int) -> None:
    """As many as planned when there is time, and never fewer than are done."""
    assert steps_in(seconds, pace=2, done=10, planned=30) == expected
