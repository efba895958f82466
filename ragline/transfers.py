"""Files moved to and from an object store, several at a time."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ragline.settings import Settings

_Item = TypeVar("_Item")


def side_by_side(move: Callable[[_Item], object], items: Iterable[_Item]) -> None:
    """Move all items, `RAGLINE_THREADS` at a time; return when all are done, or raise what the first failure raised.

    Example:
        >>> side_by_side(lambda path: store.upload(path.name, path), folder.iterdir())  # doctest: +SKIP
    """
    with ThreadPoolExecutor(Settings.from_environment().threads, "transfer") as pool:
        moves = [pool.submit(move, item) for item in items]
        try:
            for each in moves:
                each.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
