"""The llm service as a process, between a vector store and a language model that tests control."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.services.llm.stand_ins import FOUND, ModelServer, StoreServer, http_server

ROOT = Path(__file__).parents[3]
WORDS = ModelServer().words
KEY = "key-of-the-language-model"
_START_SECONDS = 60.0


@dataclass(frozen=True)
class Llm:
    """A running service.

    Attributes:
        url: where.
        store: what it retrieves from.
        model: what it generates with.
        model_url: where that is.
        log: the file with its log.
    """

    url: str
    store: StoreServer
    model: ModelServer
    model_url: str
    log: Path


@pytest.fixture(scope="session")
def _llm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Llm]:
    log = tmp_path_factory.mktemp("llm") / "llm.log"
    store, model = StoreServer(), ModelServer()
    with ExitStack() as stack:
        store_url = stack.enter_context(http_server(store.application))
        model_url = stack.enter_context(http_server(model.application))
        options = ["--plan", "openai", "--llm-url", f"{model_url}/v1", "--vectorstore-url", store_url]
        url = stack.enter_context(llm_process(log, *options, "--concurrency", "250", RAGLINE_LLM_API_KEY=KEY))
        yield Llm(url, store, model, model_url, log)


@pytest.fixture
def llm(_llm: Llm) -> Llm:
    """The service with the plan `openai`; its stand-ins are as they were at its start."""
    _llm.store.found, _llm.store.refusal = FOUND, None
    _llm.model.words, _llm.model.pause, _llm.model.cancelled = WORDS, 0.0, 0
    for kept in (_llm.store.requests, _llm.store.headers, _llm.model.requests, _llm.model.headers):
        kept.clear()
    return _llm


@contextmanager
def llm_process(log: Path, *options: str, **environment: str) -> Iterator[str]:
    """Start the service on a free port, and end it after the block; give its URL."""
    command = [sys.executable, "-W", "error", "-m", "ragline.services.llm", "--port", "0", *options]
    variables = {"PATH": os.environ["PATH"], **environment}
    with log.open("wb") as file, subprocess.Popen(command, cwd=ROOT, env=variables, stderr=file) as process:
        try:
            yield _address(log, process)
        finally:
            process.terminate()
            process.wait(40)


def _address(log: Path, process: "subprocess.Popen[bytes]") -> str:
    end, port = time.monotonic() + _START_SECONDS, 0
    while time.monotonic() < end and process.poll() is None:
        for line in log.read_text("utf-8").splitlines():
            found = json.loads(line)
            port = found.get("port", port)
            if port and found["message"] == "ready":
                return f"http://127.0.0.1:{port}"
        time.sleep(0.05)
    raise AssertionError(f"the service did not start: {log.read_text('utf-8')}")
