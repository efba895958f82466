"""Logs: lines of JSON without texts."""

import json
import logging
from typing import Any

import pytest

from ragline.errors import StoreError
from ragline.services.edge.caller import Caller
from ragline.services.edge.json_log import JsonFormatter
from ragline.services.edge.received import Received, current

SECRET = "text of a document"


def line_of(record: logging.LogRecord, *, texts: bool = False) -> dict[str, Any]:
    """Return a record as it is logged, without the time."""
    line = json.loads(JsonFormatter(texts=texts).format(record))
    assert line.pop("time").endswith("+00:00")
    return dict(line)


def record_of(message: str, *, failure: BaseException | None = None, **more: Any) -> logging.LogRecord:
    """Return a record."""
    info = (type(failure), failure, failure.__traceback__) if failure else None
    record = logging.LogRecord("some.module", logging.WARNING, "file.py", 1, message, (), info)
    vars(record).update(more)
    return record


def test_line() -> None:
    """A line says when, how bad, where and what, and for which request."""
    token = current.set(Received(Caller("a1", traceparent=f"00-{'a' * 32}-{'b' * 16}-01")))
    try:
        line = line_of(record_of("two\nlines", about={"status": 200}))
    finally:
        current.reset(token)
    assert line == {
        "level": "warning",
        "logger": "some.module",
        "message": "two\nlines",
        "request_id": "a1",
        "trace_id": "a" * 32,
        "status": 200,
    }


def test_texts_only_when_asked_for() -> None:
    """What is marked as a text stays out, unless the operator wants it."""
    record = record_of("answered", text=SECRET)
    assert "text" not in line_of(record)
    assert line_of(record, texts=True)["text"] == SECRET


def test_exceptions_are_named_and_not_quoted() -> None:
    """Of an exception its type and place are shown; the message only where ragline has worded it."""
    failure = StoreError("the store is full")
    try:
        raise failure from KeyError(SECRET)
    except StoreError:
        line = line_of(record_of("failed", failure=failure))
    assert [(each["type"], each.get("message")) for each in line["exceptions"]] == [
        ("StoreError", "the store is full"),
        ("KeyError", None),
    ]
    assert line["exceptions"][0]["where"][0].endswith("test_exceptions_are_named_and_not_quoted")
    assert SECRET in str(line_of(record_of("failed", failure=failure), texts=True))


def test_failed_tasks_are_not_quoted() -> None:
    """Asyncio's own reports show a task with its exception: only their first line is kept."""
    record = record_of(f"Task exception was never retrieved\nfuture: <Task exception=KeyError('{SECRET}')>")
    record.name = "asyncio"
    assert line_of(record)["message"] == "Task exception was never retrieved"


@pytest.mark.parametrize("value", [b"\xff", float("nan"), object()])
def test_any_value_can_be_logged(value: object) -> None:
    """A line is made of whatever is given."""
    assert "value" in line_of(record_of("odd", about={"value": value}))
