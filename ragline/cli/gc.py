"""Remove old releases, what killed runs left behind, and vectors that no release uses; never what is in use."""

import argparse
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

from ragline.cli.output import print_json
from ragline.cli.target import add_name, open_index

if TYPE_CHECKING:
    from ragline.retention import Collection

NAME = "gc"
HELP = "remove old releases"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    parser.add_argument(
        "--keep", type=int, default=5, metavar="N", help="how many of the newest releases stay (default: 5)"
    )
    parser.add_argument(
        "--min-age", type=_hours, default=1.0, metavar="HOURS", help="younger releases stay (default: 1)"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    add_name(parser)


def _hours(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a number of hours")
    return value


def run(arguments: argparse.Namespace) -> int:
    """Print what was removed."""
    from ragline.retention import collect

    index = open_index(arguments)
    age = timedelta(hours=arguments.min_age)
    done = collect(index.store, index.name, keep=arguments.keep, min_age=age, dry_run=arguments.dry_run)
    if arguments.json:
        print_json({"dry_run": arguments.dry_run, "bytes": done.bytes, **asdict(done)})
    else:
        _show(done, dry_run=arguments.dry_run)
    return 0


def _show(done: "Collection", *, dry_run: bool) -> None:
    verb = "would remove" if dry_run else "removed"
    names = {"release": "release", "leftovers": "what was left of release", "vectors": "vectors of model"}
    for removal in done.removed:
        print(f"{verb} {names[removal.kind]} {removal.name}: {removal.bytes / 1e6:.1f} MB")
    for release, reason in done.kept.items():
        print(f"kept release {release}: {reason}")
    for prefix in done.watched:
        print(f"watched {prefix}: belongs to no release; a later gc removes it if nothing is written to it")
    print(f"{'would free' if dry_run else 'freed'} {done.bytes / 1e6:.1f} MB")
