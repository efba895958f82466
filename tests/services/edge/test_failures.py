"""What a failure becomes on the wire."""

import json

import pytest

from ragline.errors import CredentialsError, InputError, ModelError, QuestionError, ReleaseError, ServiceError
from ragline.services.edge.failures import Reply, reply_to, status_of


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (ServiceError("busy", 429), 429),
        (QuestionError("empty"), 400),
        (InputError("wrong"), 400),
        (ModelError("no model"), 503),
        (CredentialsError("no key"), 503),
        (ReleaseError("damaged"), 503),
        (TimeoutError(), 504),
        (ValueError("x"), 500),
    ],
)
def test_statuses(failure: Exception, status: int) -> None:
    """The caller's mistakes are 400, the operator's 503, what nobody foresaw is 500."""
    assert status_of(failure) == status


def test_reply() -> None:
    """KServe's paths get KServe's form, with a whole number of seconds to wait."""
    reply = reply_to(ServiceError("the queue\n is full", 429, retry_after=1.2), "/v1/models/llm:predict", "a1")
    headers = {"content-type": "application/json", "retry-after": "2"}
    assert reply == Reply(429, b'{"error": "the queue is full", "request_id": "a1"}', headers)


def test_reply_to_an_openai_client() -> None:
    """OpenAI's paths get OpenAI's form."""
    reply = reply_to(InputError("n is 2"), "/openai/v1/chat/completions", "a1")
    error = {"message": "n is 2", "type": "invalid_request_error", "code": "invalid_value", "param": None}
    assert json.loads(reply.body) == {"error": error, "request_id": "a1"}


def test_what_nobody_foresaw_is_not_shown() -> None:
    """The message of an unforeseen exception may quote anything: the caller gets an id instead."""
    reply = reply_to(KeyError("text of a document"), "/", "a1")
    assert reply.body == b'{"error": "internal error; request id a1", "request_id": "a1"}'
