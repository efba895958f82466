"""Measure retrieval on a BEIR folder, or answers on a file of questions."""

import argparse
import re
from pathlib import Path
from typing import Any

from ragline.cli.output import ProgressLines, print_json

NAME = "eval"
HELP = "measure retrieval (--beir) or answers (--questions)"
_DEPTH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--beir", type=Path, metavar="DIR", help="corpus.jsonl[.gz], queries.jsonl, qrels/: indexed first"
    )
    what.add_argument(
        "--questions", type=Path, metavar="FILE", help="JSON Lines of questions, asked to the current release"
    )
    parser.add_argument("--split", default="test", help="of the judgments in qrels/ (default: test)")
    parser.add_argument("--snapshot", default="", help="which gold_files count (default: the documents' folder name)")
    parser.add_argument("--name", default="", help="name of the index (default: default, or beir-DIR)")


def run(arguments: argparse.Namespace) -> int:
    """Print one object per mode, or one for the questions."""
    results = [_questions(arguments)] if arguments.questions else _beir(arguments)
    for result in results:
        if arguments.json:
            print_json(result)
        else:
            print(
                "  ".join(
                    f"{key} {value:.4f}" if isinstance(value, float) else f"{key} {value}"
                    for key, value in result.items()
                )
            )
    return 0


def _questions(arguments: argparse.Namespace) -> dict[str, Any]:
    from ragline.evaluation import read_questions, score_questions
    from ragline.serving import find_release, open_answerer

    name = arguments.name or "default"
    _, manifest = find_release(arguments.store, name)
    snapshot = arguments.snapshot or Path(manifest.documents_uri).name
    questions = read_questions(arguments.questions, snapshot)
    with open_answerer(arguments.store, name) as answerer:
        return dict(score_questions(questions, answerer.ask))


def _beir(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    from ragline.client import Client
    from ragline.evaluation import read_beir, score_run
    from ragline.retrieval import MODES, Retriever
    from ragline.serving import find_release, open_embedder
    from ragline.settings import Settings

    beir = read_beir(arguments.beir, arguments.split)
    name = arguments.name or "beir-" + re.sub(r"[^A-Za-z0-9._-]", "-", arguments.beir.resolve().name)
    lines = ProgressLines()
    Client(lines).reindex(str(beir.corpus), store_uri=arguments.store, name=name)
    lines.finish()
    index, manifest = find_release(arguments.store, name)
    vectors = open_embedder(manifest, index.store).embed(list(beir.queries.values()))
    results = []
    with Retriever(index.fetch(manifest, Settings.from_environment().cache)) as retriever:
        for mode in MODES:
            found = retriever.search_all(list(beir.queries.values()), vectors, _DEPTH, mode=mode)
            ranked = dict(zip(beir.queries, map(_documents, found), strict=True))
            results.append({"mode": mode, **score_run(ranked, beir.qrels)})
    return results


def _documents(passages: list[Any]) -> list[str]:
    """Return the row ids of the passages' documents, each at its best place."""
    return list(dict.fromkeys(passage.source.partition("#")[2] for passage in passages))
