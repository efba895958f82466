"""Watches a Hugging Face trainer at work: bad losses, time, checkpoints, progress."""

import logging
import math
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from ragline.errors import PipelineError
from ragline.finetune.trainers.checkpoints import Checkpoints
from ragline.finetune.trainers.schedule import Schedule, steps_in
from ragline.progress import Step

CHECKPOINT_SECONDS = 120.0
"""Time between two checkpoints, unless a number of steps is asked for."""

_MEASURED_FROM, _MEASURED_STEPS = 2, 4  # the first steps warm caches up and say nothing about the pace
_RESERVE = 0.03  # share of the time kept for writing the model

_log = logging.getLogger(__name__)


class Watch(TrainerCallback):  # type: ignore[misc]  # transformers' types are not read
    """Stops on a loss that is no number, ends in time, writes checkpoints that can be told from half-written ones."""

    def __init__(
        self,
        schedule: Schedule,
        checkpoints: Checkpoints,
        *,
        begun: float,
        max_seconds: float = 0.0,
        checkpoint_steps: int = 0,
    ) -> None:
        """Watch a training that has begun.

        Args:
            schedule: is shortened when time is short.
            checkpoints: where the trainer writes them.
            begun: when the work began, as `time.monotonic` tells it; earlier by what earlier attempts took.
            max_seconds: time for all attempts; 0: no limit.
            checkpoint_steps: steps between checkpoints; 0: by time.
        """
        self._schedule = schedule
        self._checkpoints = checkpoints
        self._planned = schedule.steps
        self._begun = begun
        self._max_seconds = max_seconds
        self._checkpoint_steps = checkpoint_steps
        self._saved = time.monotonic()
        self._measured: tuple[int, float] | None = None
        self._progress = Step("train", schedule.steps, "steps")
        self._first = 0

    @property
    def seconds(self) -> float:
        """How long the training has worked, earlier attempts included."""
        return time.monotonic() - self._begun

    def on_train_begin(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take up the count where a resumed training left it."""
        self._first = int(state.global_step)
        self._progress.done = self._first
        if self._schedule.steps <= state.global_step:
            control.should_training_stop = True

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Plan the rest, and decide whether to write a checkpoint or to stop."""
        step = int(state.global_step)
        steps, save = _agree((self._last_step(step), self._is_checkpoint_due(step)))
        if steps != self._schedule.steps:
            self._schedule.end_at(steps, now=step)
        stop = step >= steps
        control.should_save = save and not stop
        control.should_log = control.should_log or save or stop  # so that nothing is written after a bad loss
        control.should_training_stop = control.should_training_stop or stop
        if stop and step < self._planned:
            _log.warning("the time allowed ends the training at step %d of %d", step, self._planned)
        self._progress.total = steps
        self._progress.advance()

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, float], **_: Any) -> None:
        """Note the time beside the loss, and refuse to go on with a loss that is no number."""
        if "loss" not in logs:
            return
        state.log_history[-1]["seconds"] = round(self.seconds, 3)
        for name in ("loss", "grad_norm"):
            if not math.isfinite(float(logs.get(name, 0.0))):
                raise PipelineError(self._diverged(name, float(logs[name]), state, logs))

    def on_save(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Mark the checkpoint that has just been written as whole."""
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            self._checkpoints.keep(folder, seconds=self.seconds)
        self._saved = time.monotonic()

    def on_train_end(self, _args: Any, _state: Any, _control: Any, **_: Any) -> None:
        """Log the last line of progress."""
        self._progress.log()

    def _last_step(self, step: int) -> int:
        """Return how many steps the time allows; as planned until the pace is known."""
        if step - self._first == _MEASURED_FROM:
            self._measured = (step, self.seconds)
        if self._max_seconds and self.seconds >= self._max_seconds:
            return step
        if not self._max_seconds or self._measured is None or step - self._measured[0] < _MEASURED_STEPS:
            return self._schedule.steps
        pace = (self.seconds - self._measured[1]) / (step - self._measured[0])
        left = self._max_seconds * (1 - _RESERVE) - self.seconds
        fit = steps_in(left, pace=pace, done=step, planned=self._planned)
        small = max(1, self._schedule.steps // 50)  # every pace is a little off: that is no reason for a new plan
        late = fit < self._schedule.steps and left < 10 * pace
        return fit if late or abs(fit - self._schedule.steps) > small else self._schedule.steps

    def _is_checkpoint_due(self, step: int) -> bool:
        if self._checkpoint_steps:
            return step % self._checkpoint_steps == 0
        return time.monotonic() - self._saved >= CHECKPOINT_SECONDS

    def _diverged(self, name: str, value: float, state: Any, logs: dict[str, float]) -> str:
        whole = self._checkpoints.last_whole() if state.is_world_process_zero else None
        return (
            f"training diverged: the {'loss' if name == 'loss' else 'gradient'} is {value} at step "
            f"{state.global_step} of {self._schedule.steps} (learning rate {logs.get('learning_rate', 0.0):.3g}); "
            "no model was written. Train with a lower learning rate, a higher temperature, or float32; "
            f"last whole checkpoint: {whole.name if whole else 'none'}"
        )


def _agree(decision: tuple[int, bool]) -> tuple[int, bool]:
    """Return the first process's decision: clocks differ, and all must stop and save at the same step."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return decision
    decisions = [decision]
    distributed.broadcast_object_list(decisions, src=0)
    return decisions[0]
