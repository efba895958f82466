"""Logs: one JSON object a line on stderr, without what people asked and what documents say.

Fields of a line: time, level, logger, message; request_id and trace_id while a request is answered; what the call of
the logger gives as `extra={"about": {...}}`; and `text`, given as `extra={"text": ...}`, only where texts are wanted.
The message of an exception may quote anything, so that only those that ragline words itself are shown.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

from ragline.errors import RaglineError
from ragline.services.edge.received import current

_SILENT = ("uvicorn.access", "kserve.trace")
_QUIET = ("asyncio", "httpx", "kserve", "urllib3", "uvicorn", "uvicorn.error")
_FRAMES = 12
_CAUSES = 5


class JsonFormatter(logging.Formatter):
    """Makes the lines.

    Args:
        texts: whether questions and documents may stand in them.
    """

    def __init__(self, *, texts: bool = False) -> None:
        super().__init__()
        self._texts = texts

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._message(record),
        }
        request = current.get()
        if request is not None:
            line["request_id"] = request.caller.request_id
            if request.caller.trace_id:
                line["trace_id"] = request.caller.trace_id
        line |= getattr(record, "about", {})
        if self._texts and hasattr(record, "text"):
            line["text"] = record.text
        if record.exc_info and record.exc_info[1] is not None:
            line["exceptions"] = self._exceptions(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, default=str)

    def _message(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.name == "asyncio" and not self._texts:
            return message.partition("\n")[0]  # the lines below show the exception of a task, and with it its message
        return message

    def _exceptions(self, failure: BaseException) -> list[dict[str, Any]]:
        """Return an exception and what caused it."""
        found: list[dict[str, Any]] = []
        cause: BaseException | None = failure
        while cause is not None and len(found) < _CAUSES:
            frames = traceback.extract_tb(cause.__traceback__)[-_FRAMES:]
            where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
            entry: dict[str, Any] = {"type": type(cause).__name__, "where": where}
            if self._texts or isinstance(cause, RaglineError):
                entry["message"] = str(cause)
            found.append(entry)
            cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
        return found


def configure_logging(level: str = "INFO", *, texts: bool = False) -> None:
    """Have everything logged as JSON lines on stderr, from `level` on; other packages only from their warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(texts=texts))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    for name in _QUIET:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)  # each attempt of an export warns
    for name in _SILENT:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = False  # no handler at all: then uvicorn does not even make the lines
        logger.setLevel(logging.CRITICAL)
