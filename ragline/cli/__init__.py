"""The command line. One module per verb; nothing heavy is imported before a verb needs it."""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from typing import Any

from ragline import __version__
from ragline.cli import (
    ask,
    demote,
    diff,
    down,
    evaluate,
    finetune,
    gc,
    index,
    models,
    plan,
    promote,
    releases,
    rollback,
    status,
    up,
    verify,
)
from ragline.errors import RaglineError
from ragline.settings import Settings

_DESCRIPTION = """\
Turn a folder or bucket of documents into answers with citations.

  ragline plan docs                   what index would do, and about how long it takes
  ragline index docs                  read, chunk, embed and publish the documents
  ragline ask "How do I start?"       quote the passages that answer, with their sources
  ragline up                          serve the index on this machine, with URLs; `ask` then goes there
  ragline status                      what is served here, and where
  ragline down                        stop that
  ragline releases                    what has been published, and what is current
  ragline verify                      prove that the current release is whole
  ragline diff A [B]                  what one release has that another has not
  ragline rollback                    make the release before live again
  ragline gc                          remove old releases
  ragline finetune docs               train an embedder on the documents; live only if it is better
  ragline models                      registered embedding models, and which is in use
  ragline promote MODEL               make its challenger the champion
  ragline demote MODEL                return to the champion before
  ragline eval --questions FILE       how well questions are answered

Where releases are kept is --store or RAGLINE_STORE: a folder, or s3://bucket/prefix with the keys in
AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Registered models are in the MLflow server of MLFLOW_TRACKING_URI.
Exit status: 0 done, 1 a step or a check failed, 2 wrong input (nothing was changed), 130 interrupted.
"""

_VERBS = (
    *(plan, index, ask, up, status, down),
    *(releases, verify, diff, rollback, gc),
    *(finetune, models, promote, demote, evaluate),
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="ragline", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--version", action="version", version=f"ragline {__version__}")
    verbs = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for verb in _VERBS:
        sub = verbs.add_parser(verb.NAME, help=verb.HELP, description=verb.__doc__)
        verb.add_arguments(sub)
        sub.add_argument(
            "--store", default=None, metavar="URI", help="object store (default: RAGLINE_STORE or .ragline)"
        )
        sub.add_argument("--json", action="store_true", help="print JSON, for scripts")
        sub.set_defaults(run=verb.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        arguments.store = arguments.store if arguments.store is not None else Settings.from_environment().store
        result: int = arguments.run(arguments)
    except RaglineError as exc:
        return _fail(exc, as_json=arguments.json)
    except KeyboardInterrupt:
        print("interrupted; what was live before is live now", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has seen enough, as in `| head`
        return 0
    return result


def _fail(error: RaglineError, *, as_json: bool) -> int:
    message = str(error).encode("utf-8", "backslashreplace").decode()
    if as_json:
        value: dict[str, Any] = {"error": type(error).__name__, "message": message}
        print(json.dumps(value))
    print(f"ragline: {message}", file=sys.stderr)
    return error.exit_code
