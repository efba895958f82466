"""List the releases of an index, newest first: * is current, < is where `ragline rollback` goes."""

import argparse
from typing import TYPE_CHECKING, Any

from ragline.cli.output import print_json, printable
from ragline.cli.target import add_name, open_index

if TYPE_CHECKING:
    from ragline.release import Manifest

NAME = "releases"
HELP = "list what has been published"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    add_name(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the releases."""
    index = open_index(arguments)
    pointer = index.pointer()
    manifests = list(index.releases())[::-1]
    names = {manifest.release for manifest in manifests}
    back = next((release for release in pointer.before if release in names), "")
    rows: list[dict[str, Any]] = [
        {
            "release": each.release,
            "current": each.release == pointer.release,
            "rollback": each.release == back,
            **_facts(each),
        }
        for each in manifests
    ]
    if arguments.json:
        print_json(rows)
        return 0
    for row in rows:
        mark = "*" if row["current"] else "<" if row["rollback"] else " "
        print(
            f"{mark} {row['release']}  {row['created']}  {row['documents']} documents, {row['chunks']} chunks, "
            f"{row['bytes'] / 1e6:.1f} MB, {printable(row['embedder'])}"
        )
    return 0


def _facts(manifest: "Manifest") -> dict[str, Any]:
    return {
        "created": manifest.created,
        "documents": manifest.counts["documents"],
        "chunks": manifest.counts["chunks"],
        "bytes": sum(facts["bytes"] for facts in manifest.files.values()),
        "embedder": manifest.embedder,
        "digests": manifest.digests,
    }
