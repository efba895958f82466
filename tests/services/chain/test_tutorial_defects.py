"""What went wrong in hand-made chains of this kind, each as a test (tokens: test_every_hop)."""

import http.client
import json
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.services.chain.conftest import Corpus, Watched
from tests.services.chain.corpus import QUESTIONS, write_pages
from tests.services.chain.local_chain import (
    ANSWER,
    CHAT,
    RETRIEVE,
    ROOT,
    Askers,
    Chain,
    ask,
    chat,
    events,
    instance,
)

_UNVERIFIED = re.compile(
    r"verify\s*=\s*False|ssl\s*=\s*False|verify_ssl|_create_unverified_context|CERT_NONE|check_hostname\s*=\s*False"
    r"|disable_warnings|insecure[-_]skip|curl\s+(?:\S+\s+)*(?:-k|--insecure)\b",
)
_URL = re.compile(r"\b(?:https?|grpc)://([A-Za-z0-9.-]*[A-Za-z0-9])")
_NO_HOST = {"127.0.0.1", "localhost", "host", "example.com", "example.org", "www.w3.org"}
_CLUSTER_HOST = re.compile(r"[a-z0-9-]+\.svc\b|\.cluster\.local")


def _sources(*folders: str) -> list[Path]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *folders]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def _lines(pattern: re.Pattern[str], files: list[Path]) -> dict[str, str]:
    return {
        f"{path.relative_to(ROOT)}:{number}": line.strip()
        for path in files
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), start=1)
        if pattern.search(line)
    }


def test_certificates_are_always_verified() -> None:
    """Nothing in what is shipped or shown turns the verification of TLS off."""
    folders = ("ragline", "components", "pipelines", "serving", "images", "examples", "docs", "benchmarks")
    assert _lines(_UNVERIFIED, _sources(*folders, "README.md", "Makefile")) == {}


def test_no_host_name_is_hard_coded() -> None:
    """The services know this machine alone; every other address comes from an option or a variable."""
    files = [path for path in _sources("ragline/services", "ragline/chain") if path.suffix == ".py"]
    hosts = {
        f"{path.relative_to(ROOT)}: {host}"
        for path in files
        for host in _URL.findall(path.read_text("utf-8"))
        if host not in _NO_HOST
    }
    assert hosts == set()
    assert _lines(_CLUSTER_HOST, files) == {}


@pytest.mark.slow
def test_logs_hold_no_header_no_question_and_no_document(watched: Watched) -> None:
    """Not even with everything logged, and not when a request fails."""
    secret, question = "Bearer topsecret-token", "How many books may Mrs Quillfeather borrow?"
    private = {"Authorization": secret, "x-private": "topsecret-header", "x-request-id": "request-in-logs"}
    for service in ("llm", "generator"):
        url = watched.chain.url(service)
        assert ask(url + ANSWER, instance(question), private).status == 200
        assert ask(url + CHAT, chat(question, stream=True), private).status == 200
        assert ask(url + CHAT, {"messages": question}, private).status == 400
        assert ask(url + ANSWER, instance(question, num_docs=[question]), private).status == 400
    watched.to_embedder.delay = 3.0
    assert ask(watched.chain.url("llm") + ANSWER, instance(question), {**private, "x-request-timeout-ms": "500"})
    time.sleep(3.5)
    logs = watched.chain.logs()
    told = [text for log in logs.values() for text in ("topsecret", "Quillfeather", "twelve books") if text in log]
    assert told == []
    for name, log in logs.items():
        rows = [json.loads(line) for line in log.splitlines()]
        assert any(row.get("request_id") == "request-in-logs" for row in rows), name


@pytest.mark.slow
def test_the_index_is_refreshed_while_it_answers(chain: Chain, corpus: Corpus) -> None:
    """A new document is answered from some seconds after the index was brought up to date; no request fails."""
    question = "Who tunes the piano in the concert hall?"
    text = "# Piano\n\nThe piano in the concert hall is tuned by Ottilie Brandt every spring."
    with Askers(chain.url("llm") + ANSWER, instance(QUESTIONS[0]), 2) as askers:
        before = ask(chain.url("llm") + ANSWER, instance(question)).prediction
        write_pages(corpus.documents, piano=text)
        corpus.index()
        published = time.monotonic()
        while (
            "Ottilie Brandt" not in (answer := ask(chain.url("llm") + ANSWER, instance(question)).prediction)["answer"]
        ):
            assert time.monotonic() < published + 20, answer
            time.sleep(0.2)
    assert "Ottilie Brandt" not in before["answer"]
    assert answer["release"] != before["release"]
    assert [citation["source"] for citation in answer["citations"]][:1] == ["piano.md"]
    assert {reply.status for _, reply in askers.replies} == {200}


@pytest.mark.slow
def test_answers_have_citations_that_stand_in_the_documents(chain: Chain, corpus: Corpus) -> None:
    """Each citation names a document, and its quote is literally there."""
    for question in QUESTIONS:
        answer = ask(chain.url("llm") + ANSWER, instance(question)).prediction
        assert (answer["found"], answer["supported"]) == (True, True)
        assert answer["citations"]
        for citation in answer["citations"]:
            assert citation["quote"] in (corpus.documents / citation["source"]).read_text(encoding="utf-8")


@pytest.mark.slow
def test_words_come_as_they_are_generated(chain: Chain) -> None:
    """The first words of a streamed answer arrive long before the last ones, and citations come at the end."""
    chain.generate(first_ms=50, word_ms=50, words=20)
    arrived: list[float] = []
    lines: list[bytes] = []
    connection = http.client.HTTPConnection(chain.url("generator").removeprefix("http://"), timeout=30)
    body = json.dumps(chat(f"{QUESTIONS[0]} tag-1", stream=True))
    connection.request("POST", CHAT, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    while line := answer.readline():
        if line.startswith(b"data: "):
            arrived.append(time.monotonic())
            lines.append(line[6:].strip())
    connection.close()
    chunks = [json.loads(line) for line in lines[:-1]]
    text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    assert text.startswith("".join(f"tag-1/{number} " for number in range(20)))
    assert arrived[-1] - arrived[1] > 0.5
    assert "citations" in chunks[-1]["ragline"]


@pytest.mark.slow
def test_the_vector_store_is_asked_the_way_the_tutorial_asks(chain: Chain) -> None:
    """`input` and `num_docs` are enough, and as many documents come back."""
    found = ask(chain.url("vectorstore") + RETRIEVE, instance(QUESTIONS[0], num_docs=3)).prediction
    assert found["documents"][0]["source"] == "lending.md"
    assert len(found["documents"]) == 3


@pytest.mark.slow
def test_the_language_model_is_asked_the_way_the_tutorial_asks(chain: Chain) -> None:
    """All fields of the tutorial are taken, and a context of one's own is not looked up."""
    chain.generate(words=4)
    sampling = {"max_tokens": 50, "top_k": 1, "top_p": 0.9, "temperature": 0.1, "num_docs": 2}
    for more in (sampling, {**sampling, "context": "Books are lent for four weeks."}):
        answer = ask(chain.url("generator") + ANSWER, instance(f"{QUESTIONS[0]} tag-5", **more)).prediction
        assert answer["answer"].startswith("tag-5/0 tag-5/1 tag-5/2 tag-5/3")


@pytest.mark.slow
def test_streamed_quotes_are_the_whole_answer(chain: Chain) -> None:
    """Streamed and whole, the plan without a model gives the same text and the same citations."""
    whole = ask(chain.url("llm") + CHAT, chat(QUESTIONS[0])).json
    chunks = events(ask(chain.url("llm") + CHAT, chat(QUESTIONS[0], stream=True)))
    text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    assert text == whole["choices"][0]["message"]["content"]
    assert chunks[-1]["ragline"]["citations"] == whole["ragline"]["citations"]
