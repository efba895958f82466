"""Keeps one service running: starts it, watches it, and starts it again when it dies."""

import logging
import threading
import time
from dataclasses import dataclass, field

from ragline.chain.board import Board
from ragline.chain.processes import cut_log, identity
from ragline.chain.service import UNREACHABLE, Service
from ragline.errors import RaglineError

_log = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds before a service that died is started again; each time in a row twice as many."""

STEADY_SECONDS = 60.0
"""After so long in good order, a death is the first in a row."""

HUNG_SECONDS = 60.0
"""A service that was ready and answers nothing for so long is started anew."""

_STARTS = 3
_FAST, _SLOW = 0.1, 1.0


@dataclass(eq=False)
class Keeper(threading.Thread):
    """The thread of one service.

    Attributes:
        service: what it keeps.
        board: where it says how that is.
        stopping: ends the thread; the service is stopped by `close`.
        is_up: set when the service became ready for the first time.
    """

    service: Service
    board: Board
    stopping: threading.Event
    is_up: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__(name=f"keep-{self.service.name}", daemon=True)

    def run(self) -> None:
        """Keep the service until `stopping` is set."""
        try:
            self._keep()
        except RaglineError as exc:
            self.board.fail(exc)
        except Exception as exc:  # noqa: BLE001  the edge of a thread
            _log.exception("%s cannot be kept running", self.service.name)
            self.board.fail(RaglineError(f"{type(exc).__name__}: {exc}; this is a fault of ragline, please report it"))

    def close(self) -> None:
        """Stop the service, after `stopping` was set."""
        self.join()
        self.service.stop()
        self.board.tell(self.service.name, state="stopped", detail="", pid=0, identity="")

    def _keep(self) -> None:
        deaths = 0
        while not self.stopping.is_set():
            steady, reason = self._life()
            if self.stopping.is_set():
                return
            deaths = 1 if steady else deaths + 1
            if not self.is_up.is_set() and (self.service.fault() or deaths >= _STARTS):
                raise RaglineError(reason)
            _log.warning("%s", reason)
            self.board.count_restart(self.service.name, reason)
            self.service.stop()
            self.stopping.wait(min(FIRST_WAIT * 2.0 ** (deaths - 1), LONGEST_WAIT))

    def _life(self) -> tuple[bool, str]:
        """Do what `_live` does; what makes a first start hopeless may pass later."""
        try:
            return self._live()
        except RaglineError as exc:
            if not self.is_up.is_set():
                raise
            return False, str(exc)

    def _live(self) -> tuple[bool, str]:
        """Start the service and watch it; return whether it was in good order for long, and why it ended."""
        name, begun = self.service.name, time.monotonic()
        pid = self.service.start()
        self.board.tell(name, state="starting", detail="", pid=pid, identity=identity(pid))
        ready_since = silent_since = 0.0
        while not self.stopping.wait(_SLOW if ready_since else _FAST):
            if reason := self.service.ended():
                return bool(ready_since) and time.monotonic() - ready_since > STEADY_SECONDS, reason
            problem = self._problem()
            if not problem and not ready_since:
                ready_since = time.monotonic()
                self.board.tell(name, seconds=round(ready_since - begun, 3))
            silent_since = (silent_since or time.monotonic()) if problem == UNREACHABLE and ready_since else 0.0
            if silent_since and time.monotonic() - silent_since > HUNG_SECONDS:
                return False, f"{name} has not answered for {HUNG_SECONDS:g} s"
            self._tell(problem, was_ready=bool(ready_since))
            cut_log(self.service.log)
        return True, ""

    def _problem(self) -> str:
        """Return why the service takes no requests; before it did for the first time, it may be hopeless.

        Raises:
            RaglineError: it never will.
        """
        try:
            return self.service.problem()
        except RaglineError as exc:
            if not self.is_up.is_set():
                raise
            return str(exc)

    def _tell(self, problem: str, *, was_ready: bool) -> None:
        if not problem:
            self.board.tell(self.service.name, state="ready", detail="")
            self.is_up.set()
        elif was_ready:
            self.board.tell(self.service.name, state="not ready", detail=problem)
        else:
            self.board.tell(self.service.name, detail="" if problem == UNREACHABLE else problem)
