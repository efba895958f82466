"""Make an earlier release current again: the one that was live before, or the one that is named."""

import argparse
import sys
from dataclasses import asdict

from ragline.cli.output import print_json
from ragline.cli.target import add_name, open_index

NAME = "rollback"
HELP = "make an earlier release current again"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    parser.add_argument(
        "release", nargs="?", default="", metavar="RELEASE", help="default: the one that was live before"
    )
    parser.add_argument("--verify", action="store_true", help="download it and compare all checksums first")
    add_name(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print what was live, and what is."""
    from ragline.rollback import roll_back
    from ragline.settings import Settings

    index = open_index(arguments)
    index.pointer()
    release = index.find(arguments.release) if arguments.release else ""
    move = roll_back(index, release, scratch=Settings.from_environment().cache if arguments.verify else None)
    if move.warning:
        print(f"warning: {move.warning}", file=sys.stderr)
    if arguments.json:
        print_json(asdict(move))
    elif move.before == move.after:
        print(f"release {move.after} is live already; nothing was changed")
    else:
        print(f"release {move.after} is live; it was {move.before} (back to it: ragline rollback {move.before})")
    return 0
