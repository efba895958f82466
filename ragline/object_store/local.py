"""A folder as an object store: keys are paths below it."""

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ragline.errors import IntegrityError, ObjectNotFoundError, StoreError
from ragline.object_store.files import BLOCK_BYTES, locked, replacing
from ragline.object_store.objects import (
    TEMPORARY,
    ObjectInfo,
    ObjectUnreadableError,
    check_key,
    is_temporary,
    temporary_name,
    written_before,
)

_KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFBLK: "a device", stat.S_IFCHR: "a device"}
_LOCK = TEMPORARY + "lock"
_NOTHING_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}


class LocalStore:
    """Objects as the files of a folder; see `ObjectStore`.

    Links are followed only to files inside the folder. Unlike in S3, "a" and "a/b" cannot both be objects.

    Example:
        >>> store = LocalStore(Path("store"))  # doctest: +SKIP
        >>> store.write("a/b.txt", b"text")  # doctest: +SKIP
    """

    def __init__(self, folder: Path, *, only: str = "") -> None:
        """Make the store of `folder`; with `only`, it lists nothing but this key."""
        self._folder = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would also replace links
        self._real = os.path.realpath(folder)
        self._only = only
        self.uri = str(self._folder / only)

    def __repr__(self) -> str:
        return f"LocalStore({self.uri!r})"

    def check(self, *, write: bool = False) -> None:
        """Prove that the folder can be listed; with `write`, make it if needed and write a file."""
        if write and not os.path.lexists(self._folder):
            with self._errors("make"):
                self._folder.mkdir(parents=True)
        if not self._folder.exists():
            raise StoreError(f"{self._folder} does not exist: give an existing folder")
        if not self._folder.is_dir():
            raise StoreError(f"{self._folder} is a file, not a folder: give a folder as the store")
        with self._errors("list"), os.scandir(self._folder):
            pass
        if write:
            probe = self._folder / temporary_name()
            with self._errors("write to"), replacing(probe, durable=False):
                pass
            probe.unlink()

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield what lies below the folder, in the order of the keys' bytes."""
        start = os.fsencode(prefix or self._only)
        with self._errors("list"):
            pending = _names(os.fsencode(self._folder), b"", start)
        while pending:
            key = pending.pop()
            if not key.endswith(b"/"):
                info = self._info(os.fsdecode(key))
            else:
                try:
                    pending += _names(os.fsencode(self._folder), key, start)
                except OSError as exc:
                    info = ObjectInfo(os.fsdecode(key[:-1]), 0, "", f"the folder cannot be listed: {exc.strerror}")
                else:
                    continue
            if info and self._only in {"", info.key}:
                yield info

    def _info(self, key: str) -> ObjectInfo | None:
        try:
            status = (self._folder / key).lstat()
            if stat.S_ISLNK(status.st_mode):
                status = self._real_path(key).stat()
        except (FileNotFoundError, ObjectNotFoundError):
            return None  # removed since its folder was read
        except ObjectUnreadableError as exc:
            return ObjectInfo(key, 0, "", str(exc))
        except OSError as exc:
            return ObjectInfo(key, 0, "", f"{key!r} cannot be read: {exc.strerror}")
        etag = f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"
        return ObjectInfo(key, status.st_size, etag, _not_a_file(status, key))

    def exists(self, key: str) -> bool:
        """Tell whether `key` is a file that may be followed."""
        try:
            return stat.S_ISREG(self._real_path(key).stat().st_mode)
        except (ObjectNotFoundError, ObjectUnreadableError):
            return False

    def read(self, key: str) -> bytes:
        """Return the file's bytes."""
        with self._open(key) as file:
            try:
                return file.read()
            except OSError as exc:
                raise ObjectUnreadableError(f"{key!r} cannot be read: {exc.strerror}") from exc

    def write(self, key: str, data: bytes) -> None:
        """Write the file beside its place, and move it there."""
        with self._replacing(key) as file, self._errors(f"write {key!r} to"):
            file.write(data)

    def read_tagged(self, key: str) -> tuple[bytes, str]:
        """Return the file's bytes and their sha256."""
        data = self.read(key)
        return data, _tag(data)

    def write_if(self, key: str, data: bytes, tag: str | None) -> str:
        """Compare and replace the file, under a lock that all conditional writers of this folder share."""
        check_key(key)
        with self._errors("lock"), locked(self._folder / _LOCK):
            if written_before(self, key, data, tag) is None:
                self.write(key, data)
        return _tag(data)

    def download(self, key: str, path: Path) -> None:
        """Copy the object to `path`."""
        with self._open(key) as source, replacing(path, durable=False) as target:
            shutil.copyfileobj(source, target, BLOCK_BYTES)

    def upload(self, key: str, path: Path) -> None:
        """Copy the file `path` beside the object's place, and move it there."""
        with path.open("rb") as source, self._replacing(key) as target:
            shutil.copyfileobj(source, target, BLOCK_BYTES)
            if target.tell() != os.fstat(source.fileno()).st_size:
                raise IntegrityError(f"{path} changed while it was copied to {self.uri}: upload it again")

    def delete(self, key: str) -> None:
        """Remove the file, or the link; a folder is not an object and stays."""
        path = self._place(key)
        with self._errors(f"delete {key!r} from"), suppress(FileNotFoundError, NotADirectoryError):
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                path.unlink()

    @contextmanager
    def _replacing(self, key: str) -> Iterator[BinaryIO]:
        path = self._place(key)
        with self._errors(f"write {key!r} to"), replacing(path, durable=True) as file:
            yield file

    def _place(self, key: str) -> Path:
        """Return the path of `key`; a link on the way must not lead outside."""
        check_key(key)
        path = self._folder / key
        if not self._is_inside(os.path.realpath(path.parent)):
            raise StoreError(f"{key!r} leads outside {self.uri} through a link: remove the link")
        return path

    def _is_inside(self, real: str) -> bool:
        return real == self._real or real.startswith(os.path.join(self._real, ""))  # noqa: PTH118 - "/" stays "/"

    def _real_path(self, key: str) -> Path:
        """Return the path of an existing `key`, all links followed."""
        check_key(key)
        path = self._folder / key
        try:
            real = os.path.realpath(path, strict=True)
        except OSError as exc:
            if path.is_symlink():
                raise ObjectUnreadableError(f"{key!r} is a broken link") from exc
            if exc.errno in _NOTHING_THERE:
                raise ObjectNotFoundError(f"no object {key!r} in {self.uri}") from exc
            raise ObjectUnreadableError(f"{key!r} cannot be read: {exc.strerror}") from exc
        if not self._is_inside(real):
            raise ObjectUnreadableError(f"{key!r} is a link that leads outside {self.uri}")
        return Path(real)

    def _open(self, key: str) -> BinaryIO:
        real = self._real_path(key)
        if real.is_dir():
            raise ObjectNotFoundError(f"no object {key!r} in {self.uri}: it is a folder")
        try:
            # Without O_NONBLOCK, opening a named pipe would wait for a writer.
            file = os.fdopen(os.open(real, os.O_RDONLY | os.O_NONBLOCK), "rb")
        except OSError as exc:
            raise ObjectUnreadableError(f"{key!r} cannot be read: {exc.strerror}") from exc
        if problem := _not_a_file(os.fstat(file.fileno()), key):
            file.close()
            raise ObjectUnreadableError(problem)
        return file

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise StoreError(f"cannot {doing} {self.uri}: {exc.strerror or exc}") from exc


def _names(root: bytes, folder: bytes, start: bytes) -> list[bytes]:
    """Return the keys in `folder` that may lead to keys beginning with `start`, the last one first.

    Folders end with "/", so that they sort as their contents do: "a-b" before "a/b".
    """
    with os.scandir(root + b"/" + folder) as entries:
        names = [folder + entry.name + (b"/" if entry.is_dir(follow_symlinks=False) else b"") for entry in entries]
    relevant = [
        name
        for name in names
        if (name.startswith(start) or (name.endswith(b"/") and start.startswith(name)))
        and not is_temporary(os.fsdecode(name))
    ]
    return sorted(relevant, reverse=True)


def _tag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _not_a_file(status: os.stat_result, key: str) -> str:
    if stat.S_ISREG(status.st_mode):
        return ""
    if stat.S_ISDIR(status.st_mode):
        return f"{key!r} is a link to a folder, which is not followed"
    return f"{key!r} is not a file but {_KINDS.get(stat.S_IFMT(status.st_mode), 'something else')}"
