"""Make the version champion again that was before the one that is; releases stay as they are until the next reindex."""

import argparse
from dataclasses import asdict

from ragline.cli.output import print_json, printable

NAME = "demote"
HELP = "return to the champion before"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    parser.add_argument("model", metavar="MODEL", help="registered model")


def run(arguments: argparse.Namespace) -> int:
    """Print which version was the champion, and which is."""
    from ragline.registry.registry import Registry

    change = Registry.from_environment().demote(arguments.model)
    if arguments.json:
        print_json(asdict(change))
    else:
        name = printable(change.name)
        print(f"models:/{name}/{change.after} is the champion again; it was version {change.before}")
        print("releases made with the other one stay: `ragline rollback` takes one back")
    return 0
