"""What is known of a chain, in a file: for `ragline status`, for `ragline ask`, and for whoever has to clean up.

    <cache>/chain/<key>.json    the state; only its owner may read it
    <cache>/chain/<key>.lock    locked by the supervisor as long as it runs; holds its process number
    <cache>/chain/<key>/        logs, and the model repository of the embedder

The key is made from the store and the name of the index.
"""

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from ragline import digests
from ragline.chain.processes import identity

FORMAT = 1
_KEY = 16
_WAITS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)  # seconds: who only looks holds the lock for a moment

Phase = Literal["starting", "ready", "failed", "stopping"]
"""Of a chain: `ready` once it has answered a question; a service may be restarting later all the same."""

Condition = Literal["waiting", "starting", "ready", "not ready", "restarting", "stopped"]
"""Of a service."""


@dataclass(frozen=True, slots=True)
class ServiceState:
    """One service.

    Attributes:
        name: of the service.
        url: where it listens.
        log: file of what it writes.
        state: what it is doing.
        detail: more of that, or what is wrong.
        pid: of its process; 0 for none.
        identity: that tells this process from others.
        restarts: how often it was started again.
        since: when it came into this state (ISO 8601, UTC).
        seconds: how long it took to become ready, the last time.
    """

    name: str
    url: str
    log: str
    state: Condition = "waiting"
    detail: str = ""
    pid: int = 0
    identity: str = ""
    restarts: int = 0
    since: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ChainState:
    """A chain.

    Attributes:
        store: URI of the object store.
        name: of the index.
        plan: how answers are made.
        options: that it was started with.
        services: in the order in which they start.
        phase: of the whole.
        problem: why it failed; "" if it did not.
        kind: class of that error.
        release: that answered when the chain became ready, or that the embedder was prepared for since.
        pid: of the supervisor.
        identity: that tells this process from others.
        since: when it was started (ISO 8601, UTC).
        answered: seconds that the first question took.
    """

    store: str
    name: str
    plan: str
    options: dict[str, Any]
    services: tuple[ServiceState, ...] = ()
    phase: Phase = "starting"
    problem: str = ""
    kind: str = ""
    release: str = ""
    pid: int = 0
    identity: str = ""
    since: str = ""
    answered: float = 0.0
    format: int = field(default=FORMAT)

    @property
    def url(self) -> str:
        """Where questions come in."""
        return next((service.url for service in self.services if service.name == "llm"), "")

    @property
    def ready(self) -> bool:
        """Whether every service takes requests now."""
        return self.phase == "ready" and all(service.state == "ready" for service in self.services)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read what `to_json` gave."""
        return cls(**{**value, "services": tuple(ServiceState(**each) for each in value["services"])})


@dataclass(frozen=True, slots=True)
class Place:
    """Where the files of a chain are.

    Attributes:
        folder: for logs and the model repository.
    """

    folder: Path

    @classmethod
    def of(cls, cache: Path, store: str, name: str) -> Self:
        """Return the place of the chain of an index.

        Args:
            cache: folder for what can be made again.
            store: URI of the object store, absolute.
            name: of the index.
        """
        return cls(cache.absolute() / "chain" / digests.of_text(f"{store}\n{name}")[:_KEY])

    @property
    def repository(self) -> Path:
        """The Triton model repository."""
        return self.folder / "repository"

    @property
    def log(self) -> Path:
        """What the supervisor writes."""
        return self.log_of("supervisor")

    @property
    def _state(self) -> Path:
        return self.folder.with_name(self.folder.name + ".json")

    @property
    def _lock(self) -> Path:
        return self.folder.with_name(self.folder.name + ".lock")

    def log_of(self, service: str) -> Path:
        """Return the log of a service."""
        return self.folder / f"{service}.log"

    def make(self) -> None:
        """Make the folder, which only its owner may read."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def read(self) -> ChainState | None:
        """Return the state, if there is one that this ragline can read."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            value = json.loads(self._state.read_bytes())
            return ChainState.from_json(value) if value["format"] == FORMAT else None
        return None

    def write(self, state: ChainState) -> None:
        """Replace the state."""
        temporary = self._state.with_name(f".{self._state.name}.{secrets.token_hex(4)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(state.to_json(), file, indent=1)
        temporary.replace(self._state)

    def forget(self) -> None:
        """Remove the state."""
        self._state.unlink(missing_ok=True)

    @contextmanager
    def owned(self) -> Iterator[bool]:
        """Give whether the chain is ours while the block runs: false if another supervisor has it."""
        self.make()
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            owned = any(_locks(descriptor, fcntl.LOCK_EX, wait) for wait in _WAITS)
            if owned:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield owned
        finally:
            os.close(descriptor)

    def supervisor(self) -> int:
        """Return the process number of the supervisor that runs; 0 for none."""
        try:
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return 0
        try:
            if _locks(descriptor, fcntl.LOCK_SH):
                return 0
            pid = os.pread(descriptor, 32, 0).decode()
            return int(pid) if pid.isdigit() and identity(int(pid)) else 0
        finally:
            os.close(descriptor)

    def running(self) -> ChainState | None:
        """Return the state of a chain whose supervisor runs."""
        pid = self.supervisor()
        state = self.read() if pid else None
        return state if state and state.pid == pid else None


def _locks(descriptor: int, kind: int, wait: float = 0.0) -> bool:
    time.sleep(wait)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
