"""A real release, a real Triton server with two models, a recorder before it, and the service as a process."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from ragline.embedding.http_pool import HttpPool
from ragline.embedding.model import EmbeddingModel, read_model
from ragline.export.exported import export_model
from ragline.export.triton_repository import MODEL, ServerOptions, join_repositories, version_of
from ragline.triton_server import TritonServer
from tests.embedding.conftest import tiny_model
from tests.reindex.conftest import Corpus

ROOT = Path(__file__).parents[3]
PREDICT = "/v1/models/vectorstore:predict"
_START_SECONDS = 60.0

DOCUMENTS = {
    "ferry": "# Ferry\n\nThe ferry leaves at seven. It takes bicycles and dogs.\n\nTickets are sold on the quay.",
    "tower": "# Tower\n\nThe tower is green. It was painted in spring.\n\nVisitors climb 200 steps.",
    "meals": "# Meals\n\nA meal costs at most 40 EUR. Breakfast is included in the price of the room.",
    "hotels": "# Hotels\n\nA hotel costs at most 150 EUR a night. Ask before you book a suite.",
}


@dataclass
class Embedders:
    """A running Triton server.

    Attributes:
        models: that it has.
        repository: with them.
        server: the process.
    """

    models: tuple[EmbeddingModel, EmbeddingModel]
    repository: Path
    server: TritonServer

    @property
    def url(self) -> str:
        """Base of its REST API."""
        return self.server.addresses.url


@pytest.fixture(scope="session")
def triton() -> Path:
    """The environment that `make triton` makes; the test is skipped where it is not."""
    environment = ROOT / "build" / "triton"
    if not (environment / "bin" / "python").is_file():
        pytest.skip("needs a Triton server in build/triton: make triton")
    return environment


@pytest.fixture(scope="session")
def embedders(triton: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedders]:
    """A server with two tiny models of random weights, which give other vectors for the same text."""
    pytest.importorskip("torch", reason="makes the models: pip install 'ragline[train]'")
    folder = tmp_path_factory.mktemp("embedders")
    names = ("one", "two")
    models = [read_model(name, tiny_model(folder / name, seed=n, positions=514)) for n, name in enumerate(names)]
    pairs = [("the ferry", "The ferry leaves at seven."), ("the tower", "The tower is green.")]
    for model in models:
        export_model(model.folder, pairs, folder / f"{model.name}.repository", variants=[])
    repositories = [folder / f"{name}.repository" for name in names]
    join_repositories(repositories, folder / "repository", ServerOptions(threads=1))
    with TritonServer.start(triton, folder / "repository", folder / "run", models=[MODEL]) as server:
        server.wait_ready({MODEL: [version_of(model.digest) for model in models]})
        yield Embedders((models[0], models[1]), folder / "repository", server)


@pytest.fixture(scope="session")
def indexed(embedders: Embedders, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A corpus with a release of the first model; a test that changes it uses a name of its own."""
    folder = tmp_path_factory.mktemp("indexed")
    (folder / "store").mkdir()
    corpus = Corpus(folder / "docs", str(folder / "store"), folder / "work")
    corpus.embedder = str(embedders.models[0].folder)
    corpus.write(**DOCUMENTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAGLINE_CACHE", str(folder / "cache"))
        corpus.run()
    return corpus


@dataclass(frozen=True)
class Seen:
    """A request to the embedder."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def texts(self) -> list[str]:
        """What was to be embedded."""
        data = self.body[int(self.headers["inference-header-content-length"]) :]
        texts = []
        while data:
            size = int.from_bytes(data[:4], "little")
            texts.append(data[4 : 4 + size].decode())
            data = data[4 + size :]
        return texts


class Recorder:
    """Stands between the service and Triton: notes each request, and passes it on after a while.

    Attributes:
        seen: what came, in order.
        seconds: how long each request is held.
        refusal: status and headers of the answer to every request instead; None to pass it on.
    """

    def __init__(self, upstream: str) -> None:
        self.seen: list[Seen] = []
        self.seconds = 0.0
        self.refusal: tuple[int, dict[str, str]] | None = None
        pool = HttpPool("triton", upstream, idle=64)
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self._pass(b"")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                recorder.seen.append(Seen(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self._pass(body)

            def _pass(self, body: bytes) -> None:
                time.sleep(recorder.seconds)
                kept = {k: v for k, v in self.headers.items() if k.lower().startswith(("inference-", "content-type"))}
                if recorder.refusal:
                    status, headers, data = *recorder.refusal, b'{"error": "refused"}'
                else:
                    reply = pool.request(self.command, self.path, body, kept)
                    status, headers, data = reply.status, dict(reply.headers), reply.body
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in ("content-length", "connection"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="session")
def _recorder(embedders: Embedders) -> Iterator[Recorder]:
    recorder = Recorder(embedders.url)
    yield recorder
    recorder.close()


@pytest.fixture
def recorder(_recorder: Recorder) -> Iterator[Recorder]:
    """What stands in front of the server; passes everything on at first."""
    _recorder.seen.clear()
    yield _recorder
    _recorder.seconds, _recorder.refusal = 0.0, None


@dataclass(frozen=True)
class Running:
    """A service that runs."""

    url: str
    log: Path
    client: httpx.Client

    def ask(self, *instances: Any, status: int = 200, headers: dict[str, str] | None = None) -> Any:
        """Return the predictions for instances, or the body of the error that is expected."""
        body = json.dumps({"instances": instances})
        kind = {"content-type": "application/json"}
        answer = self.client.post(PREDICT, content=body, headers=kind | (headers or {}))
        assert answer.status_code == status, answer.text
        return answer.json()["predictions"] if status == 200 else answer.json()

    def problem(self) -> str:
        """Return why it is not ready."""
        answer = self.client.get("/v2/models/vectorstore/ready")
        return "" if answer.status_code == 200 else str(answer.json()["error"])

    def metrics(self) -> str:
        """Return the Prometheus page."""
        return self.client.get("/metrics").text


@contextmanager
def serving(corpus: Corpus, embedder_url: str, folder: Path, *options: str, ready: bool = True) -> Iterator[Running]:
    """Start the service on a free port, and end it after the block."""
    folder.mkdir(exist_ok=True, parents=True)
    log = folder / "vectorstore.log"
    command = [sys.executable, "-W", "error", "-m", "ragline.services.vectorstore", "--port", "0", "--interval", "0.1"]
    place = ["--store", corpus.store_uri, "--name", corpus.name, "--embedder-url", embedder_url]
    variables = {"PATH": os.environ["PATH"], "RAGLINE_CACHE": str(folder / "cache")}
    with (
        log.open("wb") as file,
        subprocess.Popen([*command, *place, *options], cwd=ROOT, env=variables, stderr=file) as process,
    ):
        try:
            url = _address(log, process)
            with httpx.Client(base_url=url, timeout=60, limits=httpx.Limits(max_connections=None)) as client:
                running = Running(url, log, client)
                if ready:
                    until(lambda: not running.problem())
                yield running
        finally:
            process.terminate()
            process.wait(40)


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="session")
def _service(indexed: Corpus, _recorder: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(indexed, _recorder.url, tmp_path_factory.mktemp("service"), "--queue", "40") as running:
        yield running


@pytest.fixture
def service(_service: Running, recorder: Recorder) -> Running:
    """The service over the release of the first model."""
    return _service


def _address(log: Path, process: "subprocess.Popen[bytes]") -> str:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        for line in log.read_text("utf-8").splitlines():
            if "listens on" in line:
                return f"http://127.0.0.1:{json.loads(line)['port']}"
        time.sleep(0.05)
    raise AssertionError(f"the service did not start: {log.read_text('utf-8')}")
