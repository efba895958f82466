"""Answer a question from the documents, with citations; without a language model, by quoting."""

import argparse
import json
from dataclasses import asdict

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
    from ragline.answering import check_question
    from ragline.serving import open_answerer

    check_question(arguments.question)
    where = _filter(arguments.filter)
    with open_answerer(arguments.store, arguments.name, release=arguments.release) as answerer:
        answer = answerer.ask(arguments.question, where=where)
    if arguments.json:
        print_json(asdict(answer))
        return 0
    print(answer.answer)
    for citation in answer.citations:
        print(f"\n[{citation.number}] {printable(citation.source)}  {printable(citation.section)}", end="")
    print("" if not answer.citations else "\n", end="")
    return 0


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
