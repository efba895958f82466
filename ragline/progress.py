"""Progress of long work, as log lines that a terminal can turn into a bar.

A step that runs in a pod can only log; the command line that runs the same step in a subprocess
recognises the lines and redraws one line instead. So progress is a line format:

    progress embed 1200/8000 texts 41.3/s
"""

import logging
import re
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_log = logging.getLogger(__name__)

LINE = re.compile(r"progress (?P<step>\S+) (?P<done>\d+)(?:/(?P<total>\d+))? (?P<unit>\S+) (?P<rate>\S+)/s")
"""What `Step` logs; the command line searches the output of a run for it."""


@dataclass
class Step:
    """A running count of units done; logs at most once per `interval` seconds."""

    name: str
    total: int | None = None
    unit: str = "items"
    interval: float = 1.0
    done: int = 0
    _begun: float = field(default_factory=time.monotonic)
    _logged: float = field(default_factory=time.monotonic)

    def advance(self, count: int = 1) -> None:
        """Add `count` units, and log if the last line is old enough."""
        self.done += count
        now = time.monotonic()
        if now - self._logged >= self.interval:
            self._logged = now
            self.log()

    def log(self) -> None:
        """Log the line now."""
        rate = self.done / max(time.monotonic() - self._begun, 1e-3)
        of = "" if self.total is None else f"/{self.total}"
        _log.info("progress %s %d%s %s %.1f/s", self.name, self.done, of, self.unit, rate)


@contextmanager
def progress(name: str, *, total: int | None = None, unit: str = "items") -> Iterator[Step]:
    """Count the units of a step's work; the last line is logged when the work ends without an error."""
    step = Step(name, total, unit)
    yield step
    step.log()


@contextmanager
def timed(metadata: MutableMapping[str, Any]) -> Iterator[None]:
    """Note in an artifact's metadata how many seconds the block took, for the run's report."""
    begun = time.monotonic()
    yield
    metadata["seconds"] = round(time.monotonic() - begun, 3)
