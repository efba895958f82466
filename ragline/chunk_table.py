"""The chunks of a release: an Arrow file that is mapped, not loaded; a reader touches what it shows."""

from collections.abc import Mapping
from functools import cached_property
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
        return Chunk(**{name: self.columns[name][row].as_py() for name in CHUNKS.names})

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
