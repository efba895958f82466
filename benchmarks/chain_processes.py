"""The processes that `benchmarks.chain` measures, on free ports of 127.0.0.1, and the CPU time that each takes."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from ragline.settings import environment_of_services
from ragline.triton_server import TritonServer

_TICKS = os.sysconf("SC_CLK_TCK")
_LONGEST_START = 180.0
_EMBEDDER = "embedder"


@dataclass
class Used:
    """CPU seconds by process, with all its children; `others` is what the rest of the machine took meanwhile."""

    seconds: dict[str, float] = field(default_factory=dict)
    others: float = 0.0
    wall: float = 0.0


class Processes:
    """Starts services; a context manager that ends them all.

    Example:
        with Processes(folder) as processes:
            url = processes.start("backend", ["-m", "benchmarks.chain_backend"], ready="/health")
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._triton: TritonServer | None = None
        self._watched: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self._running):
            self.stop(name)
        if self._triton:
            self._triton.stop()

    def start_embedder(self, environment: Path, repository: Path, version: int) -> str:
        """Start Triton on a repository; return its URL."""
        self._triton = TritonServer.start(environment, repository, self._folder / "triton", models=[_EMBEDDER])
        self._triton.wait_ready({_EMBEDDER: [version]})
        return self._triton.addresses.url

    def start(self, name: str, arguments: list[str], *, ready: str) -> str:
        """Start a Python module or script with `--port` added, and return its URL once `ready` answers 200."""
        port = _free_port()
        url = f"http://127.0.0.1:{port}"
        log = self._folder / f"{name}.log"
        with log.open("wb") as file:
            command = [sys.executable, *arguments, "--port", str(port)]
            with environment_of_services():  # as `ragline up` starts them
                self._running[name] = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
        self._wait(name, url + ready, log)
        return url

    def watch(self, name: str, pid: int) -> None:
        """Measure a process too that was started elsewhere, in a session of its own."""
        self._watched[name] = pid

    def stop(self, name: str) -> None:
        """End one service."""
        process = self._running.pop(name)
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @contextmanager
    def measured(self) -> Iterator[Used]:
        """Measure the CPU time of every service while the block runs."""
        used = Used()
        before, machine, start, own = self._cpu(), _machine_cpu(), time.perf_counter(), time.process_time()
        yield used
        after = self._cpu()
        used.seconds = {name: after[name] - before[name] for name in after}
        used.wall = time.perf_counter() - start
        ours = sum(used.seconds.values()) + time.process_time() - own
        used.others = max(0.0, _machine_cpu() - machine - ours)

    def _cpu(self) -> dict[str, float]:
        by_session = _cpu_by_session()
        pids = {name: process.pid for name, process in self._running.items()} | self._watched
        if self._triton:
            pids[_EMBEDDER] = self._triton.process.pid
        return {name: by_session.get(pid, 0.0) for name, pid in pids.items()}

    def _wait(self, name: str, url: str, log: Path) -> None:
        end = time.monotonic() + _LONGEST_START
        while not _answers(url):
            if self._running[name].poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{name} did not start; its log ends: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _cpu_by_session() -> Mapping[int, float]:
    """Return user and system seconds by session: the id of the process that was started, with what it started."""
    seconds: dict[int, float] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(") ")[2].split()
        except OSError:  # it ended meanwhile
            continue
        session = int(fields[3])
        seconds[session] = seconds.get(session, 0.0) + (int(fields[11]) + int(fields[12])) / _TICKS
    return seconds


def _machine_cpu() -> float:
    """Return the seconds that all cores were busy since the start of the machine."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    return (user + nice + system + irq + softirq) / _TICKS
