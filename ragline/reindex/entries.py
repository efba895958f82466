"""What the vector index knows of each chunk: its id and what a filter may ask for."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ragline.chunk_table import ChunkTable
from ragline.release import CHUNKS, DOCUMENTS
from ragline.tables import read_rows
from ragline.vector_store import Metadata

_RESERVED = frozenset({"source", "title", "section", "media_type", "chroma:document"})


@dataclass(frozen=True)
class Entries:
    """The entries of a release's vector index, in row order.

    Attributes:
        ids: of the chunks.
        own: per chunk, the document, title and section.
        facts: per document, what else a filter may ask for.
    """

    ids: list[str]
    own: list[tuple[str, str, str]]
    facts: Mapping[str, Mapping[str, Any]]
    _rows: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rows", {key: row for row, key in enumerate(self.ids)})

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the entries of a release, or of an index that becomes one."""
        facts = {row["id"]: _facts(row) for row in read_rows(folder / DOCUMENTS, ["id", "media_type", "metadata"])}
        with ChunkTable(folder / CHUNKS) as chunks:
            columns = [chunks.columns[name].to_pylist() for name in ("document", "title", "section")]
            return cls(chunks.ids(), list(zip(*columns, strict=True)), facts)

    def __len__(self) -> int:
        return len(self.ids)

    def row(self, key: str) -> int:
        """Return the row of a chunk id."""
        return self._rows[key]

    def metadata_of(self, row: int) -> Metadata:
        """Return what a filter may ask of the chunk in a row."""
        document, title, section = self.own[row]
        return {**self.facts[document], "source": document, "title": title, "section": section}

    def metadata(self) -> Iterator[Metadata]:
        """Yield what a filter may ask of each chunk."""
        return map(self.metadata_of, range(len(self)))

    def difference(self, after: Self) -> tuple[list[str], list[str], dict[str, tuple[Metadata, Metadata]]]:
        """Return the ids that are gone, the new ones, and those that stay with metadata before and after."""
        removed = [key for key in self.ids if key not in after._rows]
        added = [key for key in after.ids if key not in self._rows]
        changed = {}
        for row, key in enumerate(after.ids):
            before = self._rows.get(key)
            if before is not None and self._describe(before) != after._describe(row):
                changed[key] = (self.metadata_of(before), after.metadata_of(row))
        return removed, added, changed

    def _describe(self, row: int) -> tuple[Any, ...]:
        return (self.own[row], self.facts[self.own[row][0]])


def _facts(row: Mapping[str, Any]) -> dict[str, Any]:
    metadata = json.loads(row["metadata"])
    return {
        **{key: value for key, value in metadata.items() if key not in _RESERVED},
        "media_type": row["media_type"],
    }
