"""The vectors of a release by row: a file of float16 that is mapped, and searched exactly where it is small.

Chroma gives vectors back as lists of Python numbers, which took two thirds of a hybrid search; a row of this table is
read in microseconds. Rounded to float16, a cosine deviates by about 0.00001 (docs/decisions/0004).
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

EXACT_BYTES = 64 << 20
"""A table of at most so many bytes, as float32, is searched row by row: up to there that takes less time than a graph,
and finds all."""

_BLOCK = 8192
_STEP = 16
_QUESTIONS = 64


class VectorTable:
    """Vectors in row order; safe to share between threads.

    Attributes:
        rows: float16 [chunks, dimensions], each of length 1.

    Example:
        >>> table = VectorTable.read(folder / "vectors.f16.npy")  # doctest: +SKIP
        >>> table.of_rows([3, 5]) @ question_vector  # doctest: +SKIP
        array([0.61, 0.34], dtype=float32)
    """

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows
        self.is_small = rows.size * 4 <= EXACT_BYTES

    @classmethod
    def read(cls, path: Path) -> Self:
        """Map the file that `write_vector_table` wrote."""
        return cls(np.load(path, mmap_mode="r"))

    def __len__(self) -> int:
        return len(self.rows)

    def of_rows(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the vectors of some rows: float32 [len(rows), dimensions]."""
        return np.asarray(self.rows[np.asarray(rows, np.intp)], np.float32)

    def nearest(self, vectors: np.ndarray, limit: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield, for each of `vectors`, the `limit` nearest rows in no order, and the cosines of all rows.

        Only for a small table: it is then kept in memory as float32.
        """
        count = min(limit, len(self))
        for start in range(0, len(vectors), _QUESTIONS):
            for scores in np.asarray(vectors[start : start + _QUESTIONS], np.float32) @ self._whole.T:
                yield _highest(scores, count), scores

    @cached_property
    def _whole(self) -> np.ndarray:
        return np.asarray(self.rows, np.float32)


def _highest(scores: np.ndarray, count: int) -> np.ndarray:
    """Return the places of the `count` highest scores, in no order."""
    sample = scores[::_STEP]
    kept = 2 * count // _STEP + 1
    if kept < len(sample):  # a sample tells about where they begin, which spares most of the work
        places = np.flatnonzero(scores >= np.partition(sample, -kept)[-kept])
        if len(places) >= count:
            return places[np.argpartition(scores[places], len(places) - count)[len(places) - count :]]
    return np.argpartition(scores, len(scores) - count)[len(scores) - count :]


def write_vector_table(vectors: np.ndarray, path: Path) -> None:
    """Write float32 [chunks, dimensions], which may be memory-mapped, as a table."""
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=vectors.shape)
    for start in range(0, len(vectors), _BLOCK):
        out[start : start + _BLOCK] = vectors[start : start + _BLOCK]
    out.flush()
