"""Local copies of releases that a service holds open.

    <cache>/releases/<digest>/        the files, as `ragline.release.Index.fetch` puts them there
    <cache>/releases/<digest>.lock    locked, shared, by every service that holds them; says of which index they are

Several services may share a cache. A service removes copies of its own index that nobody holds; copies that others made
have no lock file, or one of another index, and stay.
"""

import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from ragline.release import Index, Manifest

_log = logging.getLogger(__name__)

_FETCH = "fetch-"
_ABANDONED_SECONDS = 86_400.0


class LocalCopies:
    """The copies that this service holds; for one thread at a time.

    Example:
        >>> copies = LocalCopies(index, cache)  # doctest: +SKIP
        >>> folder = copies.take(manifest)  # doctest: +SKIP
        >>> copies.hold({manifest.digests["index"]})  # doctest: +SKIP
        >>> copies.prune()  # doctest: +SKIP
        1
    """

    def __init__(self, index: Index, cache: Path) -> None:
        self._index = index
        self._cache = cache
        self._folder = cache / "releases"
        self._owner = f"{index.store.uri} {index.name}".encode(errors="replace")
        self._locks: dict[str, int] = {}

    def take(self, manifest: Manifest) -> Path:
        """Return the verified copy of a release, held until `hold` leaves it out.

        Raises:
            DamagedReleaseError: a file is missing in the store, or not what the manifest says.
            OSError: the disk is full, or the cache cannot be written.
        """
        digest = manifest.digests["index"]
        held = digest in self._locks
        if not held:
            self._locks[digest] = self._lock(digest)
        try:
            return self._index.fetch(manifest, self._cache)
        except BaseException:
            if not held:
                os.close(self._locks.pop(digest))
            raise

    def hold(self, digests: Collection[str]) -> None:
        """Let go of all copies but these; they stay where they are."""
        for digest in self._locks.keys() - set(digests):
            os.close(self._locks.pop(digest))

    def prune(self) -> int:
        """Remove the copies of this index that nobody holds; return how many."""
        removed = sum(map(self._remove, list(self._folder.glob("*.lock"))))
        self._remove_abandoned()
        return removed

    def _lock(self, digest: str) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{digest}.lock"
        while True:
            descriptor = _open(path, os.O_CREAT)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if _is_at(descriptor, path):
                os.pwrite(descriptor, self._owner, 0)
                return descriptor
            os.close(descriptor)  # removed by another service after we opened it

    def _remove(self, lock: Path) -> bool:
        """Remove a copy, if it is of this index and nobody holds it; tell whether it was."""
        try:
            descriptor = _open(lock)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_at(descriptor, lock) or os.pread(descriptor, 4096, 0) != self._owner:
                return False
            self._remove_folder(lock.with_suffix(""))
            lock.unlink()
        except OSError as exc:
            if not isinstance(exc, BlockingIOError):
                _log.warning("%s cannot be removed: %s", lock.with_suffix(""), exc)
            return False
        finally:
            os.close(descriptor)
        _log.info("removed the local copy %s", lock.with_suffix(""))
        return True

    def _remove_folder(self, copy: Path) -> None:
        # Moved away first: killed half-way, what is left must not look like a whole copy.
        with suppress(FileNotFoundError), tempfile.TemporaryDirectory(dir=self._folder, prefix=_FETCH) as scratch:
            copy.rename(Path(scratch) / "removed")

    def _remove_abandoned(self) -> None:
        """Remove what killed downloads left."""
        for folder in self._folder.glob(f"{_FETCH}*"):
            with suppress(OSError):
                if time.time() - _newest(folder) > _ABANDONED_SECONDS:
                    shutil.rmtree(folder)


def _newest(folder: Path) -> float:
    return max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))


def _open(path: Path, flags: int = 0) -> int:
    return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o666)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
