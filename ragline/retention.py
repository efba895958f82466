"""Which releases stay, and the removal of the others: the manifest first, for without it there is no release."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from ragline import leftovers
from ragline.errors import InputError, ReleaseError
from ragline.inventory import MANIFEST
from ragline.leftovers import Heap
from ragline.object_store import ObjectInfo, ObjectStore
from ragline.release import Index
from ragline.served import served_releases

_log = logging.getLogger(__name__)

QUIET = timedelta(days=1)
"""For how long nothing was written to files without a manifest before they count as left behind."""

QUIET_VECTORS = timedelta(days=7)
"""The same for the vectors of a model that no release uses: a long run with a new model may be writing them."""


Kind = Literal["release", "leftovers", "vectors"]

_MANIFEST = re.compile(r"indexes/(?P<index>[^/]+)/releases/(?P<release>[^/]+)/manifest\.json")


@dataclass(frozen=True, slots=True)
class Removal:
    """What was removed.

    Attributes:
        kind: `release`, `leftovers` of a release that never was or is no more, or `vectors` of a model.
        name: of the release, or digest of the model.
        bytes: how many were freed.
    """

    kind: Kind
    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Collection:
    """What a collection did, or would do.

    Attributes:
        removed: in the order of removal.
        kept: the releases that stay, and why.
        watched: leftovers and vectors that go when they still look the same in a later collection.
    """

    removed: tuple[Removal, ...]
    kept: Mapping[str, str]
    watched: tuple[str, ...]

    @property
    def bytes(self) -> int:
        """How many bytes were freed."""
        return sum(removal.bytes for removal in self.removed)


def collect(
    store: ObjectStore, name: str, *, keep: int = 5, min_age: timedelta = timedelta(hours=1), dry_run: bool = False
) -> Collection:
    """Remove old releases of an index, what killed runs left of others, and vectors that no index uses.

    Args:
        store: of the index.
        name: of the index.
        keep: how many of the newest releases stay in any case.
        min_age: younger releases stay: a run may be about to make one current.
        dry_run: only say what would be removed.

    Raises:
        InputError: `keep` is less than 1.
        NoReleaseError: nothing has been published under this name.
    """
    if keep < 1:
        raise InputError(f"keep {keep}: at least 1 release must stay")
    return _Collector(Index(store, name), dry_run=dry_run).run(keep, min_age)


class _Collector:
    """One collection."""

    def __init__(self, index: Index, *, dry_run: bool) -> None:
        self._index = index
        self._store = index.store
        self._dry_run = dry_run
        self._releases = f"indexes/{index.name}/releases/"
        self._watched: list[Heap] = []

    def run(self, keep: int, min_age: timedelta) -> Collection:
        heaps = list(leftovers.heaps(self._store, self._releases))
        whole = [heap for heap in heaps if _manifest_of(heap) in heap.tags]
        kept = reasons_to_keep(self._index, [heap.name for heap in whole], keep, min_age)
        removed: list[Removal] = []
        for heap in whole:
            if heap.name not in kept:
                removed += self._release(heap)
        used = _in_use(self._index)
        for heap in heaps:
            if heap not in whole and heap.name not in used:
                removed += self._ownerless("leftovers", heap, QUIET)
        self._forget(self._releases)
        removed += self._vectors()
        return Collection(tuple(removed), kept, tuple(heap.prefix for heap in self._watched))

    def _release(self, heap: Heap) -> Iterator[Removal]:
        if self._dry_run:
            yield Removal("release", heap.name, sum(info.size for info in heap.objects))
            return
        manifest = _manifest_of(heap)
        data = self._store.read(manifest)
        leftovers.doom(self._store, heap)
        self._store.delete(manifest)
        if heap.name in _in_use(self._index):
            # Somebody made it current since we looked. Who does so looks for the manifest afterwards, as we look here.
            self._store.write(manifest, data)
            return
        freed = self._remove(heap, [info for info in heap.objects if info.key != manifest])
        _log.info("removed release %s of index %s", heap.name, self._index.name)
        yield Removal("release", heap.name, len(data) + freed)

    def _ownerless(self, kind: Kind, heap: Heap, quiet: timedelta) -> Iterator[Removal]:
        objects = leftovers.removable(self._store, heap, quiet, watch=not self._dry_run)
        if not objects:
            self._watched.append(heap)
            return
        freed = sum(info.size for info in objects) if self._dry_run else self._remove(heap, objects)
        _log.info("removed %s of %s", kind, heap.name)
        yield Removal(kind, heap.name, freed)

    def _remove(self, heap: Heap, objects: Iterable[ObjectInfo]) -> int:
        return leftovers.remove(self._store, heap, objects, lambda: self._store.exists(_manifest_of(heap)))

    def _vectors(self) -> Iterator[Removal]:
        try:
            used = models_in_use(self._store)
        except ReleaseError as exc:
            _log.warning("vectors were left alone, for it is not known which are used: %s", exc)
            return
        for heap in leftovers.heaps(self._store, "vectors/"):
            if heap.name not in used:
                yield from self._ownerless("vectors", heap, QUIET_VECTORS)
        self._forget("vectors/")

    def _forget(self, prefix: str) -> None:
        """Remove the marks of what was removed, or is used again."""
        if not self._dry_run:
            needed = {heap.mark for heap in self._watched}
            for info in list(self._store.list(f"{leftovers.MARKS}{prefix}")):
                if info.key not in needed:
                    self._store.delete(info.key)


def reasons_to_keep(index: Index, names: Iterable[str], keep: int, min_age: timedelta) -> dict[str, str]:
    """Return why releases stay, by name; the others may go."""
    created = {name: _created(index, name) for name in names}
    pointer = index.pointer()
    youngest = (datetime.now(UTC) - min_age).isoformat(timespec="milliseconds")
    newest = sorted(created, key=lambda name: created[name], reverse=True)[:keep]
    reasons = {name: "its manifest cannot be read" for name, time in created.items() if not time}
    reasons |= {
        name: f"younger than {min_age.total_seconds() / 3600:g} h" for name in created if created[name] > youngest
    }
    reasons |= dict.fromkeys(newest, f"of the newest {keep}")
    reasons |= dict.fromkeys(served_releases(index.store, index.name), "being served")
    reasons |= dict.fromkeys([n for n in pointer.before if n in created][:1], "live before the current one")
    reasons |= {pointer.release: "current"}
    return {name: reasons[name] for name in created if name in reasons}


def models_in_use(store: ObjectStore) -> set[str]:
    """Return the digests of the models of all releases of all indexes.

    Raises:
        ReleaseError: a manifest cannot be read.
    """
    found = [_MANIFEST.fullmatch(info.key) for info in store.list("indexes/")]
    return {Index(store, match["index"]).manifest(match["release"]).digests["model"] for match in found if match}


def _created(index: Index, release: str) -> str:
    """Return when a release was made, "" if its manifest cannot be read."""
    try:
        return index.manifest(release).created
    except ReleaseError:
        return ""


def _in_use(index: Index) -> set[str]:
    return {index.pointer().release, *served_releases(index.store, index.name)}


def _manifest_of(heap: Heap) -> str:
    return f"{heap.prefix}{MANIFEST}"
