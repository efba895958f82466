"""Which releases running services hold open: each service renews a mark that says until when.

indexes/<name>/serving/<service>.json    {"release": ..., "until": ISO 8601, UTC}
"""

import json
import logging
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from ragline.errors import ObjectNotFoundError, StoreError
from ragline.object_store import ObjectStore
from ragline.release import check_name, now

_log = logging.getLogger(__name__)

MARK_SECONDS = 300.0
"""How long a mark counts after its service died."""


def mark_served(store: ObjectStore, name: str, service: str, release: str) -> None:
    """Say that a service serves a release of an index, for the next `MARK_SECONDS`."""
    until = datetime.now(UTC) + timedelta(seconds=MARK_SECONDS)
    mark = {"release": release, "until": until.isoformat(timespec="milliseconds")}
    store.write(_key(name, service), json.dumps(mark).encode())


def withdraw_mark(store: ObjectStore, name: str, service: str) -> None:
    """Say that a service serves nothing of an index any more."""
    store.delete(_key(name, service))


def served_releases(store: ObjectStore, name: str) -> set[str]:
    """Return the releases of an index that a service has marked, and whose mark has not expired."""
    return set(_marks(store, name))


def _key(name: str, service: str) -> str:
    return f"indexes/{check_name(name)}/serving/{check_name(service)}.json"


def _marks(store: ObjectStore, name: str) -> Iterator[str]:
    for info in store.list(f"indexes/{name}/serving/"):
        try:
            mark = json.loads(store.read(info.key))
            if str(mark["until"]) > now():
                yield str(mark["release"])
        except (ObjectNotFoundError, ValueError, KeyError, TypeError):
            continue  # withdrawn meanwhile, or no mark


class ServingMark:
    """The mark of one service; it serves on where it may not write one.

    Example:
        >>> mark = ServingMark(store, "default")  # doctest: +SKIP
        >>> mark.renew("3f7a0c9d2b1e4f58")  # doctest: +SKIP
    """

    def __init__(self, store: ObjectStore, name: str) -> None:
        self._store = store
        self._name = name
        host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:60].strip("-")
        self._service = f"{host or 'service'}-{os.getpid()}-{secrets.token_hex(4)}"
        self._marked = ""
        self._due = 0.0
        self._warned = False

    def renew(self, release: str) -> None:
        """Write the mark, if it names another release or a third of its time has passed."""
        if release == self._marked and time.monotonic() < self._due:
            return
        self._due = time.monotonic() + MARK_SECONDS / 3
        self._marked = release
        try:
            mark_served(self._store, self._name, self._service, release)
        except StoreError as exc:
            if not self._warned:
                _log.warning("`ragline gc` will not know that release %s is served: %s", release, exc)
            self._warned = True

    def withdraw(self) -> None:
        """Remove the mark; one that cannot be removed expires."""
        if self._marked:
            with suppress(StoreError):
                withdraw_mark(self._store, self._name, self._service)
