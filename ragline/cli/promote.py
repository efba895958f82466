"""Make a version of a registered model the champion: the next reindex with models:/MODEL@champion embeds with it."""

import argparse
from dataclasses import asdict

from ragline.cli.output import print_json, printable
from ragline.registry.registered_model import CHALLENGER

NAME = "promote"
HELP = "make a version of a registered model the champion"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    parser.add_argument("model", metavar="MODEL", help="registered model")
    parser.add_argument(
        "version", nargs="?", default=CHALLENGER, metavar="VERSION", help="number or alias (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print which version was the champion, and which is."""
    from ragline.registry.registry import Registry

    change = Registry.from_environment().promote(arguments.model, arguments.version)
    name = printable(change.name)
    if arguments.json:
        print_json(asdict(change))
    elif change.before == change.after:
        print(f"models:/{name}/{change.after} is the champion already; nothing was changed")
    else:
        before = (
            f"it was version {change.before} (back to it: ragline demote {name})"
            if change.before
            else "it is the first"
        )
        print(f"models:/{name}/{change.after} is the champion; {before}")
        print(f"it goes live with the next: ragline index DOCS --embedder models:/{name}@champion")
    return 0
