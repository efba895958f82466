"""`ragline ask` through a chain that is up: the same output, and errors that keep their meaning."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ragline.chain.state import ChainState, Place, ServiceState
from ragline.cli import main

CITATION = {"number": 1, "source": "a.md", "section": "A", "quote": "It is green.", "score": 0.9}
ANSWER = {"found": True, "answer": "It is green. [1]", "citations": [CITATION], "release": "r1"}

Serve = Callable[[int, Any], list[Any]]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Be the chain of the store, and answer every request in the same way; gives what was asked."""
    monkeypatch.setenv("RAGLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RAGLINE_STORE", str(tmp_path / "store"))
    place = Place.of(tmp_path / "cache", str(tmp_path / "store"), "default")
    asked: list[Any] = []
    answer: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append((self.path, json.loads(self.rfile.read(int(self.headers["content-length"])))))
            self.send_response(answer[0])
            self.end_headers()
            self.wfile.write(answer[1])

        def log_message(self, *_: object) -> None:
            pass

    with place.owned(), ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        services = (ServiceState("llm", f"http://127.0.0.1:{server.server_address[1]}", "llm.log"),)
        state = ChainState(str(tmp_path / "store"), "default", "extractive", {}, services, "ready", pid=os.getpid())
        place.write(state)

        def start(status: int, body: Any) -> list[Any]:
            answer[:] = [status, body if isinstance(body, bytes) else json.dumps(body).encode()]
            return asked

        yield start
        server.shutdown()


def test_the_answer_looks_as_it_does_without_a_chain(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """The text with its sources; with --json those keys and no others."""
    asked = serve(200, {"predictions": [ANSWER | {"supported": True, "plan": "extractive", "timings": {}}]})
    assert main(["ask", "What colour?", "--filter", '{"source": "a.md"}']) == 0
    assert capsys.readouterr().out == "It is green. [1]\n\n[1] a.md  A\n"
    assert asked == [
        ("/v1/models/llm:predict", {"instances": [{"input": "What colour?", "filter": {"source": "a.md"}}]})
    ]
    assert main(["ask", "What colour?", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ANSWER


@pytest.mark.parametrize(
    ("status", "body", "code", "kind", "message"),
    [
        (400, {"error": "the question is empty", "request_id": "i"}, 2, "InputError", "the question is empty"),
        (413, {"error": "too long", "request_id": "i"}, 2, "InputError", "too long"),
        (429, {"error": "busy; ask again", "request_id": "i"}, 1, "ServiceError", "busy; ask again"),
        (503, {"error": "embedder cannot be reached"}, 1, "ServiceError", "embedder cannot be reached"),
        (504, {"error": "out of time"}, 1, "ServiceError", "out of time"),
        (500, b"<html>", 1, "ServiceError", "something else than JSON"),
        (200, {"predictions": []}, 1, "ServiceError", "something else than an answer"),
    ],
    ids=str,
)
def test_an_error_of_the_chain_keeps_its_meaning(
    status: int, body: Any, code: int, kind: str, message: str, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2 for what the caller did wrong, 1 for what the chain cannot do; the message is the service's."""
    serve(status, body)
    assert main(["ask", "What colour?", "--json"]) == code
    captured = capsys.readouterr()
    error = json.loads(captured.out)
    assert error["error"] == kind
    assert message in error["message"]
    assert len(captured.err.splitlines()) == 1


def test_a_named_release_is_asked_without_the_chain(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """The chain serves the current one only."""
    asked = serve(200, {"predictions": [ANSWER]})
    assert main(["ask", "What colour?", "--release", "abc"]) == 2
    assert asked == []
    capsys.readouterr()


def test_a_chain_whose_service_is_gone_says_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 1 and one line."""
    monkeypatch.setenv("RAGLINE_CACHE", str(tmp_path))
    place = Place.of(tmp_path, str(tmp_path / "store"), "default")
    with place.owned():
        services = (ServiceState("llm", "http://127.0.0.1:9", "llm.log"),)
        place.write(ChainState(str(tmp_path), "default", "extractive", {}, services, "ready", pid=os.getpid()))
        assert main(["ask", "hello", "--store", str(tmp_path / "store")]) == 1
    assert "`ragline status` says why" in capsys.readouterr().err
