"""Download a release and prove that it is whole: files, checksums, counts, indexes; exit status 1 if it is not."""

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from ragline.cli.output import print_json, printable
from ragline.cli.target import add_name, open_index

if TYPE_CHECKING:
    from ragline.verification import Verification

NAME = "verify"
HELP = "prove that a release is whole"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("release", nargs="?", default="current", metavar="RELEASE", help="default: the current one")
    which.add_argument("--all", action="store_true", help="verify every release of the index")
    add_name(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print what was found."""
    from ragline.settings import Settings
    from ragline.verification import verify_release

    index = open_index(arguments)
    index.pointer()
    names = index.names() if arguments.all else [index.find(arguments.release)]
    found = [verify_release(index, name, Settings.from_environment().cache) for name in names]
    if arguments.json:
        print_json([{"whole": each.whole, **asdict(each)} for each in found])
    else:
        for each in found:
            _show(each)
    return 0 if all(each.whole for each in found) else 1


def _show(found: "Verification") -> None:
    state = "whole" if found.whole else "damaged"
    print(f"release {found.release}: {state} ({found.files} files, {found.bytes / 1e6:.1f} MB)")
    for problem in found.problems:
        print(f"  {printable(str(problem))}")
    for path in found.unlisted:
        print(f"  warning: {printable(path)} does not belong to the release")
