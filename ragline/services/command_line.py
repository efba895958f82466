"""What the command lines of all services have in common."""

import argparse
import sys
from collections.abc import Callable

from ragline.errors import RaglineError

_MOST = 10_000_000
_LEAST_SECONDS, _MOST_SECONDS = 0.01, 86_400


def run(
    parser: argparse.ArgumentParser, serve: Callable[[argparse.Namespace], None], arguments: list[str] | None
) -> int:
    """Serve with the arguments given, else with those of the process; return the exit code."""
    options = parser.parse_args(arguments)
    try:
        serve(options)
    except RaglineError as exc:
        sys.stderr.write(f"error: {exc}\n")
        return exc.exit_code
    return 0


def count(text: str) -> int:
    """Return a number of threads, questions or tokens.

    Raises:
        ArgumentTypeError: it is none.
    """
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= _MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {_MOST}")
    return int(text)


def seconds(text: str) -> float:
    """Return a time in seconds.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not _LEAST_SECONDS <= value <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of seconds from {_LEAST_SECONDS} to {_MOST_SECONDS}"
        )
    return value
