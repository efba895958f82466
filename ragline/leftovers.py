"""Objects that belong to nothing: what a killed run left behind, or a collection that did not come to its end.

    gc/<prefix>.json    {"since", "doomed", "tags": {key: etag}}

A listing does not say how old an object is, and the clocks of two machines are not compared with each other: what
lies below a prefix is watched instead. It may go when it looks the same in two looks that are far enough apart. A
running upload adds to it, and so begins the watch anew.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Self

from ragline.errors import ObjectNotFoundError
from ragline.object_store import ObjectInfo, ObjectStore

MARKS = "gc/"


@dataclass(frozen=True, slots=True)
class Heap:
    """All objects below one prefix."""

    prefix: str
    objects: tuple[ObjectInfo, ...]

    @property
    def name(self) -> str:
        """The last part of the prefix."""
        return self.prefix.rstrip("/").rpartition("/")[2]

    @property
    def mark(self) -> str:
        """The key of what is known about the heap."""
        return f"{MARKS}{self.prefix.rstrip('/')}.json"

    @property
    def tags(self) -> dict[str, str]:
        """The etags by key: the same when nothing was written."""
        return {info.key: info.etag for info in self.objects}


@dataclass(frozen=True, slots=True)
class Mark:
    """What an earlier look found.

    Attributes:
        since: since when the heap has looked so.
        doomed: whether these objects are to be removed, whatever their age.
        tags: their etags by key.
    """

    since: str
    doomed: bool
    tags: Mapping[str, str]

    @classmethod
    def read(cls, store: ObjectStore, heap: Heap) -> Self | None:
        """Return the mark of a heap; one that cannot be read counts as none."""
        try:
            value = json.loads(store.read(heap.mark))
            return cls(str(value["since"]), bool(value["doomed"]), dict(value["tags"]))
        except (ObjectNotFoundError, ValueError, KeyError, TypeError):
            return None

    def is_older(self, age: timedelta) -> bool:
        """Tell whether the look was longer ago than `age`."""
        try:
            return datetime.now(UTC) - datetime.fromisoformat(self.since) >= age
        except (ValueError, TypeError):
            return False


def heaps(store: ObjectStore, prefix: str) -> Iterator[Heap]:
    """Yield what lies in each folder below `prefix`."""
    for name, group in groupby(store.list(prefix), lambda info: info.key.removeprefix(prefix).partition("/")[0]):
        yield Heap(f"{prefix}{name}/", tuple(info for info in group if info.key.startswith(f"{prefix}{name}/")))


def removable(store: ObjectStore, heap: Heap, quiet: timedelta, *, watch: bool) -> list[ObjectInfo]:
    """Return which objects of a heap that belongs to nothing may go.

    Args:
        store: where it is.
        heap: all of it.
        quiet: for how long nothing must have been written to it.
        watch: note what was seen, for the next look.
    """
    mark = Mark.read(store, heap)
    same = mark is not None and mark.tags == heap.tags
    if mark and mark.doomed and (left := [info for info in heap.objects if mark.tags.get(info.key) == info.etag]):
        return left
    if mark and same and mark.is_older(quiet):
        return list(heap.objects)
    if watch and not same:
        _write(store, heap, doomed=False)
    return []


def doom(store: ObjectStore, heap: Heap) -> None:
    """Note that all of a heap is to be removed, so that a later collection ends what this one begins."""
    _write(store, heap, doomed=True)


def remove(store: ObjectStore, heap: Heap, objects: Iterable[ObjectInfo], is_wanted: Callable[[], bool]) -> int:
    """Delete objects of a heap, stop if somebody wants them again, and return how many bytes went."""
    doom(store, heap)
    freed = 0
    for info in objects:
        if is_wanted():
            break
        store.delete(info.key)
        freed += info.size
    store.delete(heap.mark)
    return freed


def _write(store: ObjectStore, heap: Heap, *, doomed: bool) -> None:
    mark = Mark(datetime.now(UTC).isoformat(timespec="seconds"), doomed, heap.tags)
    store.write(heap.mark, json.dumps(asdict(mark), indent=1, sort_keys=True).encode())
