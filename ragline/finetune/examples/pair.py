"""A training pair (what someone may ask, and the text that answers it), and pairs as Parquet."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import pyarrow as pa

from ragline.tables import TableWriter, read_rows

Kind = Literal["title", "heading", "first sentence", "definition", "code", "crop", "question", "user"]
Split = Literal["train", "test"]

KINDS: tuple[Kind, ...] = ("title", "heading", "first sentence", "definition", "code", "crop", "question", "user")


@dataclass(frozen=True, slots=True)
class Pair:
    """One training pair.

    Attributes:
        query: what is asked.
        positive: the text a model reads that answers it; the query does not stand in it literally.
        chunk: id of the chunk that the positive comes from; "" when a user gave the text.
        document: id of that chunk's document; "" likewise.
        kind: what the query was made from; "question": by an LLM, "user": given by a user.
        split: whether it is trained on or measured with.
        negatives: texts that do not answer the query, hardest first.
    """

    query: str
    positive: str
    chunk: str
    document: str
    kind: Kind
    split: Split
    negatives: tuple[str, ...] = ()


PAIRS = pa.schema(
    [(f.name, pa.list_(pa.string()) if f.name == "negatives" else pa.string()) for f in fields(Pair)],
)


class PairWriter(TableWriter):
    """Write pairs to a Parquet file as a stream.

    Example:
        >>> with PairWriter(path) as writer:  # doctest: +SKIP
        ...     writer.write(pair)
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, PAIRS)

    def write(self, pair: Pair) -> None:
        """Add one pair."""
        self.write_row({name: getattr(pair, name) for name in PAIRS.names})
        self._grow(len(pair.positive) + sum(map(len, pair.negatives)))


def read_pairs(path: Path, split: Split | Literal[""] = "") -> Iterator[Pair]:
    """Yield the pairs that a `PairWriter` wrote, of one split or of both, in order."""
    for row in read_rows(path):
        if split in ("", row["split"]):
            yield Pair(**{**row, "negatives": tuple(row["negatives"])})
