"""Stop the serving chain of an index on this machine, with what a killed one may have left behind."""

import argparse

from ragline.cli.chain_output import place_of
from ragline.cli.output import print_json
from ragline.cli.target import add_name

NAME = "down"
HELP = "stop what `up` started"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    add_name(parser)


def run(arguments: argparse.Namespace) -> int:
    """Say whether there was anything to stop."""
    from ragline.chain.launch import take_down

    stopped = take_down(place_of(arguments.store, arguments.name))
    if arguments.json:
        print_json({"stopped": stopped})
    else:
        print(f"index {arguments.name!r} {'is not served any more' if stopped else 'was not up'}")
    return 0
