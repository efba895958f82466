"""Which releases running services hold open: each service renews a mark that says until when.

indexes/<name>/serving/<service>.json    {"release": ..., "until": ISO 8601, UTC}
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from ragline.errors import ObjectNotFoundError
from ragline.object_store import ObjectStore
from ragline.release import check_name, now

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
