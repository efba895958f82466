"""Training steps a CPU second, beside sentence-transformers' trainer with its default settings.

    python -m benchmarks.train_speed --docs ../shared/data/docs-determined/snapshot-2024-05-31

Both train the same model on the same pairs, made from the folder of documents, with the same loss (in-batch and mined
negatives, no Matryoshka), batch, learning rate, number of steps and longest text, each in a process of its own.
CPU seconds are those of the training itself: loading the model, training and writing it, without the imports.
Then both models and the base rank all passages for the held-out pairs.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.processes import measure
from ragline.embedding.embedder import Embedder
from ragline.embedding.model import DEFAULT, find_model, read_model
from ragline.finetune.examples.pair import read_pairs

TARGET = 2.0
PYTHON = Path(sys.executable)


def write_pairs(docs: Path, folder: Path) -> Path:
    """Make the pairs of a folder of documents; return their table."""
    from ragline.finetune.examples.pairs import make_pairs
    from ragline.reindex.chunk import chunk_documents
    from ragline.reindex.snapshot import snapshot_documents

    documents, chunks, pairs = (folder / f"{name}.parquet" for name in ("documents", "chunks", "pairs"))
    snapshot_documents(str(docs), documents, folder / "unreadable.jsonl")
    chunk_documents(documents, chunks, embedder=DEFAULT)
    made = make_pairs(documents, chunks, pairs, test_share=0.2)
    print(f"{made.train:,} pairs to train with, {made.test:,} held out")
    return pairs


def train_ragline(pairs: Path, out: Path, options: argparse.Namespace) -> int:
    """Train with ragline; return the number of steps."""
    from ragline.finetune.trainers.training import TrainingPlan, train

    rows = sum(1 for _ in read_pairs(pairs, "train"))
    plan = TrainingPlan(
        epochs=options.steps * options.batch / rows,
        batch=options.batch,
        learning_rate=options.learning_rate,
        warmup_share=0.0,
        max_tokens=options.tokens,
        seed=options.seed,
        dropout=options.dropout,
    )
    return train(plan, pairs, out).steps


def train_default(pairs: Path, out: Path, options: argparse.Namespace) -> int:
    """Train with sentence-transformers' trainer, as its documentation shows it; return the number of steps."""
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    rows = list(read_pairs(pairs, "train"))
    model = SentenceTransformer(str(find_model(DEFAULT).folder), device="cpu")
    model.max_seq_length = options.tokens
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(out.with_name("default-run")),
        max_steps=options.steps,
        per_device_train_batch_size=options.batch,
        learning_rate=options.learning_rate,
        seed=options.seed,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
    )
    data = Dataset.from_dict({"anchor": [p.query for p in rows], "positive": [p.positive for p in rows]})
    loss = MultipleNegativesRankingLoss(model)
    trainer = SentenceTransformerTrainer(model=model, args=arguments, train_dataset=data, loss=loss)
    trainer.train()
    model.save_pretrained(str(out))
    return int(trainer.state.global_step)


TRAINERS = {"sentence-transformers": train_default, "ragline": train_ragline}


def run_one(options: argparse.Namespace) -> None:
    """Train in this process and print steps and CPU seconds."""
    import sentence_transformers  # noqa: F401  # imports are not charged

    begun = time.process_time()
    steps = TRAINERS[options.one](options.pairs, options.out, options)
    print(json.dumps({"steps": steps, "cpu": round(time.process_time() - begun, 2)}))


def ndcg(folder: Path, pairs: Path) -> float:
    """Return nDCG@10 on the held-out pairs: every passage of the table is ranked, one is right."""
    everything = list(read_pairs(pairs))
    held_out = [pair for pair in everything if pair.split == "test"]
    passages = sorted({pair.positive for pair in everything})
    place = {text: row for row, text in enumerate(passages)}
    embedder = Embedder(read_model(folder.name, folder))
    scores = embedder.embed([pair.query for pair in held_out]) @ embedder.embed(passages).T
    right = scores[np.arange(len(held_out)), [place[pair.positive] for pair in held_out]]
    ranks = (scores > right[:, None]).sum(axis=1)
    return float(np.mean([1 / math.log2(rank + 2) if rank < 10 else 0.0 for rank in ranks]))


def compare(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Train with both, evaluate, and return the figures."""
    pairs = options.pairs or write_pairs(options.docs, folder)
    results: dict[str, Any] = {"base": {"ndcg@10": ndcg(find_model(DEFAULT).folder, pairs)}}
    print(f"base                   nDCG@10 {results['base']['ndcg@10']:.4f}", flush=True)
    threads = {"OMP_NUM_THREADS": str(options.threads), "RAGLINE_THREADS": str(options.threads)}
    shared = ("steps", "batch", "learning-rate", "tokens", "seed")
    words = [word for name in shared for word in (f"--{name}", getattr(options, name.replace("-", "_")))]
    for name in TRAINERS:
        out = folder / name
        command = [
            PYTHON,
            "-W",
            "ignore",
            "-m",
            "benchmarks.train_speed",
            "--one",
            name,
            "--pairs",
            pairs,
            "--out",
            out,
        ]
        command += [*words, *(["--dropout"] if options.dropout else [])]
        row = measure(command, nice=options.nice, env=threads).last
        row |= {"steps_per_cpu_second": row["steps"] / row["cpu"], "ndcg@10": ndcg(out, pairs)}
        results[name] = row
        print(
            f"{name:<22} nDCG@10 {row['ndcg@10']:.4f}  {row['steps']} steps, {row['cpu']:.1f} CPU s, "
            f"{row['steps_per_cpu_second']:.3f} steps a CPU s",
            flush=True,
        )
    ours, theirs = (results[name]["steps_per_cpu_second"] for name in ("ragline", "sentence-transformers"))
    return results | {"ratio": round(ours / theirs, 2)}


def main() -> None:
    """Compare, and print one JSON object at the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_speed", description=__doc__.split("\n")[0])
    default = Path("../shared/data/docs-determined/snapshot-2024-05-31")
    parser.add_argument("--docs", type=Path, default=default, help="folder of documents (default: %(default)s)")
    parser.add_argument("--pairs", type=Path, help="table of pairs, instead of the documents")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--tokens", type=int, default=256, help="longest text")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--nice", type=int, default=0)
    parser.add_argument("--dropout", action="store_true", help="ragline trains with dropout too")
    parser.add_argument("--one", choices=TRAINERS, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_one(options)
        return
    with tempfile.TemporaryDirectory() as scratch:
        results = compare(options, Path(scratch))
    print(f"ratio {results['ratio']} (target: {TARGET})")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
