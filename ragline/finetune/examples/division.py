"""Which documents are trained on and which are measured with: near duplicates on the same side, so nothing leaks."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from ragline.documents import Chunk
from ragline.finetune.examples.chance import draw
from ragline.finetune.examples.likeness import bands_of, groups_of
from ragline.finetune.examples.pair import Split
from ragline.tables import read_chunks

_ALIKE = 0.3
"""Share of the smaller document's chunks that make two documents near duplicates."""
_CROWD = 8
"""Of text that more documents share, each is compared with the first only: it is boilerplate."""


@dataclass(frozen=True)
class Division:
    """The sides of all documents, and the chunks that may give pairs.

    Attributes:
        splits: side of each document.
        duplicates: ids of the chunks of which no pair may be made: of near duplicates all but one, and all where
            they stand on both sides.
        sides: of texts (by their bands), for texts that come from elsewhere.
    """

    splits: dict[str, Split]
    duplicates: frozenset[str]
    sides: dict[int, Split]

    def side_of(self, text: str) -> Split | None:
        """Return the side of the documents that hold nearly this text, if any does."""
        return next((self.sides[band] for band in bands_of(text).tolist() if band in self.sides), None)


class _Rows:
    """What is remembered of the chunks: about 100 bytes each."""

    def __init__(self, chunks: Iterable[Chunk]) -> None:
        self.documents: list[str] = []
        numbers, owners, ids, bands = dict[str, int](), list[int](), list[bytes](), list[np.ndarray]()
        for chunk in chunks:
            owners.append(numbers.setdefault(chunk.document, len(numbers)))
            ids.append(chunk.id.encode())
            bands.append(bands_of(chunk.text))
        self.documents = list(numbers)
        self.owners = np.array(owners, dtype=np.int64)
        self.ids = np.array(ids, dtype=np.bytes_)
        self.bands = np.array(bands, dtype=np.uint64).reshape(len(ids), -1)


def divide(chunks: Path, *, seed: int, test_share: float) -> Division:
    """Divide the documents of a table of chunks; the same for the same documents and seed, whatever their order.

    Args:
        chunks: Parquet of all chunks.
        seed: another seed gives another division.
        test_share: of the chunks, about this share goes to the test side.
    """
    rows = _Rows(read_chunks(chunks))
    groups = groups_of(rows.bands) if len(rows.ids) else np.zeros(0, dtype=np.int64)
    sizes = np.bincount(rows.owners, minlength=len(rows.documents))
    families = _families(rows, groups, sizes)
    tested = _tested(families, dict(zip(rows.documents, sizes.tolist(), strict=True)), seed, test_share)
    splits: dict[str, Split] = {name: "test" if name in tested else "train" for name in rows.documents}
    test_rows = [row for row, owner in enumerate(rows.owners.tolist()) if rows.documents[owner] in tested]
    sides: dict[int, Split] = dict.fromkeys(rows.bands[test_rows].ravel().tolist(), "test")
    return Division(splits, _duplicates(rows, groups, splits), sides)


def _families(rows: _Rows, groups: np.ndarray, sizes: np.ndarray) -> dict[str, str]:
    """Return for each document the first, by id, of those it is a near duplicate of, over any number of steps."""
    shared: Counter[tuple[str, str]] = Counter()
    for members in _members(groups):
        names = sorted({rows.documents[rows.owners[row]] for row in members})
        shared.update(combinations(names, 2) if len(names) <= _CROWD else ((names[0], name) for name in names[1:]))
    size = dict(zip(rows.documents, sizes.tolist(), strict=True))
    heads = {name: name for name in rows.documents}
    for (first, second), count in shared.items():
        if count >= _ALIKE * min(size[first], size[second]):
            low, high = sorted((_head(heads, first), _head(heads, second)))
            heads[high] = low
    return {name: _head(heads, name) for name in heads}


def _head(heads: dict[str, str], name: str) -> str:
    while heads[name] != name:
        name = heads[name]
    return name


def _members(groups: np.ndarray) -> Iterator[list[int]]:
    """Yield the rows of each group that has more than one."""
    order = np.argsort(groups, kind="stable")
    edges = np.flatnonzero(np.diff(groups[order], prepend=-1, append=-1))
    large = np.flatnonzero(np.diff(edges) > 1)
    for first, behind in zip(edges[large].tolist(), edges[large + 1].tolist(), strict=True):
        yield order[first:behind].tolist()


def _tested(families: dict[str, str], sizes: dict[str, int], seed: int, share: float) -> set[str]:
    """Choose families by their draw until the share is reached; one that is half of it alone only if it must be."""
    members: dict[str, list[str]] = defaultdict(list)
    for name, head in families.items():
        members[head].append(name)
    wanted, reached, chosen = share * sum(sizes.values()), 0, set[str]()
    large = {head: sum(map(sizes.__getitem__, names)) > wanted / 2 for head, names in members.items()}
    for head in sorted(members, key=lambda name: (large[name], draw(seed, "split", name), name)):
        if reached >= wanted or len(chosen) + len(members[head]) > len(sizes) / 2:
            break
        chosen.update(members[head])
        reached += sum(map(sizes.__getitem__, members[head]))
    return chosen


def _duplicates(rows: _Rows, groups: np.ndarray, splits: dict[str, Split]) -> frozenset[str]:
    duplicates = set[str]()
    for members in _members(groups):
        ids = sorted(rows.ids[row].decode() for row in members)
        sides = {splits[rows.documents[rows.owners[row]]] for row in members}
        duplicates.update(ids if len(sides) > 1 else ids[1:])
    return frozenset(duplicates)
