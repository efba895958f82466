"""A language model writes questions, over real HTTP."""

import logging
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from ragline.errors import CredentialsError, PipelineError, SettingError
from ragline.finetune.examples.questions import PROMPT, QuestionWriter
from ragline.settings import LlmSettings
from tests.finetune.examples.chat_server import ChatServer, chat_server

KEY = "sk-very-secret-5417"


@pytest.fixture
def chat() -> Iterator[ChatServer]:
    """Return a server that answers."""
    with chat_server() as server:
        yield server


def _writer(chat: ChatServer, key: str = "", patience: float = 5.0) -> QuestionWriter:
    return QuestionWriter(chat.url, "small", patience=patience, settings=LlmSettings(key))


def test_questions_come_back_in_the_order_of_the_passages(chat: ChatServer) -> None:
    """Each passage is sent with the prompt; lists, thoughts and quotes around the questions are taken off."""
    chat.write = lambda passage: (
        f'<think>hm\n1. no</think>\n1. How is {passage} done?\n- "Why is {passage} done?"\nok\n3. x {passage} y?'
    )
    passages = [f"thing {number}" for number in range(20)]
    writer = _writer(chat)
    assert writer.questions(passages) == [[f"How is {p} done?", f"Why is {p} done?"] for p in passages]
    prompt = PROMPT.format(count=2)
    assert {request["messages"][0]["content"] for request in chat.requests} == {prompt}
    assert {request["model"] for request in chat.requests} == {"small"}
    assert writer.record() == {"url": chat.url, "model": "small", "prompt": prompt}


def test_a_busy_server_is_asked_again(chat: ChatServer) -> None:
    """429 and 503 are waited out, as long as the server says."""
    chat.faults = [(429, b"slow down", {"Retry-After": "1"}), (503, b"loading", {})]
    begun = time.monotonic()
    assert _writer(chat).questions(["a b c"]) == [["What is told about a b c?"]]
    assert time.monotonic() - begun >= 1.5


def test_a_server_that_stays_busy_is_given_up(chat: ChatServer) -> None:
    """The error says for how long it was tried."""
    chat.faults.extend(9 * [(503, b"loading", {})])
    with pytest.raises(PipelineError, match=r"status 503: 'loading'; it did not get better in 1 s"):
        _writer(chat, patience=1).questions(["a b c"])


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ((500, b"oops", {}), PipelineError, "status 500: 'oops'"),
        ((404, b"no such model", {}), SettingError, "no such model'; check the URL"),
        ((302, b"", {"Location": "http://127.0.0.1:9/v1"}), SettingError, "status 302"),
        ((200, b"<html>", {}), PipelineError, "not a chat completion: b'<html>'"),
        ((200, b'{"choices": []}', {}), PipelineError, "not a chat completion"),
    ],
)
def test_other_answers_are_not_repeated(
    chat: ChatServer, fault: tuple[int, bytes, dict[str, str]], error: type[Exception], message: str
) -> None:
    """What will not get better fails at once; a redirect is not followed, for it would take the key with it."""
    chat.faults = [fault]
    with pytest.raises(error, match=message):
        _writer(chat).questions(["a b c"])
    assert chat.requests == []


def test_the_key_is_sent_and_never_shown(chat: ChatServer, caplog: pytest.LogCaptureFixture) -> None:
    """With the right key it works; with a wrong one the error does not repeat it, though the server does."""
    caplog.set_level(logging.DEBUG)
    chat.key = KEY
    assert _writer(chat, KEY).questions(["a b c"]) == [["What is told about a b c?"]]
    chat.key = "another"
    with pytest.raises(CredentialsError, match=r"status 401.*RAGLINE_LLM_API_KEY") as caught:
        _writer(chat, KEY).questions(["a b c"])
    assert KEY not in caplog.text + str(caught.value) + repr(_writer(chat, KEY))


def test_the_key_comes_from_the_environment(chat: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """RAGLINE_LLM_API_KEY holds it, and nothing else."""
    chat.key = KEY
    monkeypatch.setenv("RAGLINE_LLM_API_KEY", f"{KEY}\n")
    assert QuestionWriter(chat.url, "small").questions(["a b c"]) == [["What is told about a b c?"]]
    monkeypatch.setenv("RAGLINE_LLM_API_KEY", "two words")
    with pytest.raises(CredentialsError, match="RAGLINE_LLM_API_KEY holds white space"):
        QuestionWriter(chat.url, "small")


def test_certificates_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose authority is unknown gets nothing, not even the key; SSL_CERT_FILE makes the authority known."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with chat_server(context) as chat:
        with pytest.raises(PipelineError, match=r"cannot be reached .*certificate"):
            _writer(chat, KEY).questions(["a b c"])
        assert chat.requests == []
        authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        assert _writer(chat, KEY).questions(["a b c"]) == [["What is told about a b c?"]]


def test_nobody_there() -> None:
    """A server that cannot be reached fails within seconds, with its address."""
    with pytest.raises(PipelineError, match=r"http://127\.0\.0\.1:9/v1/chat/completions cannot be reached"):
        QuestionWriter("http://127.0.0.1:9/v1", "small").questions(["a b c"])


@pytest.mark.parametrize("url", ["", "host/v1", "ftp://host/v1", "https://", "https://host/v1?x=1"])
def test_a_url_that_is_none(url: str) -> None:
    """It is refused before anything is asked."""
    with pytest.raises(SettingError, match="expected a URL such as"):
        QuestionWriter(url, "small")


def test_other_wrong_parameters() -> None:
    """Credentials in the URL, no model, no passages."""
    with pytest.raises(SettingError, match="holds credentials"):
        QuestionWriter("https://user:secret@host/v1", "small")
    with pytest.raises(SettingError, match="its name is empty"):
        QuestionWriter("https://host/v1", " ")
    with pytest.raises(SettingError, match="choose 1 to 10 about at least 1"):
        QuestionWriter("https://host/v1", "small", passages=0)
