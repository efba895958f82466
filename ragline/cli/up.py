"""Start the serving chain of an index on this machine, and keep it running until `ragline down`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ragline.cli.chain_output import ChainLines, print_chain
from ragline.cli.target import add_name
from ragline.errors import InputError

if TYPE_CHECKING:
    from ragline.chain.options import ChainOptions
    from ragline.chain.state import ChainState, Place

NAME = "up"
HELP = "serve an index on this machine"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    add_name(parser)
    parser.add_argument(
        "--plan",
        default="",
        help="how answers are made: extractive (the default), openai, triton-engine, triton-llmapi",
    )
    parser.add_argument("--llm-url", default="", metavar="URL", help="where the language model is served")
    parser.add_argument("--llm-model", default="", metavar="NAME", help="its name there")
    parser.add_argument("--tokenizer", default="", metavar="DIR", help="folder with its tokenizer and chat template")
    parser.add_argument("--small-llm", action="store_true", help="run a small language model too (a demonstration)")
    parser.add_argument(
        "--port", type=int, default=8400, help="where questions come in; the five behind it are used too; 0: any"
    )
    parser.add_argument("--triton", default="", metavar="DIR", help="environment of the Triton server")
    parser.add_argument("--foreground", action="store_true", help="stay here until interrupted")
    parser.add_argument(
        "--seconds", type=float, default=600.0, help="within which all must be ready (default: %(default)g)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print where the services are, when they have answered a question."""
    from ragline.chain.launch import bring_up

    options, place = _options(arguments), _place(arguments)
    lines = ChainLines(sys.stderr)
    if arguments.foreground:
        return _stay(options, place, arguments, lines)
    print_chain(bring_up(options, place, lines), as_json=arguments.json)
    return 0


def _stay(options: "ChainOptions", place: "Place", arguments: argparse.Namespace, lines: ChainLines) -> int:
    from ragline.chain.supervisor import TAKEN, Supervisor
    from ragline.settings import Settings

    shown: list[str] = []
    problems: list[tuple[str, str]] = []

    def listen(state: "ChainState") -> None:
        lines(state)
        if state.phase == "ready" and not shown:
            shown.append(state.url)
            print_chain(state, as_json=arguments.json)
            sys.stdout.flush()
        if state.phase == "failed" and not problems:
            problems.append((state.kind, state.problem))

    cache = Settings.from_environment().cache.absolute()
    status = Supervisor(options, place, cache, Path(options.triton)).run(listen)
    if status == TAKEN:
        raise InputError(f"index {options.name!r} is up already: run `ragline down` first")
    if problems:
        from ragline.chain.embedder import error_of

        raise error_of(*problems[0])
    return status


def _options(arguments: argparse.Namespace) -> "ChainOptions":
    from ragline.chain.options import ChainOptions
    from ragline.object_store import open_store
    from ragline.release import check_name
    from ragline.settings import ServiceSettings

    triton = Path(arguments.triton).expanduser() if arguments.triton else ServiceSettings.from_environment().triton
    return ChainOptions(
        store=open_store(arguments.store).uri,
        name=check_name(arguments.name),
        plan=arguments.plan,
        llm_url=arguments.llm_url,
        llm_model=arguments.llm_model,
        tokenizer=str(Path(arguments.tokenizer).expanduser().absolute()) if arguments.tokenizer else "",
        small_llm=arguments.small_llm,
        port=arguments.port,
        triton=str(triton.absolute()),
        seconds=arguments.seconds,
    )


def _place(arguments: argparse.Namespace) -> "Place":
    from ragline.cli.chain_output import place_of

    return place_of(arguments.store, arguments.name)
