"""Which releases running services hold open: each service renews a mark that says until when."""

import json
from collections.abc import Iterator

from ragline.errors import ObjectNotFoundError
from ragline.object_store import ObjectStore
from ragline.release import now


def served_releases(store: ObjectStore, name: str) -> set[str]:
    """Return the releases of an index that a service has marked, and whose mark has not expired."""
    return set(_marks(store, name))


def _marks(store: ObjectStore, name: str) -> Iterator[str]:
    for info in store.list(f"indexes/{name}/serving/"):
        try:
            mark = json.loads(store.read(info.key))
            if str(mark["until"]) > now():
                yield str(mark["release"])
        except (ObjectNotFoundError, ValueError, KeyError, TypeError):
            continue  # withdrawn meanwhile, or no mark
