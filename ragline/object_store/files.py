"""Files that appear whole or not at all."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ragline.object_store.objects import temporary_name

BLOCK_BYTES = 1 << 20


@contextmanager
def replacing(path: Path, *, durable: bool) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that takes its place when the block ends without an error.

    Args:
        path: the file to make or to replace; its folder is made if it is missing.
        durable: wait until the disk has it, so that it also survives a loss of power.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile: its files are private to the user, a store may be shared by a group.
    temporary = path.with_name(temporary_name())
    try:
        with temporary.open("xb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    if durable:
        _sync_folder(path.parent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Run the block while nobody else, in this process or another, is in one with the same lock file.

    The file stays; the lock ends with the block, or with the process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _lock(path)
    while not _is_at(descriptor, path):  # who held it, or someone who cleaned up, removed the file
        os.close(descriptor)
        descriptor = _lock(path)
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(path: Path) -> int:
    # Open for writing, without which NFS gives no exclusive lock. A descriptor of its own keeps threads apart, too.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
