"""Answer a question from the documents, with citations; without a language model, by quoting."""

import argparse
import json
from dataclasses import asdict
from typing import Any

from ragline.cli.output import print_json, printable
from ragline.errors import InputError

NAME = "ask"
HELP = "answer a question with citations"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    parser.add_argument("question", metavar="QUESTION", help="in your own words")
    parser.add_argument("--name", default="default", help="name of the index (default: default)")
    parser.add_argument("--release", default="", help="ask this release, not the current one")
    parser.add_argument("--filter", default="", metavar="JSON", help='for example \'{"media_type": "text/markdown"}\'')


def run(arguments: argparse.Namespace) -> int:
    """Print the answer."""
    where = _filter(arguments.filter)
    answer = (None if arguments.release else _from_chain(arguments, where)) or _from_store(arguments, where)
    if arguments.json:
        print_json(answer)
        return 0
    print(answer["answer"])
    for citation in answer["citations"]:
        print(f"\n[{citation['number']}] {printable(citation['source'])}  {printable(citation['section'])}", end="")
    print("" if not answer["citations"] else "\n", end="")
    return 0


def _from_chain(arguments: argparse.Namespace, where: dict[str, object] | None) -> dict[str, Any] | None:
    """Ask the chain that serves the index on this machine; None if there is none."""
    from ragline.chain.answering import ask_chain, chain_of
    from ragline.object_store import open_store
    from ragline.settings import Settings

    chain = chain_of(Settings.from_environment().cache, open_store(arguments.store).uri, arguments.name)
    return ask_chain(chain, arguments.question, where) if chain else None


def _from_store(arguments: argparse.Namespace, where: dict[str, object] | None) -> dict[str, Any]:
    """Open the release here."""
    from ragline.answering import check_question
    from ragline.serving import open_answerer

    check_question(arguments.question)
    with open_answerer(arguments.store, arguments.name, release=arguments.release) as answerer:
        return asdict(answerer.ask(arguments.question, where=where))


def _filter(text: str) -> dict[str, object] | None:
    if not text:
        return None
    try:
        value = json.loads(text)
    except ValueError as exc:
        raise InputError(f'--filter {text!r} is not JSON ({exc}); write {{"source": "file.md"}}') from exc
    if not isinstance(value, dict) or not value:
        raise InputError(f'--filter {text!r} is not a JSON object; write {{"source": "file.md"}}')
    return value
