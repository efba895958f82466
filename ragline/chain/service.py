"""A service of the chain: a process that says by HTTP whether it takes requests."""

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import urllib3

from ragline.chain.processes import Child, tail
from ragline.errors import RaglineError

STOP_SECONDS = 12.0
"""How long a service may take to finish its requests."""

_LOOK_SECONDS = 2.0
_LONGEST_DETAIL = 300

UNREACHABLE = "does not answer"


class Service(Protocol):
    """What the supervisor keeps running.

    Attributes:
        name: of the service.
        url: where it listens.
        log: file of what it writes.
    """

    name: str

    @property
    def url(self) -> str: ...  # noqa: D102

    @property
    def log(self) -> Path: ...  # noqa: D102

    def start(self) -> int:
        """Start the process, and return its number; takes as long as what must be there before."""

    def ended(self) -> str:
        """Return how the process ended, with the end of its log; "" while it runs."""

    def fault(self) -> bool:
        """Tell whether it ended by itself, rather than by a signal."""

    def problem(self) -> str:
        """Return why it takes no requests; "" if it does."""

    def stop(self) -> None:
        """End the process, if there is one."""


@dataclass
class PythonService:
    """A module of ragline that serves HTTP.

    Attributes:
        name: of the service.
        url: where it listens.
        log: file of what it writes.
        module: to run.
        arguments: of it.
        ready: path that answers 200 when it takes requests.
    """

    name: str
    url: str
    log: Path
    module: str
    arguments: Sequence[str]
    ready: str
    child: Child | None = None

    def start(self) -> int:
        """Start the process, and return its number."""
        self.child = Child([sys.executable, "-m", self.module, *self.arguments], self.log)
        return self.child.pid

    def ended(self) -> str:
        """Return how the process ended; "" while it runs."""
        status = self.child.status() if self.child else 0
        return "" if status is None else how_it_ended(self.name, status, self.log)

    def fault(self) -> bool:
        """Tell whether it ended by itself."""
        return self.child is not None and (self.child.status() or 0) >= 0

    def problem(self) -> str:
        """Return why it takes no requests; "" if it does."""
        return look(self.url + self.ready)

    def stop(self) -> None:
        """End the process."""
        if self.child:
            self.child.stop(STOP_SECONDS)


def how_it_ended(name: str, status: int, log: Path) -> str:
    """Return a sentence on the end of a process, with the end of its log."""
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    return f"{name} {how}; the end of {log}:\n  {tail(log)}"


def look(url: str) -> str:
    """Return why a service answers something else than 200; "" if it does not."""
    try:
        answer = _http.request("GET", url, timeout=_LOOK_SECONDS)
    except urllib3.exceptions.HTTPError:
        return UNREACHABLE
    return "" if answer.status == 200 else _message(answer.data) or f"gives status {answer.status}"


def ask(url: str, body: object, seconds: float) -> object:
    """Return the answer to a JSON request.

    Raises:
        RaglineError: there is none; the message says why.
    """
    try:
        answer = _http.request("POST", url, json=body, timeout=seconds)
    except urllib3.exceptions.HTTPError as exc:
        raise RaglineError(f"{url} {UNREACHABLE} ({type(exc).__name__})") from exc
    if answer.status != 200:
        raise RaglineError(f"{url} gives {answer.status}: {_message(answer.data)}")
    try:
        value: object = json.loads(answer.data)
    except ValueError as exc:
        raise RaglineError(f"{url} gives something else than JSON") from exc
    return value


def _message(body: bytes) -> str:
    """Return the message of an error's body."""
    text = body.decode(errors="replace")
    with suppress(ValueError, KeyError, TypeError):
        error = json.loads(body)["error"]
        text = error["message"] if isinstance(error, dict) else str(error)
    return " ".join(text.split())[:_LONGEST_DETAIL]


_http = urllib3.PoolManager(maxsize=4, retries=False, headers={"Connection": "close"})
