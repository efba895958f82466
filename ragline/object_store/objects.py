"""What an object store is: objects under keys, with the same meaning in a folder and in S3."""

import heapq
import json
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Protocol

from ragline.errors import ConflictError, ObjectNotFoundError, StoreError

TEMPORARY = ".ragline-tmp-"
"""A name that begins so is half-written or a probe: never listed, and not accepted as a key."""


class ObjectUnreadableError(StoreError):
    """This one object cannot be read (no permission, broken link, not a file); the store itself works."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An entry of a listing.

    Attributes:
        key: path below the store's URI; names that are not UTF-8 have surrogate escapes.
        size: bytes.
        etag: changes when the object does; comparable only within one store.
        problem: why the object cannot be read; "" when nothing speaks against it.
    """

    key: str
    size: int
    etag: str
    problem: str = ""


class ObjectStore(Protocol):
    """Objects under keys in a folder or in S3, safe to share between threads.

    Every method raises the StoreError tree of `ragline.errors`. A transient fault of S3 is retried before that.

    Example:
        >>> store = open_store("s3://bucket/prefix")  # doctest: +SKIP
        >>> store.check(write=True)  # doctest: +SKIP
        >>> store.write("hello.txt", b"hello")  # doctest: +SKIP
        >>> [info.key for info in store.list()]  # doctest: +SKIP
        ['hello.txt']
    """

    @property
    def uri(self) -> str:
        """Where the store is, for messages; never holds credentials."""

    def check(self, *, write: bool = False) -> None:
        """Prove that the store can be used, before any work.

        Args:
            write: also prove that objects can be written; a missing local folder is then made.
        """

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects whose key begins with `prefix`, sorted by the key's UTF-8 bytes.

        Nothing is left out silently: what cannot be read is yielded with its `problem`. Memory does not
        grow with the number of objects.
        """

    def exists(self, key: str) -> bool:
        """Tell whether there is an object under `key`."""

    def read(self, key: str) -> bytes:
        """Return the object's bytes.

        Raises:
            ObjectNotFoundError: there is none.
            ObjectUnreadableError: there is one, but it cannot be read.
        """

    def write(self, key: str, data: bytes) -> None:
        """Store `data` under `key`: all or nothing, and verified.

        Raises:
            IntegrityError: what arrived is not what was sent.
        """

    def read_tagged(self, key: str) -> tuple[bytes, str]:
        """Return the object's bytes, and the tag with which `write_if` replaces just these.

        The tag is not that of a listing. Raises as `read`.
        """

    def write_if(self, key: str, data: bytes, tag: str | None) -> str:
        """Store `data` under `key` if what is there still has this tag; verified. Return the new tag.

        Of many who replace the same object at once, one succeeds. If `data` is there already, that is a success,
        whoever wrote it and whatever the tag: an answer may have been lost, and the call repeated. `write` and
        `delete` are not held back.

        Args:
            key: the object; a small one, held in memory.
            data: what it is to be.
            tag: of `read_tagged` or of an earlier `write_if`; None if there must be nothing yet.

        Raises:
            ConflictError: something else is there; it stands.
            IntegrityError: what arrived is not what was sent.
        """

    def download(self, key: str, path: Path) -> None:
        """Copy the object to the file `path`, as a stream; an interrupted copy leaves `path` as it was."""

    def upload(self, key: str, path: Path) -> None:
        """Store the file `path` under `key`, as a stream: all or nothing, and verified."""

    def delete(self, key: str) -> None:
        """Remove the object; no error if there is none."""


def temporary_name() -> str:
    """Return a fresh name that no listing shows."""
    return TEMPORARY + secrets.token_hex(8)


def is_temporary(key: str) -> bool:
    """Tell whether `key` belongs to a half-written object."""
    return key.rpartition("/")[2].startswith(TEMPORARY)


def check_key(key: str) -> None:
    """Refuse a key that would not mean the same in a folder and in S3.

    Raises:
        StoreError: a part of the key is empty, "." or "..", it holds NUL, or it is a temporary name.
    """
    if {"", ".", ".."} & set(key.split("/")) or "\0" in key or is_temporary(key):
        raise StoreError(
            f"{key!r} is not a key: expected names joined by '/', none empty, '.', '..' or beginning with {TEMPORARY!r}"
        )


def find(store: ObjectStore, key: str) -> tuple[bytes, str | None]:
    """Return the object's bytes and tag; no bytes and None if there is none."""
    try:
        return store.read_tagged(key)
    except ObjectNotFoundError:
        return b"", None


def written_before(store: ObjectStore, key: str, data: bytes, tag: str | None) -> str | None:
    """Return the tag of `data` if it is under `key` already; None if it may be written, since `tag` is there.

    Raises:
        ConflictError: something else is there.
    """
    there, current = find(store, key)
    if current is not None and there == data:
        return current
    if current == tag:
        return None
    raise conflict(store, key)


def conflict(store: ObjectStore, key: str) -> ConflictError:
    """Return the error of a writer who was not the first."""
    return ConflictError(f"{key!r} in {store.uri} was changed by someone else meanwhile; theirs stands: read it again")


def sorted_by_key(objects: Iterable[ObjectInfo], *, run: int = 50_000) -> Iterator[ObjectInfo]:
    """Yield a listing of any length in the order of the keys' bytes.

    S3 servers differ: AWS and MinIO list by key bytes, SeaweedFS and AWS directory buckets folder by
    folder. At most `run` entries are held in memory, sorted runs beyond that are kept in temporary files.
    """
    entries = iter(objects)
    runs: list[IO[str]] = []
    try:
        while len(last := sorted(islice(entries, run), key=_order)) == run:
            runs.append(_spill(last))
        yield from heapq.merge(*map(_unspill, runs), last, key=_order)
    finally:
        for file in runs:
            file.close()


def _order(info: ObjectInfo) -> bytes:
    return info.key.encode("utf-8", "surrogateescape")


def _spill(infos: Iterable[ObjectInfo]) -> IO[str]:
    file = tempfile.TemporaryFile("w+", encoding="ascii")  # noqa: SIM115 - closed by sorted_by_key
    file.writelines(json.dumps(astuple(info)) + "\n" for info in infos)
    file.seek(0)
    return file


def _unspill(file: IO[str]) -> Iterator[ObjectInfo]:
    return (ObjectInfo(*json.loads(line)) for line in file)
