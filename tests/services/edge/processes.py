"""Services as processes of their own, with their logs."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
START_SECONDS = 60.0


@dataclass
class Running:
    """A service that runs.

    Attributes:
        url: where.
        log: the file with its log.
        process: itself.
    """

    url: str
    log: Path
    process: "subprocess.Popen[bytes]"

    def lines(self) -> list[dict[str, Any]]:
        """Return its log; every line of it is JSON."""
        return [json.loads(line) for line in self.log.read_text("utf-8").splitlines()]


@contextmanager
def running(log: Path, arguments: Sequence[str] = (), **environment: str) -> Iterator[Running]:
    """Start the tiny service, and end it after the block."""
    with spawned(log, arguments, **environment) as process:
        yield Running(_address(log, process), log, process)


@contextmanager
def spawned(log: Path, arguments: Sequence[str] = (), **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Start the tiny service without waiting for it, and end it after the block."""
    command = [sys.executable, "-W", "error", "-m", "tests.services.edge.tiny_service", *arguments]
    variables = {"PATH": os.environ["PATH"], **environment}
    with log.open("wb") as file, subprocess.Popen(command, cwd=ROOT, env=variables, stderr=file) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(40)


def _address(log: Path, process: "subprocess.Popen[bytes]") -> str:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        for line in log.read_text("utf-8").splitlines():
            if "listens on" in line:
                return f"http://127.0.0.1:{json.loads(line)['port']}"
        time.sleep(0.05)
    raise AssertionError(f"the service did not start: {log.read_text('utf-8')}")
