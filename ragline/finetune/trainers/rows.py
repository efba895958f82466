"""What trainers read of the pairs: columns of texts, how long they are, and the batches."""

import random
from collections.abc import Mapping, Sequence

from ragline.embedding.embedder import load_tokenizer
from ragline.embedding.model import EmbeddingModel
from ragline.errors import SettingError
from ragline.finetune.examples.pair import Pair
from ragline.finetune.trainers.batches import batches, keys_of
from ragline.finetune.trainers.training import TrainingPlan

_SAMPLED, _WHOLE = 1000, 0.95  # texts that are measured, and the share of them that is not cut
_TRIES = 50

Columns = Mapping[str, Sequence[str]]


def longest_text(base: EmbeddingModel, pairs: Sequence[Pair], plan: TrainingPlan) -> int:
    """Return how many tokens of a text are trained with, special tokens included."""
    if plan.max_tokens:
        return min(plan.max_tokens, base.max_tokens)
    texts = [pair.positive for pair in pairs]
    sample = random.Random(plan.seed).sample(texts, min(_SAMPLED, len(texts)))
    lengths = sorted(len(encoding.ids) for encoding in load_tokenizer(base).encode_batch(sample))
    whole = lengths[min(len(lengths) - 1, int(_WHOLE * len(lengths)))]
    return min(base.max_tokens, max(16, whole))


def columns_of(pairs: Sequence[Pair], negatives: int, seed: int, *, least: int = 0) -> dict[str, list[str]]:
    """Return the texts to train with: anchor, positive, and the same number of negatives for each pair.

    A pair with fewer mined negatives than that gets positives of other chunks in their place.

    Args:
        pairs: one row each.
        negatives: mined negatives a pair, if any pair has as many.
        seed: decides what stands in for missing negatives.
        least: negatives a pair even when none were mined.
    """
    count = max(least, min(negatives, max((len(pair.negatives) for pair in pairs), default=0)))
    chosen = [_negatives(pair, count, pairs, random.Random(f"{seed}/{row}")) for row, pair in enumerate(pairs)]
    columns = {"anchor": [pair.query for pair in pairs], "positive": [pair.positive for pair in pairs]}
    return columns | {f"negative_{n + 1}": [texts[n] for texts in chosen] for n in range(count)}


def order_of(pairs: Sequence[Pair], columns: Columns, plan: TrainingPlan, processes: int) -> list[list[int]]:
    """Return the batches of the whole training; `processes` in a row are one step.

    Raises:
        SettingError: the batch is too small for so many processes.
    """
    if plan.batch < 2 * processes:
        raise SettingError(f"training plan: batch = {plan.batch} is too small for {processes} GPUs: 2 pairs each")
    texts = zip(*columns.values(), strict=True)
    keys = [keys_of(pair, row) for pair, row in zip(pairs, texts, strict=True)]
    steps = max(1, round(plan.epochs * len(keys) / plan.batch))
    found = batches(keys, plan.batch, steps, seed=plan.seed)
    return [batch[process::processes] for batch in found for process in range(processes)]


def _negatives(pair: Pair, count: int, pairs: Sequence[Pair], choice: random.Random) -> list[str]:
    texts = list(pair.negatives[:count])
    for _ in range(count - len(texts)):
        tries = (choice.choice(pairs) for _ in range(_TRIES))
        texts.append(next((other.positive for other in tries if _are_apart(pair, other)), pairs[0].positive))
    return texts


def _are_apart(pair: Pair, other: Pair) -> bool:
    return other.positive != pair.positive and (not pair.chunk or other.chunk != pair.chunk)
