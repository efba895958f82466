"""Load, failures and exchanges, with a real Triton server and the service as a process."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from ragline.export.triton_repository import MODEL, version_of
from ragline.triton_server import Addresses, TritonServer
from tests.embedding.conftest import tiny_model
from tests.reindex.conftest import Corpus
from tests.services.vectorstore.conftest import DOCUMENTS, PREDICT, Embedders, Recorder, Running, serving, until

pytestmark = pytest.mark.slow

QUESTION = "When does the ferry leave?"


@pytest.fixture
def changing(indexed: Corpus, embedders: Embedders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """A corpus of its own in the same store, with a release of the first model."""
    monkeypatch.setenv("RAGLINE_CACHE", str(tmp_path / "cache"))
    corpus = Corpus(tmp_path / "docs", indexed.store_uri, tmp_path / "work", name=f"changing-{tmp_path.name}"[:60])
    corpus.embedder = str(embedders.models[0].folder)
    corpus.write(**DOCUMENTS)
    corpus.run()
    return corpus


def post(service: Running, question: str = QUESTION, **headers: str) -> httpx.Response:
    """Ask, and return whatever comes."""
    body: dict[str, Any] = {"instances": [{"input": question, "quotes": True}]}
    return service.client.post(PREDICT, json=body, headers=headers)


def test_two_callers_never_mix(service: Running, recorder: Recorder) -> None:
    """Under concurrency a token goes to the embedder with its own caller's texts, and with nobody else's."""
    recorder.seconds = 0.02  # batches gather

    def ask(number: int) -> tuple[str, str]:
        token, name = f"Bearer token-{number % 3}" if number % 3 else "", f"person{number % 3}"
        headers = {"x-request-id": f"r{number}"} | ({"authorization": token} if token else {})
        question = f"Does {name} take ferry {number}?"
        answer = service.ask({"input": question, "num_docs": 1}, headers=headers)
        assert len(answer) == 1
        return question, token

    with ThreadPoolExecutor(24) as callers:
        asked = dict(callers.map(ask, range(150)))
    tokens: dict[str, set[str]] = {}
    for request in recorder.seen:
        for text in request.texts:
            tokens.setdefault(text, set()).add(request.headers.get("authorization", ""))
    assert tokens == {question: {token} for question, token in asked.items()}
    assert len(recorder.seen) < 150
    assert all(request.headers["x-request-id"].startswith("r") for request in recorder.seen)


def test_sentences_go_out_under_their_callers_name(service: Running, recorder: Recorder) -> None:
    """The trace and the id too, and less time than the caller had."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    service.ask(
        {"input": QUESTION, "quotes": True},
        headers={
            "authorization": "Bearer mine",
            "x-request-id": "r-1",
            "traceparent": f"00-{trace}-b7ad6b7169203331-01",
            "x-request-timeout-ms": "9000",
        },
    )
    assert {request.headers["authorization"] for request in recorder.seen} == {"Bearer mine"}
    assert {request.headers["x-request-id"] for request in recorder.seen} == {"r-1"}
    assert {request.headers["traceparent"][3:35] for request in recorder.seen} == {trace}
    assert all(8000 < int(request.headers["x-request-timeout-ms"]) < 9000 for request in recorder.seen)


def test_what_the_embedder_refuses_is_passed_on(service: Running, recorder: Recorder) -> None:
    """With its own status: a token that is not accepted, an overload, a failure of its own."""
    for status, expected, retry in ((401, 401, ""), (403, 403, ""), (429, 429, "7"), (503, 503, "7"), (500, 502, "")):
        recorder.refusal = (status, {"Retry-After": retry} if retry else {})
        answer = post(service)
        assert (answer.status_code, answer.headers.get("retry-after", "")) == (expected, retry)
        assert f"gave {status}: refused" in answer.json()["error"]


def test_too_many_questions_are_shed(service: Running, recorder: Recorder) -> None:
    """429 at once, and when to ask again; those who are in are answered."""
    recorder.seconds = 0.5
    with ThreadPoolExecutor(160) as callers:
        answers = list(callers.map(lambda number: post(service, f"question {number}"), range(160)))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 429}
    for answer in answers:
        if answer.status_code == 429:
            assert int(answer.headers["retry-after"]) >= 1
            assert "questions wait already, and 40 may" in answer.json()["error"]
    recorder.seconds = 0.0
    assert post(service).status_code == 200
    shed = f'ragline_shed_total{{queue="vectorstore"}} {statuses.count(429)}.0'
    assert shed in service.metrics()


def test_what_comes_too_late_is_not_done(service: Running, recorder: Recorder) -> None:
    """504 when the caller's time is over; a search that waited for too long costs the embedder nothing."""
    recorder.seconds = 0.6
    with ThreadPoolExecutor(12) as callers:
        patient = []
        for number in range(2):  # one for each worker
            patient.append(callers.submit(post, service, f"patient {number}"))
            until(lambda number=number: len(recorder.seen) > number)  # type: ignore[misc]
        headers = {"x-request-timeout-ms": "100"}
        hasty = [callers.submit(post, service, f"hasty {number}", **headers) for number in range(8)]
        assert [each.result().status_code for each in hasty] == [504] * 8
        assert all(each.result().elapsed.total_seconds() < 0.6 for each in hasty)
        assert [each.result().status_code for each in patient] == [200, 200]
    texts = [text for request in recorder.seen for text in request.texts]
    assert sum(text.startswith("patient") for text in texts) == 2
    assert not any(text.startswith("hasty") for text in texts)


@contextmanager
def own_triton(triton: Path, embedders: Embedders, folder: Path, addresses: Addresses | None) -> Iterator[TritonServer]:
    """Run another server with the same models, which a test may stop."""
    with TritonServer.start(triton, embedders.repository, folder, models=[MODEL], addresses=addresses) as server:
        server.wait_ready({MODEL: [version_of(model.digest) for model in embedders.models]})
        yield server


def test_an_embedder_that_dies_and_comes_back(
    triton: Path, embedders: Embedders, indexed: Corpus, tmp_path: Path
) -> None:
    """503 that says where it was looked for, while it is gone; answers again, by itself, once it is there."""
    with own_triton(triton, embedders, tmp_path / "one", None) as server:
        url, addresses = server.addresses.url, server.addresses
        with serving(indexed, url, tmp_path / "service") as service:
            assert post(service).status_code == 200
            server.process.kill()
            server.stop()
            answers = [post(service) for _ in range(3)]
            assert {answer.status_code for answer in answers} == {503}
            assert f"embedder at {url} cannot be reached" in answers[-1].json()["error"]
            assert service.problem() == ""  # the release is there; who can be reached is asked with each question
            with own_triton(triton, embedders, tmp_path / "two", addresses):
                assert post(service).status_code == 200


def test_a_service_that_starts_before_its_embedder(
    triton: Path, embedders: Embedders, indexed: Corpus, tmp_path: Path
) -> None:
    """It is not ready and says why; a moment after the embedder is up it is."""
    with own_triton(triton, embedders, tmp_path / "one", None) as server:
        addresses = server.addresses
    with serving(indexed, addresses.url, tmp_path / "service", ready=False) as service:
        until(lambda: "cannot be reached" in service.problem())
        assert f"embedder at {addresses.url} cannot be reached" in post(service).json()["error"]
        assert post(service).status_code == 503
        with own_triton(triton, embedders, tmp_path / "two", addresses):
            until(lambda: not service.problem(), 10)
            assert post(service).status_code == 200


def test_a_model_that_the_embedder_has_not(
    embedders: Embedders, changing: Corpus, recorder: Recorder, tmp_path: Path
) -> None:
    """The release before is served on; a service that has none yet answers 503; both name both digests."""
    served = sorted(model.digest[:12] for model in embedders.models)
    with serving(changing, recorder.url, tmp_path / "old") as old:
        first = changing.index.pointer().release
        changing.embedder = str(tiny_model(tmp_path / "third", seed=9, positions=514))
        third = changing.run().manifest
        message = f"does not serve model {third.digests['model'][:12]}, which made the release; it serves "
        until(lambda: 'ragline_index_problem{index="' + changing.name + '"} 1.0' in old.metrics())
        assert old.ask({"input": QUESTION})[0]["release"] == first
        log = old.log.read_text("utf-8")
        assert message in log
        assert all(digest in log for digest in served)
    with serving(changing, recorder.url, tmp_path / "new", ready=False) as new:
        until(lambda: message in new.problem())
        answer = post(new)
        assert answer.status_code == 503
        assert message in answer.json()["error"]
        assert all(digest in answer.json()["error"] for digest in served)


def test_no_request_fails_while_release_and_model_are_exchanged(
    embedders: Embedders, changing: Corpus, recorder: Recorder, tmp_path: Path
) -> None:
    """Each prediction is of one release and its own model; vectors of one model never search a release of the other."""
    releases = {changing.index.pointer().release: embedders.models[0].digest}
    stop = threading.Event()

    def ask(service: Running) -> list[Any]:
        answers = []
        while not stop.is_set():
            answers += service.ask({"input": QUESTION, "quotes": True}, {"input": "Is the tower green?"})
        return answers

    with serving(changing, recorder.url, tmp_path / "service") as service, ThreadPoolExecutor(6) as callers:
        asking = [callers.submit(ask, service) for _ in range(6)]
        for turn, model in enumerate((*reversed(embedders.models), embedders.models[1])):
            changing.embedder = str(model.folder)
            changing.write(ferry=f"The ferry leaves at {turn + 8}.")
            release = changing.run().manifest.release
            releases[release] = model.digest
            until(lambda release=release: f'release="{release}"' in service.metrics())  # type: ignore[misc]
        stop.set()
        answers = [answer for each in asking for answer in each.result()]
    pairs = {(answer["release"], answer["model"]) for answer in answers}
    assert pairs == set(releases.items())
    assert all(answer["documents"] for answer in answers)
