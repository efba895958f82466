"""What the threads of a supervisor tell each other and the world: each change is written to the chain's file."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ragline.chain.state import ChainState, Place
from ragline.errors import RaglineError
from ragline.release import now

Listener = Callable[[ChainState], None]


class Board:
    """The state of a chain, safe to share between threads.

    Attributes:
        failed: set when the chain cannot be brought up.
    """

    def __init__(self, state: ChainState, place: Place, listener: Listener) -> None:
        self._state, self._place, self._listener = state, place, listener
        self._lock = threading.Lock()
        self.failed = threading.Event()
        self._publish()

    @property
    def state(self) -> ChainState:
        """What holds now."""
        with self._lock:
            return self._state

    def set(self, **changes: Any) -> None:
        """Change what is known of the whole."""
        with self._lock:
            self._replace(replace(self._state, **changes))

    def tell(self, service: str, **changes: Any) -> None:
        """Change what is known of a service."""
        with self._lock:
            services = tuple(_changed(each, changes) if each.name == service else each for each in self._state.services)
            self._replace(replace(self._state, services=services))

    def count_restart(self, service: str, reason: str) -> None:
        """Note that a service is being started again."""
        restarts = next(each.restarts for each in self.state.services if each.name == service) + 1
        self.tell(service, state="restarting", detail=reason, restarts=restarts, pid=0, identity="")

    def fail(self, error: RaglineError) -> None:
        """Note why the chain cannot be brought up; the first reason counts."""
        with self._lock:
            if not self.failed.is_set():
                self._replace(replace(self._state, phase="failed", problem=str(error), kind=type(error).__name__))
        self.failed.set()

    def _replace(self, state: ChainState) -> None:
        if state != self._state:
            self._state = state
            self._publish()

    def _publish(self) -> None:
        self._place.write(self._state)
        self._listener(self._state)


def _changed(service: Any, changes: dict[str, Any]) -> Any:
    since = {"since": now()} if changes.get("state", service.state) != service.state else {}
    return replace(service, **changes, **since)
