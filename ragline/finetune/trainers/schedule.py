"""The learning rate over a training: up, then down to zero, also when time runs out before the pairs do."""

from dataclasses import dataclass


@dataclass
class Schedule:
    """Factor of the learning rate at each step; straight up for `warmup` steps, straight down to 0 at `steps`.

    It is planned anew with `end_at` when the time allowed lets fewer steps be made: the rate goes on from where it
    is and still reaches 0 at the last step, so that what is kept is a trained model and not one cut off.

    Attributes:
        steps: the last step.
        warmup: steps on the way up.
        turn: step from which on the present way down counts.
        height: factor at that step.
    """

    steps: int
    warmup: int
    turn: int = 0
    height: float = 1.0

    def __call__(self, step: int) -> float:
        """Return the factor of the step with this number, counted from 0."""
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        start = max(self.turn, self.warmup)
        return self.height * max(0.0, (self.steps - step) / max(1, self.steps - start))

    def end_at(self, steps: int, *, now: int) -> None:
        """Plan the way from step `now` to another last step."""
        if now < self.warmup:
            self.warmup = max(now, self.warmup * steps // self.steps)
        else:
            self.height, self.turn = self(now), now
        self.steps = steps


def steps_in(seconds: float, *, pace: float, done: int, planned: int) -> int:
    """Return how many steps a training can have in all when `seconds` are left and a step takes `pace` seconds."""
    return max(done, min(planned, done + int(seconds / max(pace, 1e-9))))
