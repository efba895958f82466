"""List the registered versions of a model, latest first: which is in use, and what each was worth."""

import argparse
from typing import TYPE_CHECKING, Any

from ragline.cli.output import print_json, printable
from ragline.registry.registered_model import AFTER, BEFORE, CORPUS, RUN, VERDICT

if TYPE_CHECKING:
    from ragline.registry.registered_model import ModelVersion

NAME = "models"
HELP = "list the registered versions of a model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    parser.add_argument("model", nargs="?", default="", metavar="MODEL", help="registered model (default: all of them)")


def run(arguments: argparse.Namespace) -> int:
    """Print the versions."""
    from ragline.registry.registry import Registry

    registry = Registry.from_environment()
    rows = [_facts(version) for version in registry.versions(arguments.model)]
    if arguments.json:
        print_json(rows)
        return 0
    for row in rows:
        aliases = ", ".join(row["aliases"]) or "-"
        print(
            f"models:/{printable(row['model'])}/{row['version']}  {aliases}  {row['digest'][:12]}  {row['created']}  "
            f"nDCG@10 {_shown(row['ndcg_before'])} -> {_shown(row['ndcg_after'])}"
        )
        if row["verdict"]:
            print(f"    {printable(row['verdict'])}")
    if not rows:
        print(f"no versions of {printable(arguments.model) or 'any model'} are registered at {registry.url}")
    return 0


def _facts(version: "ModelVersion") -> dict[str, Any]:
    return {
        "model": version.name,
        "version": version.number,
        "aliases": list(version.aliases),
        "digest": version.digest,
        "created": version.created,
        "ndcg_before": version.score(BEFORE),
        "ndcg_after": version.score(AFTER),
        "verdict": version.tags.get(VERDICT, ""),
        "corpus": version.tags.get(CORPUS, ""),
        "run": version.tags.get(RUN, ""),
        "uri": version.uri,
    }


def _shown(score: float | None) -> str:
    return "?" if score is None else f"{score:.4f}"
