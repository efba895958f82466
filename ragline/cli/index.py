"""Read documents, embed what is new, and publish them as the current release."""

import argparse

from ragline.cli.output import ProgressLines, print_json, printable

NAME = "index"
HELP = "index a folder, a bucket or a file, and publish a release"
_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    parser.add_argument("documents", metavar="DOCS", help="folder, s3://bucket/prefix, or a single file")
    parser.add_argument("--name", default="default", help="name of the index (default: default)")
    parser.add_argument("--embedder", default="all-MiniLM-L6-v2", help="model folder or hub id (default: %(default)s)")
    parser.add_argument("--chunk-size", type=int, default=200, metavar="TOKENS", help="default: %(default)s")
    parser.add_argument("--chunk-overlap", type=int, default=0, metavar="TOKENS", help="default: %(default)s")
    parser.add_argument("--text-field", default="", metavar="NAME", help="for JSON: the field that holds the text")
    parser.add_argument(
        "--max-file-megabytes", type=float, default=64.0, metavar="MB", help="larger files are reported"
    )
    parser.add_argument("--shards", type=int, default=0, help="parts embedded at once (default: the plan chooses)")


def run(arguments: argparse.Namespace) -> int:
    """Run the pipeline and print its summary."""
    from ragline.client import Client

    lines = ProgressLines()
    summary = Client(lines).reindex(
        arguments.documents,
        store_uri=arguments.store,
        name=arguments.name,
        embedder=arguments.embedder,
        chunk_size=arguments.chunk_size,
        chunk_overlap=arguments.chunk_overlap,
        text_field=arguments.text_field,
        max_file_megabytes=arguments.max_file_megabytes,
        shards=arguments.shards,
    )
    lines.finish()
    if arguments.json:
        print_json({key: summary[key] for key in ("release", "documents", "chunks", "embedded")})
        return 0
    for problem in summary["unreadable"][:_SHOWN]:
        print(f"not indexed: {printable(problem['source'])}: {problem['reason']} ({printable(problem['detail'])})")
    if (left := summary["documents"]["unreadable"] - _SHOWN) > 0:
        print(f"... and {left} more; all are in the report")
    counts = ", ".join(f"{count} {kind}" for kind, count in summary["documents"].items())
    print(f"documents: {counts}")
    print(f"release {summary['release']} is live: {summary['chunks']} chunks, {summary['embedded']} embedded")
    print(f"report: {arguments.store.rstrip('/')}/indexes/{summary['name']}/runs/{summary['run']}/report.html")
    return 0
