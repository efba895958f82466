"""What the service answers, with a real Triton server and a real release."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ragline.answering import Answerer
from ragline.calibration import Calibration
from ragline.embedding.triton_client import TritonEmbedder
from ragline.retrieval import MODES, Mode, Retriever
from ragline.services.vectorstore.__main__ import main
from tests.reindex.conftest import Corpus
from tests.services.fuzz import fuzz
from tests.services.vectorstore.conftest import Embedders, Recorder, Running

pytestmark = pytest.mark.slow

QUESTIONS = ["When does the ferry leave?", "Is the tower green?", "What does a hotel cost?", "Who sells tickets?"]


@pytest.fixture(scope="module")
def in_process(indexed: Corpus, embedders: Embedders, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answerer]:
    """What answers from the same release, without a service."""
    manifest = indexed.index.current()
    embedder = TritonEmbedder(embedders.url, manifest.digests["model"])
    with Retriever(indexed.index.fetch(manifest, tmp_path_factory.mktemp("copy"))) as retriever:
        yield Answerer(retriever, embedder, Calibration.of(dict(manifest.calibration)), manifest.release)


def expected(answerer: Answerer, question: str, number: int, **search: Any) -> dict[str, Any]:
    """Return what the prediction is to be, without timings and quotes."""
    (found,) = answerer.retrieve_all([question], answerer.embedder.embed([question]), number, **search)
    documents = [
        {name: getattr(passage, name) for name in ("id", "text", "source", "title", "section", "start", "end")}
        for passage in found.passages[:number]
    ]
    scores = [(passage.score, passage.similarity) for passage in found.passages[:number]]
    return {"found": found.found, "relevance": found.relevance, "documents": documents, "scores": scores}


def seen(prediction: dict[str, Any]) -> dict[str, Any]:
    """Return a prediction in the form of `expected`."""
    scores = [(document.pop("score"), document.pop("similarity")) for document in prediction["documents"]]
    return {name: prediction[name] for name in ("found", "relevance", "documents")} | {"scores": scores}


@pytest.mark.parametrize("mode", [None, *MODES])
def test_documents_are_those_of_the_library(service: Running, in_process: Answerer, mode: Mode | None) -> None:
    """Texts, places, scores and whether anything was found, in each mode; many instances at once or one."""
    instances = [{"input": question, "num_docs": 3, "mode": mode} for question in QUESTIONS]
    together = service.ask(*instances)
    alone = [service.ask(instance)[0] for instance in instances]
    for question, *predictions in zip(QUESTIONS, together, alone, strict=True):
        wanted = expected(in_process, question, 3, mode=mode or "hybrid")
        for prediction in predictions:
            assert prediction["release"] == in_process.release
            assert prediction["model"] == in_process.embedder.digest
            assert prediction["quotes"] == []
            found = seen(prediction)
            for pair, other in zip(found.pop("scores"), wanted["scores"], strict=True):
                assert pair == pytest.approx(other, abs=1e-4)
            assert found.pop("relevance") == pytest.approx(wanted["relevance"], abs=1e-5)
            assert found == {name: wanted[name] for name in ("found", "documents")}


def test_quotes_are_those_of_the_library(service: Running, in_process: Answerer) -> None:
    """Exactly what `Answerer.ask` cites, however few documents are asked for, and only where they are asked for."""
    instances = [{"input": question, "num_docs": 1, "quotes": True} for question in QUESTIONS]
    predictions = service.ask(*instances, {"input": QUESTIONS[0]})
    for question, prediction in zip(QUESTIONS, predictions, strict=False):
        answer = in_process.ask(question)
        wanted = [(each.source, each.section, each.quote) for each in answer.citations]
        assert [(each["source"], each["section"], each["quote"]) for each in prediction["quotes"]] == wanted
        scores = [each.score for each in answer.citations]
        assert [each["score"] for each in prediction["quotes"]] == pytest.approx(scores, abs=2e-4)
        assert len(prediction["documents"]) == 1
    assert any(prediction["quotes"] for prediction in predictions)
    assert predictions[-1]["quotes"] == []


def test_a_filter_leaves_the_rest_out(service: Running) -> None:
    """Each instance has its own; one that lets nothing through finds nothing."""
    filters: list[Any] = [{"source": "ferry.md"}, {"source": {"$in": ["tower.md", "meals.md"]}}, {"source": "?"}, {}]
    predictions = service.ask(*({"input": QUESTIONS[0], "filter": each, "num_docs": 50} for each in filters))
    sources = [{document["source"] for document in prediction["documents"]} for prediction in predictions]
    assert sources == [
        {"ferry.md"},
        {"tower.md", "meals.md"},
        set(),
        {"ferry.md", "tower.md", "meals.md", "hotels.md"},
    ]
    assert [prediction["found"] for prediction in predictions][2] is False


def test_timings_are_told(service: Running) -> None:
    """Of each stage, in milliseconds; quoting takes none where it is not asked for."""
    quoted, plain = service.ask({"input": QUESTIONS[0], "quotes": True}, {"input": QUESTIONS[0]})
    assert set(quoted["timings"]) == {"queue", "embed", "search", "quote"}
    (alone,) = service.ask({"input": QUESTIONS[0]})
    assert alone["timings"]["quote"] == 0.0
    assert min(plain["timings"]["embed"], plain["timings"]["search"]) > 0.0


BAD: list[tuple[Any, str]] = [
    (17, 'expected an object, as in {"input": "How do I start?"}, not 17'),
    ({}, "input: expected the question as a text, not null"),
    ({"input": ["a"]}, 'input: expected the question as a text, not ["a"]'),
    ({"input": " \n"}, "the question is empty"),
    ({"input": "x" * 10_001}, "the question has 10,001 characters; at most 10,000 are taken"),
    ({"input": "a", "num_docs": 0}, "num_docs: expected a whole number from 1 to 50, not 0"),
    ({"input": "a", "num_docs": 51}, "num_docs: expected a whole number from 1 to 50, not 51"),
    ({"input": "a", "num_docs": 2.5}, "num_docs: expected a whole number from 1 to 50, not 2.5"),
    ({"input": "a", "num_docs": True}, "num_docs: expected a whole number from 1 to 50, not true"),
    ({"input": "a", "mode": "best"}, 'mode: expected one of dense, lexical, hybrid, not "best"'),
    ({"input": "a", "quotes": 1}, "quotes: expected true or false, not 1"),
    ({"input": "a", "filters": {}}, "unknown field 'filters'; known are input, num_docs, filter, mode, quotes"),
    ({"input": "a", "filter": "faq"}, 'filter: expected an object, as in {"source": "faq.md"}, not "faq"'),
    ({"input": "a", "filter": {"a": None}}, "filter {'a': None}: Expected where value to be"),
    ({"input": "a", "filter": {"$and": []}}, "filter {'$and': []}: Expected where value for $and or $or"),
    ({"input": "a", "filter": {"a": {"$in": ["x"] * 5001}}}, "filter: 2 conditions with 5001 values; at most 200 with"),
    ({"input": "a", "filter": {"$or": [{"a": 1}] * 2000}}, "filter: 2001 conditions with 2000 values; at most 200"),
]


@pytest.mark.parametrize(("instance", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_a_wrong_instance_is_named(service: Running, instance: Any, message: str) -> None:
    """400, with the number of the instance, what is wrong with it and what is expected."""
    error = service.ask({"input": "good"}, instance, status=400)["error"]
    assert error.startswith(f"instances[1]: {message}")
    assert len(error) < 700


def test_a_wrong_instance_fails_alone(service: Running, recorder: Recorder) -> None:
    """Those that share its batch are answered."""
    recorder.seconds = 0.1  # the next batch gathers
    bad = {"input": "bad", "filter": {"a": {"$gt": "x"}}}

    def ask(number: int) -> Any:
        return service.ask({"input": QUESTIONS[0]}) if number % 4 else service.ask(bad, status=400)["error"]

    with ThreadPoolExecutor(16) as callers:
        answers = list(callers.map(ask, range(32)))
    for number, answer in enumerate(answers):
        if number % 4:
            assert answer[0]["documents"][0]["source"]
        else:
            assert answer.startswith("instances[0]: filter {'a': {'$gt': 'x'}}")
    assert len(recorder.seen) < 32


def test_a_question_in_long_characters_is_answered(service: Running) -> None:
    """The longest question has more bytes than the embedder takes of a text; what is beyond is cut."""
    (prediction,) = service.ask({"input": "船は何時に出ますか" * 1000})
    assert prediction["documents"]


def test_no_request_makes_it_fail(service: Running) -> None:
    """Whatever comes in, at every path."""
    fuzz(service.url, examples=40)


def test_metrics_and_logs(service: Running, indexed: Corpus) -> None:
    """Every stage is measured, the release is named, and no question stands in the log."""
    service.ask(
        {"input": "a question nobody should read", "quotes": True}, headers={"authorization": "Bearer secret-of-mine"}
    )
    page = service.metrics()
    for stage in ("queue", "embed", "search", "quote"):
        assert f'ragline_stage_seconds_count{{stage="{stage}"}}' in page
    assert 'ragline_queue_length{queue="vectorstore"} 0.0' in page
    assert indexed.index.pointer().release in page
    log = service.log.read_text("utf-8")
    assert "nobody should read" not in log
    assert "secret-of-mine" not in log


def test_options_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, and the exit code of a mistake of the caller's."""
    place = ["--store", str(tmp_path)]
    assert main([*place, "--embedder-url", "localhost:8000"]) == 2
    assert "'localhost:8000' is not a URL; expected http://HOST:PORT" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*place, "--embedder-url", "http://localhost", "--queue", "none"])
