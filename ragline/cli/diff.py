"""Say what one release has that another has not: documents added, changed, moved, removed, and other settings."""

import argparse
from typing import TYPE_CHECKING, Any

from ragline.cli.output import print_json, printable
from ragline.cli.target import add_name, open_index

if TYPE_CHECKING:
    from ragline.comparison import Comparison

NAME = "diff"
HELP = "compare two releases"
_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    parser.add_argument("before", metavar="A", help="a release: its name, how it begins, or current")
    parser.add_argument("after", nargs="?", default="current", metavar="B", help="default: the current one")
    parser.add_argument("--all", action="store_true", help=f"list all documents, not the first {_SHOWN} of each kind")
    add_name(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the comparison."""
    from ragline.comparison import compare_releases

    index = open_index(arguments)
    index.pointer()
    found = compare_releases(index, index.find(arguments.before), index.find(arguments.after))
    if arguments.json:
        print_json(_facts(found))
    else:
        _show(found, None if arguments.all else _SHOWN)
    return 0


def _facts(found: "Comparison") -> dict[str, Any]:
    return {
        "before": found.before.release,
        "after": found.after.release,
        "documents": found.changes.counts(),
        "added": found.changes.added,
        "changed": found.changes.changed,
        "moved": found.changes.moved,
        "removed": found.changes.removed,
        "settings": found.settings,
    }


def _show(found: "Comparison", shown: int | None) -> None:
    for word, manifest in (("from", found.before), ("to  ", found.after)):
        print(f"{word} {manifest.release}  {manifest.created}")
    print("documents: " + ", ".join(f"{count} {kind}" for kind, count in found.changes.counts().items()))
    changes = found.changes
    moved = [f"{old} -> {new}" for old, new in changes.moved]
    for mark, names in (("+", changes.added), ("~", changes.changed), (">", moved), ("-", changes.removed)):
        for name in names[:shown]:
            print(f"{mark} {printable(name)}")
        if left := len(names[len(names) if shown is None else shown :]):
            print(f"{mark} ... and {left} more, with --all")
    for name, (before, after) in found.settings.items():
        print(f"{name}: {printable(str(before))} -> {printable(str(after))}")
