"""Pairs of random words that a tiny model can be trained on."""

import random
from pathlib import Path

from ragline.finetune.examples.pair import Pair, PairWriter


def write_pairs(path: Path, count: int = 64, *, negatives: int = 1, seed: int = 0) -> Path:
    """Write training pairs whose query is two words of the positive; return the path."""
    choice = random.Random(seed)
    with PairWriter(path) as writer:
        for row in range(count):
            words = ["".join(choice.choices("abcdefghijklmnopqrstuvwxyz", k=3)) for _ in range(5)]
            others = tuple(_text(choice) for _ in range(negatives))
            positive = " ".join(words)
            writer.write(
                Pair(" ".join(words[:2]), positive, f"chunk-{row}", f"document-{row}", "title", "train", others)
            )
        writer.write(Pair("never", "trained on", "chunk-test", "document-test", "title", "test"))
    return path


def _text(choice: random.Random) -> str:
    return " ".join("".join(choice.choices("abcdefghijklmnopqrstuvwxyz", k=3)) for _ in range(5))
