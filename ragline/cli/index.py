"""Read documents, embed what is new, and publish them as the current release."""

import argparse

from ragline.cli.output import ProgressLines, print_json, printable

NAME = "index"
HELP = "index a folder, a bucket or a file, and publish a release"
_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    add_corpus_arguments(parser)
    parser.add_argument("--shards", type=int, default=1, help="parts embedded at once (default: 1, on all cores)")
    parser.add_argument("--rebuild", action="store_true", help="make the release anew, though it is there")
    parser.add_argument(
        "--questions", default="", metavar="FILE", help="golden questions; an index that answers them worse is refused"
    )
    parser.add_argument("--max-drop", type=float, default=0.02, metavar="SCORE", help="by how much (default: 0.02)")


def add_corpus_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what decides which chunks an index holds."""
    parser.add_argument("documents", metavar="DOCS", help="folder, s3://bucket/prefix, or a single file")
    parser.add_argument("--name", default="default", help="name of the index (default: default)")
    parser.add_argument(
        "--embedder",
        default="all-MiniLM-L6-v2",
        metavar="MODEL",
        help="model folder, hub id or models:/NAME@champion (default: %(default)s)",
    )
    parser.add_argument("--chunk-size", type=int, default=200, metavar="TOKENS", help="default: %(default)s")
    parser.add_argument("--chunk-overlap", type=int, default=0, metavar="TOKENS", help="default: %(default)s")
    parser.add_argument("--text-field", default="", metavar="NAME", help="for JSON: the field that holds the text")
    parser.add_argument(
        "--max-file-megabytes", type=float, default=64.0, metavar="MB", help="larger files are reported"
    )
    shrink = parser.add_mutually_exclusive_group()
    shrink.add_argument(
        "--max-shrink", type=_share, default=0.5, metavar="SHARE", help="refuse to lose more documents (default: 0.5)"
    )
    shrink.add_argument(
        "--allow-shrink", dest="max_shrink", action="store_const", const=1.0, help="lose however many are gone"
    )


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share between 0 and 1")
    return value


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
        max_shrink=arguments.max_shrink,
        rebuild=arguments.rebuild,
        questions_uri=arguments.questions,
        max_drop=arguments.max_drop,
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
    again = ", as before" if summary["release"] == summary["previous_release"] else ""
    print(f"release {summary['release']} is live{again}: {summary['chunks']} chunks, {summary['embedded']} embedded")
    print(f"report: {arguments.store.rstrip('/')}/indexes/{summary['name']}/runs/{summary['run']}/report.html")
    return 0
