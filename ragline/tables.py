"""Documents and chunks as Parquet, written and read as streams.

Memory does not grow with the number of rows: a writer flushes a row group when it holds `ROW_GROUP_BYTES`
of text, a reader holds one row group.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from ragline.documents import Chunk, Document, Heading, Loaded

ROW_GROUP_BYTES = 4 << 20

_SPAN = pa.struct([("start", pa.int64()), ("end", pa.int64())])
_HEADING = pa.struct([("start", pa.int64()), ("level", pa.int32()), ("title", pa.string())])

DOCUMENTS = pa.schema(
    [
        ("id", pa.string()),
        ("digest", pa.string()),
        ("title", pa.string()),
        ("text", pa.string()),
        ("media_type", pa.string()),
        ("metadata", pa.string()),
        ("headings", pa.list_(_HEADING)),
        ("blocks", pa.list_(_SPAN)),
        ("row", pa.string()),
    ]
)
CHUNKS = pa.schema(
    [(f.name, pa.int64() if f.name in {"start", "end", "tokens"} else pa.string()) for f in fields(Chunk)]
)


class TableWriter:
    """Write rows (dicts) to a Parquet file in row groups of bounded size."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", compression_level=1)
        self._rows: list[dict[str, Any]] = []
        self._tables: list[pa.Table] = []
        self._bytes = 0

    def write_row(self, row: dict[str, Any]) -> None:
        """Add one row."""
        self._rows.append(row)
        self._grow(len(row.get("text", "")) + 200)

    def write_table(self, table: pa.Table) -> None:
        """Add rows that are in a table of this schema already."""
        self._gather_rows()
        self._tables.append(table)
        self._grow(table.nbytes)

    def _grow(self, size: int) -> None:
        self._bytes += size
        if self._bytes >= ROW_GROUP_BYTES:
            self._flush()

    def _gather_rows(self) -> None:
        if self._rows:
            self._tables.append(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []

    def _flush(self) -> None:
        self._gather_rows()
        if self._tables:
            self._writer.write_table(pa.concat_tables(self._tables))
        self._tables, self._bytes = [], 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self._flush()
        self._writer.close()


class DocumentWriter(TableWriter):
    """Write documents to a Parquet file as a stream.

    Example:
        >>> with DocumentWriter(path) as writer:  # doctest: +SKIP
        ...     writer.write(document)
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, DOCUMENTS)

    def write(self, document: Document) -> None:
        """Add one document."""
        content = document.content
        self.write_row(
            {
                "id": document.id,
                "digest": document.digest,
                "title": content.title,
                "text": content.text,
                "media_type": content.media_type,
                "metadata": json.dumps(dict(content.metadata), ensure_ascii=False, sort_keys=True),
                "headings": [
                    {"start": heading.start, "level": heading.level, "title": heading.title}
                    for heading in content.headings
                ],
                "blocks": [{"start": start, "end": end} for start, end in content.blocks],
                "row": content.row,
            }
        )


class ChunkWriter(TableWriter):
    """Write chunks to a Parquet file as a stream."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, CHUNKS)

    def write(self, chunk: Chunk) -> None:
        """Add one chunk."""
        self.write_row({name: getattr(chunk, name) for name in CHUNKS.names})


def read_rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file as dicts, one batch in memory at a time."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1024, columns=columns):
            yield from batch.to_pylist()


def count_rows(path: Path) -> int:
    """Return the number of rows, from the file's footer."""
    return int(pq.read_metadata(path).num_rows)


def read_documents(path: Path) -> Iterator[Document]:
    """Yield the documents that a `DocumentWriter` wrote."""
    for batch in read_batches(path):
        yield from batch_documents(batch)


def read_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield documents as batches of a few, for those who need only some of them: `batch_documents` decodes."""
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=64)


def batch_documents(batch: pa.RecordBatch) -> list[Document]:
    """Return the documents of a batch."""
    return list(map(_document, batch.to_pylist()))


def read_chunks(path: Path, digests: Collection[str] | None = None) -> Iterator[Chunk]:
    """Yield the chunks that a `ChunkWriter` wrote: those whose text has one of `digests`, looked up as they come."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1024):
            if digests is not None:
                batch = batch.filter(pa.array([digest in digests for digest in batch["digest"].to_pylist()]))
            for row in batch.to_pylist():
                yield Chunk(**row)


def _document(row: dict[str, Any]) -> Document:
    content = Loaded(
        text=row["text"],
        title=row["title"],
        headings=tuple(Heading(**heading) for heading in row["headings"]),
        blocks=tuple((span["start"], span["end"]) for span in row["blocks"]),
        media_type=row["media_type"],
        metadata=json.loads(row["metadata"]),
        row=row["row"],
    )
    return Document(row["id"], row["digest"], content)
