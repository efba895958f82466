"""The index that a command is about."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ragline.release import Index


def add_name(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the index."""
    parser.add_argument("--name", default="default", help="name of the index (default: default)")


def open_index(arguments: argparse.Namespace) -> "Index":
    """Return the index, in a store that is proven to be there.

    Raises:
        StoreError: the store cannot be used.
        SettingError: the store's URI or the index's name is malformed.
    """
    from ragline.object_store import open_store
    from ragline.release import Index

    store = open_store(arguments.store)
    store.check()
    return Index(store, arguments.name)
