"""The chunks of a release: an Arrow file that is mapped, not loaded; a reader touches what it shows."""

from bisect import bisect_right
from collections.abc import Mapping
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from ragline.documents import Chunk
from ragline.tables import CHUNKS


class ChunkTable:
    """Chunks by row, and rows by chunk id; safe to share between threads.

    Example:
        >>> with ChunkTable(folder / "chunks.arrow") as chunks:  # doctest: +SKIP
        ...     chunk = chunks[0]
    """

    def __init__(self, path: Path) -> None:
        self._file = pa.memory_map(str(path))
        self.columns = pa.ipc.open_file(self._file).read_all()
        batches = self.columns.to_batches()
        self._starts = [0, *accumulate(batch.num_rows for batch in batches)]
        self._batches = [[batch.column(name) for name in CHUNKS.names] for batch in batches]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def __len__(self) -> int:
        return int(self.columns.num_rows)

    def __getitem__(self, row: int) -> Chunk:
        batch = bisect_right(self._starts, row) - 1  # a column of the whole table would look for its part each time
        return Chunk(*[column[row - self._starts[batch]].as_py() for column in self._batches[batch]])

    def ids(self) -> list[str]:
        """Return the ids of all chunks, in row order."""
        return list(self.columns["id"].to_pylist())

    @cached_property
    def rows(self) -> Mapping[str, int]:
        """The row of each chunk id; about 150 bytes a chunk, made when it is first asked for."""
        return {key: row for row, key in enumerate(self.ids())}


def write_chunk_table(chunks: Path, path: Path) -> None:
    """Write the chunks of a Parquet file uncompressed, as `ChunkTable` reads them."""
    with pq.ParquetFile(chunks) as file, pa.ipc.new_file(str(path), CHUNKS) as writer:
        for batch in file.iter_batches(batch_size=4096):
            writer.write_batch(batch.cast(CHUNKS))
