"""Progress as log lines."""

import logging
from typing import Any

import pytest

from ragline.progress import LINE, progress, timed


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return what the command line reads from the lines, without the rates."""
    matches = [LINE.search(record.getMessage()) for record in caplog.records]
    return [{key: match[key] for key in ("step", "done", "total", "unit")} for match in matches if match]


def test_the_last_line_says_what_was_done(caplog: pytest.LogCaptureFixture) -> None:
    """A quick step logs once, when it ends."""
    caplog.set_level(logging.INFO, "ragline")
    with progress("embed", total=8000, unit="texts") as step:
        step.advance(1000)
        step.advance()
    assert lines(caplog) == [{"step": "embed", "done": "1001", "total": "8000", "unit": "texts"}]


def test_an_unknown_total_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """A step that streams does not know how much is to come."""
    caplog.set_level(logging.INFO, "ragline")
    with progress("snapshot", unit="files") as step:
        step.advance(3)
    assert lines(caplog) == [{"step": "snapshot", "done": "3", "total": None, "unit": "files"}]


def test_a_slow_step_logs_as_it_goes(caplog: pytest.LogCaptureFixture) -> None:
    """Once per interval at most; with an interval of zero, each time."""
    caplog.set_level(logging.INFO, "ragline")
    with progress("check", total=2) as step:
        step.interval = 0
        step.advance()
        step.interval = 3600
        step.advance()
    assert [line["done"] for line in lines(caplog)] == ["1", "2"]


def test_a_failed_step_does_not_claim_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """The error is the last word."""
    caplog.set_level(logging.INFO, "ragline")
    with pytest.raises(KeyError), progress("check"):
        raise KeyError
    assert lines(caplog) == []


def test_timed_notes_the_seconds_of_a_block() -> None:
    """The seconds stand beside what is already known."""
    metadata: dict[str, Any] = {"chunks": 3}
    with timed(metadata):
        pass
    assert 0 <= metadata.pop("seconds") < 60
    assert metadata == {"chunks": 3}
