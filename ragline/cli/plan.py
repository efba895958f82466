"""Say what `ragline index` would do, without doing it: what changed, how much is to embed, about how long it takes."""

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragline.cli.index import add_corpus_arguments
from ragline.cli.output import print_json, printable

if TYPE_CHECKING:
    from ragline.reindex.plan import Plan

NAME = "plan"
HELP = "say what index would do, and do nothing"
_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    add_corpus_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Read and cut the documents, compare, and print the plan."""
    from ragline.client import absolute_uri
    from ragline.reindex.chunk import chunk_documents
    from ragline.reindex.origin import Origin
    from ragline.reindex.plan import plan_reindex
    from ragline.reindex.snapshot import snapshot_documents

    documents_uri = absolute_uri(arguments.documents)
    size, overlap, embedder = arguments.chunk_size, arguments.chunk_overlap, arguments.embedder
    with tempfile.TemporaryDirectory(prefix="ragline-") as scratch:
        place = {"store_uri": _existing(arguments.store, Path(scratch)), "name": arguments.name}
        documents, chunks = Path(scratch) / "documents", Path(scratch) / "chunks"
        snapshot = snapshot_documents(
            documents_uri,
            documents,
            Path(scratch) / "unreadable",
            text_field=arguments.text_field,
            max_megabytes=arguments.max_file_megabytes,
        )
        made = chunk_documents(documents, chunks, embedder=embedder, size=size, overlap=overlap, **place)
        origin = Origin(snapshot.digest, made.digest, made.model_digest, size, overlap, documents_uri, embedder)
        plan = plan_reindex(
            documents, chunks, Path(scratch) / "plan", origin=origin, max_shrink=arguments.max_shrink, **place
        )
    if arguments.json:
        print_json(_facts(plan, snapshot.unreadable))
    else:
        _show(plan, snapshot.unreadable)
    return 0


def _existing(store_uri: str, scratch: Path) -> str:
    """Return a store that can be looked at: an empty one for a folder that the first run will make."""
    if "://" in store_uri or Path(store_uri).expanduser().exists():
        return store_uri
    (scratch / "store").mkdir()
    return str(scratch / "store")


def _facts(plan: "Plan", unreadable: int) -> dict[str, Any]:
    return {
        "release": plan.origin.release,
        "previous_release": plan.previous,
        "documents": {**plan.changes.counts(), "unreadable": unreadable},
        "changes": {key: value for key, value in asdict(plan.changes).items() if key != "unchanged"},
        "chunks": plan.chunks,
        "embed": plan.embed,
        "shards": len(plan.shards),
        "seconds": plan.seconds if plan.changed else 0.0,
    }


def _show(plan: "Plan", unreadable: int) -> None:
    print(plan)
    changes = plan.changes
    moved = [f"{old} -> {new}" for old, new in changes.moved]
    for mark, names in (("+", changes.added), ("~", changes.changed), (">", moved), ("-", changes.removed)):
        for name in names[:_SHOWN]:
            print(f"{mark} {printable(name)}")
        if len(names) > _SHOWN:
            print(f"{mark} ... and {len(names) - _SHOWN} more")
    if unreadable:
        print(f"{unreadable} files or rows cannot be indexed; index names them")
