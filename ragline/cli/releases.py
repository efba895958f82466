"""List the releases of an index, newest first; the current one has a star."""

import argparse
from typing import Any

from ragline.cli.output import print_json

NAME = "releases"
HELP = "list what has been published"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    parser.add_argument("--name", default="default", help="name of the index (default: default)")


def run(arguments: argparse.Namespace) -> int:
    """Print the releases."""
    from ragline.object_store import open_store
    from ragline.release import Index

    store = open_store(arguments.store)
    store.check()
    index = Index(store, arguments.name)
    current = index.pointer().release
    rows: list[dict[str, Any]] = [
        {
            "release": manifest.release,
            "current": manifest.release == current,
            "created": manifest.created,
            "documents": manifest.counts["documents"],
            "chunks": manifest.counts["chunks"],
            "embedder": manifest.embedder,
            "digests": manifest.digests,
        }
        for manifest in index.releases()
    ][::-1]
    if arguments.json:
        print_json(rows)
        return 0
    for row in rows:
        star = "*" if row["current"] else " "
        print(f"{star} {row['release']}  {row['created']}  {row['documents']} documents, {row['chunks']} chunks")
    return 0
