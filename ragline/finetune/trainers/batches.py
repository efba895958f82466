"""Batches without two rows that would be each other's false negatives."""

import random
from collections import deque
from collections.abc import Iterator, Sequence

from ragline.finetune.examples.pair import Pair

Keys = frozenset[str]


def keys_of(pair: Pair, texts: Sequence[str]) -> Keys:
    """Return what no two rows of a batch may share: a text, or the chunk that the positive comes from.

    In a batch every other row's texts are negatives. A text that stands in two rows, or a second crop of the
    same chunk, would be a negative of the query that it answers.
    """
    return frozenset((*texts, f"\0{pair.chunk}")) if pair.chunk else frozenset(texts)


def batches(keys: Sequence[Keys], size: int, count: int, *, seed: int) -> list[list[int]]:
    """Return `count` batches of row numbers, shuffled anew on each pass over the rows.

    Args:
        keys: for each row, what no other row of its batch may have.
        size: rows a batch; when no full batch can be made, the largest that can.
        count: how many batches.
        seed: decides the order; the same seed gives the same batches.
    """
    result: list[list[int]] = []
    epoch = 0
    while len(result) < count:
        result += _epoch(keys, size, random.Random(f"{seed}/{epoch}"))
        epoch += 1
    return result[:count]


def _epoch(keys: Sequence[Keys], size: int, shuffle: random.Random) -> list[list[int]]:
    rows = list(range(len(keys)))
    shuffle.shuffle(rows)
    found = list(_distinct(deque(rows), keys, size))
    return [batch for batch in found if len(batch) == size] or [max(found, key=len)]


def _distinct(waiting: deque[int], keys: Sequence[Keys], size: int) -> Iterator[list[int]]:
    """Yield batches; a row that does not go with its batch is the first to be tried for the next."""
    while waiting:
        batch: list[int] = []
        later: list[int] = []
        used: set[str] = set()
        while waiting and len(batch) < size:
            row = waiting.popleft()
            if used.isdisjoint(keys[row]):
                batch.append(row)
                used |= keys[row]
            else:
                later.append(row)
        waiting.extendleft(reversed(later))
        yield batch
