"""Processes that outlive who started them: how each is recognised, ended and read."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_TAIL_LINES = 6
_LONGEST_LOG = 32 << 20
_PAUSE = 0.05


def identity(pid: int) -> str:
    """Return what tells a running process from any other that has its number at another time; "" if it has ended."""
    with suppress(OSError, IndexError):
        fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
        if fields[0] != "Z":
            return f"{_boot()}:{fields[19]}"
    return ""


def is_running(pid: int, known: str) -> bool:
    """Tell whether the process that had this identity is still there."""
    return bool(known) and identity(pid) == known


def end_group(pid: int, known: str, seconds: float = 10.0) -> bool:
    """End a process that another supervisor started, and all in its group; tell whether anything was there.

    Args:
        pid: of the process, which is also its group's number.
        known: its identity; a process that has only its number is left alone.
        seconds: how long it may take to stop by itself.
    """
    found = identity(pid)
    if not known or known.partition(":")[0] != _boot() or found not in {"", known}:
        return False
    if found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while is_running(pid, known) and time.monotonic() < deadline:
            time.sleep(_PAUSE)
    try:
        os.killpg(pid, signal.SIGKILL)  # without its leader a group keeps its number: nobody else can have it
    except (ProcessLookupError, PermissionError):
        return bool(found)
    return True


def tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """Return the last lines of a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            text = file.read().decode(errors="replace")
    except OSError:
        return "it wrote nothing"
    kept = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n  ".join(kept[-lines:]) or "it wrote nothing"


def cut_log(log: Path) -> None:
    """Move what a log holds to `<log>.1`, if that is much; whoever appends to it writes on."""
    with suppress(OSError):
        if log.stat().st_size > _LONGEST_LOG:
            log.with_name(log.name + ".1").write_bytes(log.read_bytes())
            os.truncate(log, 0)


class Child:
    """A process in a session of its own, which writes to a log."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        """Start it; the log of the run before is kept as `<log>.1`."""
        if log.exists():
            log.replace(log.with_name(log.name + ".1"))
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.pid = self._process.pid
        self.log = log

    def status(self) -> int | None:
        """Return the exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def stop(self, seconds: float = 10.0) -> None:
        """End it; after a while also if it does not want to."""
        if self.status() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


def _boot() -> str:
    """Return what names this start of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
