"""Runs a command and measures its whole process tree: CPU seconds, wall seconds, peak memory."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RAGLINE = Path(sys.executable).with_name("ragline")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a command took.

    Attributes:
        cpu: user and system seconds of the process and of all its descendants that were waited for.
        wall: seconds on the clock.
        peak: highest sum over the tree of proportional set sizes in bytes; 0 when it was not sampled.
        stdout: what the command printed.
    """

    cpu: float
    wall: float
    peak: int
    stdout: str

    @property
    def last(self) -> dict[str, Any]:
        """The JSON object on the last line of the output."""
        result: dict[str, Any] = json.loads(self.stdout.rstrip().rsplit("\n", 1)[-1])
        return result


def measure(
    command: Sequence[object], *, nice: int = 0, env: Mapping[str, str] | None = None, interval: float = 0.0
) -> Measured:
    """Run a command to its end and measure it.

    Args:
        command: program and arguments, as texts or paths; its stderr stays visible.
        nice: lowers the priority by so much.
        env: added to the environment.
        interval: seconds between two looks at the memory of the tree; 0 does not look.

    Raises:
        SystemExit: the command failed.
    """
    words = ["nice", "-n", str(nice), *map(str, command)]
    start = time.monotonic()
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=os.environ | dict(env or {})) as process:
        sampler = _Sampler(process.pid, interval)
        sampler.start()
        assert process.stdout is not None
        stdout = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        sampler.stop()
    if process.returncode:
        raise SystemExit(f"{' '.join(words[3:])} ended with {process.returncode}; its output: {stdout[-2000:]}")
    return Measured(usage.ru_utime + usage.ru_stime, time.monotonic() - start, sampler.peak, stdout)


class _Sampler(threading.Thread):
    """Remembers the highest memory of a process tree."""

    def __init__(self, root: int, interval: float) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._root = root
        self._interval = interval
        self._done = threading.Event()

    def run(self) -> None:
        while self._interval and not self._done.wait(self._interval):
            self.peak = max(self.peak, sum(map(_memory, _tree(self._root))))

    def stop(self) -> None:
        self._done.set()
        self.join()


def _tree(root: int) -> list[int]:
    """Return the process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            children.setdefault(_parent(entry), []).append(int(entry.name))
    found = [root]
    for pid in found:  # grows while it is read: breadth first
        found.extend(children.get(pid, []))
    return found


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:  # it ended meanwhile
        return 0


def _memory(pid: int) -> int:
    """Return the proportional set size in bytes: pages shared by several processes count once."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # it ended meanwhile
        return 0
    return next((int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")), 0)
