"""Train an embedder on the documents, compare it with the one in use, and register it."""

import argparse
import re

from ragline.cli.output import ProgressLines, print_json

NAME = "finetune"
_TRAINERS = ("auto", "sentence-transformers", "flagembedding")
HELP = "train an embedder on the documents; it goes live only if it is better"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    parser.add_argument("documents", metavar="DOCS", help="folder, s3://bucket/prefix, or a single file")
    parser.add_argument("--model", default="embedder", help="name of the registered model (default: %(default)s)")
    parser.add_argument(
        "--base", default="all-MiniLM-L6-v2", metavar="MODEL", help="where training begins (default: %(default)s)"
    )
    parser.add_argument("--chunk-size", type=int, default=200, metavar="TOKENS", help="default: %(default)s")
    parser.add_argument("--text-field", default="", metavar="NAME", help="for JSON: the field that holds the text")
    pairs = parser.add_argument_group("training pairs")
    pairs.add_argument("--pairs", default="", metavar="FILE", help="pairs of your own, JSON Lines")
    pairs.add_argument("--llm-url", default="", metavar="URL", help="OpenAI-compatible endpoint that writes questions")
    pairs.add_argument("--llm-model", default="", metavar="NAME", help="its model")
    pairs.add_argument(
        "--max-pairs", type=int, default=20000, metavar="N", help="from the documents (default: %(default)s)"
    )
    pairs.add_argument(
        "--test-share", type=float, default=0.1, metavar="SHARE", help="kept to measure with (default: 0.1)"
    )
    pairs.add_argument("--negatives", type=int, default=1, metavar="N", help="hard negatives of a pair (default: 1)")
    training = parser.add_argument_group("training")
    training.add_argument("--trainer", choices=_TRAINERS, default="auto", help="default: by the model's architecture")
    training.add_argument("--epochs", type=float, default=1.0, metavar="N", help="default: %(default)s")
    training.add_argument("--batch", type=int, default=32, metavar="PAIRS", help="pairs a step (default: %(default)s)")
    training.add_argument("--mini-batch", type=int, default=0, metavar="PAIRS", help="in memory at once (default: all)")
    training.add_argument("--learning-rate", type=float, default=3e-5, metavar="RATE", help="default: %(default)s")
    training.add_argument(
        "--dimensions", type=_sizes, default=[], metavar="N,N", help="shorter vectors that are to work too"
    )
    training.add_argument("--max-minutes", type=float, default=0.0, metavar="N", help="of training (default: no limit)")
    training.add_argument("--allow-cpu", action="store_true", help="train a large model without a GPU")
    training.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    gate = parser.add_argument_group("gate")
    gate.add_argument("--questions", default="", metavar="FILE", help="golden questions")
    gate.add_argument("--min-gain", type=float, default=0.0, metavar="SCORE", help="of nDCG@10, for sure (default: 0)")
    gate.add_argument("--max-drop", type=float, default=0.02, metavar="SCORE", help="of golden hit@4 (default: 0.02)")


def _sizes(text: str) -> list[int]:
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of lengths, such as 256,128")
    return [int(size) for size in text.split(",")]


def run(arguments: argparse.Namespace) -> int:
    """Run the pipeline and print its summary."""
    from ragline.client import Client

    lines = ProgressLines()
    summary = Client(lines).finetune(
        arguments.documents,
        store_uri=arguments.store,
        model_name=arguments.model,
        base_model=arguments.base,
        chunk_size=arguments.chunk_size,
        text_field=arguments.text_field,
        pairs_uri=arguments.pairs,
        llm_url=arguments.llm_url,
        llm_model=arguments.llm_model,
        max_pairs=arguments.max_pairs,
        test_share=arguments.test_share,
        negatives=arguments.negatives,
        trainer=arguments.trainer,
        epochs=arguments.epochs,
        batch=arguments.batch,
        mini_batch=arguments.mini_batch,
        learning_rate=arguments.learning_rate,
        dimensions=arguments.dimensions,
        max_minutes=arguments.max_minutes,
        allow_cpu=arguments.allow_cpu,
        seed=arguments.seed,
        questions_uri=arguments.questions,
        min_gain=arguments.min_gain,
        max_drop=arguments.max_drop,
    )
    lines.finish()
    if arguments.json:
        print_json(summary)
        return 0
    print(summary["reason"])
    alias = "champion" if summary["promoted"] else "challenger"
    print(
        f"{summary['model']} is the {alias}: {summary['pairs']} pairs, {summary['steps']} steps, "
        f"{summary['seconds']:.0f} seconds"
    )
    print(f"report: {arguments.store.rstrip('/')}/models/{summary['digest']}/report/report.html")
    if summary["promoted"]:
        print(f"next: ragline index {arguments.documents} --embedder models:/{arguments.model}@champion")
    return 0
