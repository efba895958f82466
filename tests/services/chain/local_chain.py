"""The services of the chain as processes on this machine, to be asked, killed, restarted and listened to."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragline.settings import VARIABLES
from ragline.triton_server import Addresses, TritonServer

ROOT = Path(__file__).resolve().parents[3]
RETRIEVE = "/v1/models/vectorstore:predict"
ANSWER = "/v1/models/llm:predict"
CHAT = "/openai/v1/chat/completions"
_LONGEST_START = 120.0


@dataclass(frozen=True)
class Reply:
    """What a service answered; status 0 where it could not be reached."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def prediction(self) -> dict[str, Any]:
        """The only prediction, in KServe's first protocol."""
        (found,) = self.json["predictions"]
        return dict(found)


def ask(
    url: str,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    *,
    seconds: float = 30.0,
    method: str | None = None,
) -> Reply:
    """Get a URL, or post JSON to it; a failure is a reply too."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return Reply(answer.status, answer.read(), _lowered(answer.headers.items()))
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, error.read(), _lowered(error.headers.items()))
    except OSError as error:
        return Reply(0, str(error).encode())


def _lowered(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers}


def instance(question: str, **more: object) -> dict[str, Any]:
    """Return a body of KServe's first protocol."""
    return {"instances": [{"input": question, **more}]}


def chat(question: str, **more: object) -> dict[str, Any]:
    """Return a body of OpenAI's chat completions."""
    return {"model": "llm", "messages": [{"role": "user", "content": question}], **more}


def events(reply: Reply) -> list[Any]:
    """Return the JSON objects of a stream of events."""
    lines = [line[6:] for line in reply.body.split(b"\n") if line.startswith(b"data: ")]
    assert lines[-1] == b"[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@dataclass
class Service:
    """A process that listens on one port for all its lives."""

    name: str
    arguments: Sequence[str]
    ready: str
    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What it wrote, in all its lives."""
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Start the process; `wait` tells when it is ready."""
        ours = {variable.name for variable in VARIABLES}
        environment = {key: value for key, value in os.environ.items() if key not in ours}
        environment |= {"RAGLINE_CACHE": str(self.folder / "cache"), "OMP_NUM_THREADS": "1", **self.variables}
        command = [sys.executable, *self.arguments, "--port", str(self.port)]
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=file, stderr=file, start_new_session=True
            )

    def wait(self) -> None:
        """Return when it is ready."""
        end = time.monotonic() + _LONGEST_START
        while ask(self.url + self.ready, seconds=5).status != 200:
            assert self.process is not None
            assert self.process.poll() is None, f"{self.name} ended: {self.tail()}"
            assert time.monotonic() < end, f"{self.name} is not ready: {self.tail()}"
            time.sleep(0.1)

    def kill(self) -> None:
        """End it as the kernel would when memory is short."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def tail(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-3000:]


@dataclass
class Embedder:
    """The Triton server, which can be killed and started again on its ports."""

    environment: Path
    repository: Path
    version: int
    folder: Path
    server: TritonServer | None = None
    addresses: Addresses = field(default_factory=lambda: Addresses(free_port(), free_port(), free_port()))

    @property
    def url(self) -> str:
        """Where it takes texts."""
        return self.addresses.url

    @property
    def log(self) -> Path:
        """What it wrote in this life."""
        return self.folder / "triton.log"

    def start(self) -> None:
        """Start it; `wait` tells when it is ready."""
        models = ["embedder"]
        self.server = TritonServer.start(
            self.environment, self.repository, self.folder, models=models, addresses=self.addresses
        )

    def wait(self) -> None:
        """Return when it is ready."""
        assert self.server is not None
        self.server.wait_ready({"embedder": [self.version]})

    def kill(self) -> None:
        """End it as the kernel would when memory is short."""
        assert self.server is not None
        self.server.process.kill()
        self.server.stop()


@dataclass
class Chain:
    """The services by name, those that others ask first."""

    services: dict[str, Service | Embedder]

    def url(self, name: str) -> str:
        """Where a service listens."""
        return self.services[name].url

    def generate(self, **speed: float) -> None:
        """Set how fast the stand-in for a language model generates, and how many words."""
        assert ask(self.url("backend") + "/speed", speed, method="PUT").status == 200

    def logs(self) -> dict[str, str]:
        """Return what each service wrote."""
        return {name: each.log.read_text(errors="replace") for name, each in self.services.items()}


@contextmanager
def running(services: dict[str, Service | Embedder]) -> Iterator[Chain]:
    """Start services, each when those before it are ready; end all of them after the block."""
    started: list[Service | Embedder] = []
    try:
        for service in services.values():
            service.start()
            started.append(service)
            service.wait()
        yield Chain(services)
    finally:
        for service in started:
            service.kill()


class Askers:
    """Threads that ask the same without a pause, and keep every reply with its time."""

    def __init__(self, url: str, body: object, number: int = 4) -> None:
        self.replies: list[tuple[float, Reply]] = []
        self._url = url
        self._body = body
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(number)]

    def __enter__(self) -> "Askers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._stop.is_set():
            begun = time.monotonic()
            reply = ask(self._url, self._body, {"x-request-timeout-ms": "3000"})
            self.replies.append((begun, reply))
            if reply.status != 200:
                time.sleep(0.02)

    def since(self, begin: float) -> list[Reply]:
        """Return the replies to what was asked later than `begin`."""
        return [reply for begun, reply in list(self.replies) if begun >= begin]

    def wait_for(self, status: int, seconds: float, *, times: int = 1) -> None:
        """Return when so many replies of a status have come to what is asked from now on."""
        begin = time.monotonic()
        while sum(reply.status == status for reply in self.since(begin)) < times:
            last = self.replies[-1][1] if self.replies else None
            assert time.monotonic() < begin + seconds, f"no {status} within {seconds:g} s; the last reply: {last}"
            time.sleep(0.02)
