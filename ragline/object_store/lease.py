"""Conditional writes to a store that has none: whoever writes holds a lease, which expires.

    <key>.lease    {"owner": a random token, "seconds": how long it counts}

To get the lease, a writer looks that there is none, writes its own, waits until everyone who saw none has written
theirs, and looks again: the last one who wrote holds it, and all others see that. One that a dead writer left is
taken over when it is older than its `seconds`: by the server's clock, or after it was watched for as long. Clocks of
two machines are never compared.
"""

import json
import logging
import secrets
import time
from contextlib import suppress
from typing import Any, Protocol

from ragline.errors import ConflictError, ObjectNotFoundError, StoreError, StoreUnavailableError
from ragline.object_store.objects import ObjectStore, conflict, find, written_before

_log = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
"""How long a lease counts after its owner died."""
SHORT_SECONDS = 5.0
"""How long to repeat the write itself: it must be over, one way or the other, while the lease counts."""

_SETTLE_SECONDS = 2.0
_MOST_LEASES = 3
_CLOCK_TICK = 1.0  # the times in HTTP headers are whole seconds


class AgingStore(ObjectStore, Protocol):
    """A store that knows how old an object is."""

    def read_aged(self, key: str) -> tuple[bytes, float]:
        """Return the object's bytes, and how many seconds ago they were written; 0 if that is not known."""


def write_under_lease(store: AgingStore, key: str, data: bytes, tag: str | None, *, in_haste: ObjectStore) -> str:
    """Do what `ObjectStore.write_if` does, with plain reads and writes.

    Args:
        store: without conditional writes, but with reads that see all earlier writes.
        key: the object.
        data: what it is to be.
        tag: of what must be there, None if there must be nothing.
        in_haste: the same store, for the write itself: it gives up after `SHORT_SECONDS`.

    Raises:
        ConflictError: something else is there, or came between.
        StoreUnavailableError: others held the lease all the time.
    """
    lease = Lease(store, key)
    end = time.monotonic() + _MOST_LEASES * LEASE_SECONDS
    while (before := written_before(store, key, data, tag)) is None and not lease.acquire():
        if time.monotonic() > end:
            raise StoreUnavailableError(
                f"no lease on {key!r} in {store.uri} after {_MOST_LEASES * LEASE_SECONDS:.0f} seconds: others hold it "
                "all the time, or the store is very slow: try again later"
            )
    if before is not None:
        return before
    try:
        return _write(store, key, data, tag, in_haste, lease)
    finally:
        lease.release()


def _write(store: ObjectStore, key: str, data: bytes, tag: str | None, in_haste: ObjectStore, lease: "Lease") -> str:
    if (before := written_before(store, key, data, tag)) is not None:
        return before
    lease.confirm()
    in_haste.write(key, data)
    there, current = find(store, key)
    if current is None or there != data:
        raise conflict(store, key)
    return current


class Lease:
    """The right to change one object, for one writer at a time.

    Example:
        >>> lease = Lease(store, "current.json")  # doctest: +SKIP
        >>> if lease.acquire():  # doctest: +SKIP
        ...     lease.confirm()
        ...     store.write("current.json", b"...")
        ...     lease.release()
    """

    def __init__(self, store: AgingStore, key: str) -> None:
        self._store = store
        self._key = f"{key}.lease"
        self._token = ""
        self._begun = 0.0
        self._watched = (b"", 0.0)

    def acquire(self) -> bool:
        """Try once to get the lease; this takes seconds, whatever the result."""
        self._begun = time.monotonic()
        if self._is_held():
            time.sleep(_SETTLE_SECONDS)
            return False
        self._token = secrets.token_hex(8)
        self._store.write(self._key, json.dumps({"owner": self._token, "seconds": LEASE_SECONDS}).encode())
        if time.monotonic() - self._begun > _SETTLE_SECONDS:
            # So slow a write may have come over a lease that another writer believes in: let it expire.
            _log.warning("%s took too long to write a lease; waiting until it has expired", self._store.uri)
            return False
        time.sleep(_SETTLE_SECONDS)
        return self._is_ours()

    def confirm(self) -> None:
        """Make sure, just before the write, that the lease is ours and counts long enough.

        Raises:
            ConflictError: it is not.
        """
        if not self._is_ours() or time.monotonic() - self._begun > LEASE_SECONDS / 3:
            raise ConflictError(f"{self._key!r} in {self._store.uri} was lost to another writer: try again")

    def release(self) -> None:
        """Let the next writer in; a lease that cannot be removed expires."""
        with suppress(StoreError):
            if self._is_ours() and time.monotonic() - self._begun < LEASE_SECONDS:
                self._store.delete(self._key)
                return
        _log.warning("%r in %s was not removed; it expires", self._key, self._store.uri)

    def _is_held(self) -> bool:
        """Tell whether someone holds the lease, or may be about to."""
        try:
            data, age = self._store.read_aged(self._key)
        except ObjectNotFoundError:
            return False
        now = time.monotonic()
        if data != self._watched[0]:
            self._watched = (data, now)
        return max(age - _CLOCK_TICK, now - self._watched[1]) <= _seconds(data)

    def _is_ours(self) -> bool:
        data, _ = find(self._store, self._key)
        return bool(data) and _facts(data).get("owner") == self._token


def _seconds(data: bytes) -> float:
    seconds = _facts(data).get("seconds")
    return seconds if isinstance(seconds, int | float) else LEASE_SECONDS


def _facts(data: bytes) -> dict[str, Any]:
    """Return what a lease says; what is no lease says nothing, and expires like one."""
    try:
        facts = json.loads(data)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}
