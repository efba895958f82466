"""`python -m ragline.services.small_llm`: a small language model with OpenAI's API on this machine, for demonstrations.

It has 135 million parameters: it can phrase, and it makes things up. The llm service shows of its text what the
documents support (`--show supported`).
"""

import argparse
import logging
import signal
import sys
import threading

from ragline.services.command_line import count, run
from ragline.services.edge.json_log import configure_logging
from ragline.services.small_llm.server import SmallLlm
from ragline.services.small_llm.weights import MODEL
from ragline.settings import ServiceSettings

_log = logging.getLogger("ragline.services.small_llm")


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    return run(parser(), serve, arguments)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    found = argparse.ArgumentParser("python -m ragline.services.small_llm", description=__doc__, allow_abbrev=False)
    add = found.add_argument
    add("--port", type=int, default=8405, help="port on 127.0.0.1; 0 for any free one [%(default)s]")
    add("--threads", type=count, default=1, help="for generation; more only on a machine without other work [1]")
    add("--slots", type=count, default=2, help="answers that are written at the same time [%(default)s]")
    add("--context-tokens", type=count, default=2048, help="tokens of a prompt and its answer [%(default)s]")
    return found


def serve(options: argparse.Namespace) -> None:
    """Serve until a signal comes.

    Raises:
        SettingError: the model cannot be served here.
    """
    settings = ServiceSettings.from_environment()
    configure_logging(settings.log_level, texts=settings.log_texts)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with SmallLlm.start(
        options.port, threads=options.threads, slots=options.slots, context_tokens=options.context_tokens
    ) as server:
        _log.info("%s listens on %s/v1", MODEL, server.url)
        stop.wait()


if __name__ == "__main__":
    sys.exit(main())
