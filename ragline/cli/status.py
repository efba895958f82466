"""Say what the services of an index on this machine are doing; exit status 1 unless all take requests."""

import argparse

from ragline.cli.chain_output import place_of, print_chain
from ragline.cli.output import print_json
from ragline.cli.target import add_name

NAME = "status"
HELP = "what is served here, and where"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    add_name(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the state of each service."""
    place = place_of(arguments.store, arguments.name)
    state = place.running()
    if state is None:
        state = place.read()
        why = _why(state.problem if state else "", found=state is not None)
        if arguments.json:
            print_json({"phase": "down", "problem": why})
        else:
            print(f"index {arguments.name!r} is not up{why and ': '}{why}")
        return 1
    print_chain(state, as_json=arguments.json)
    return 0 if state.ready else 1


def _why(problem: str, *, found: bool) -> str:
    if problem:
        return f"the last start failed: {problem}"
    return "its supervisor was killed; `ragline down` or `ragline up` cleans up" if found else ""
