"""The chunks of a release: an Arrow file that is mapped, not loaded; a reader touches what it shows."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
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

    def rows(self, ids: Iterable[str]) -> dict[str, int]:
        """Return the rows of chunk ids, all of which must be there."""
        wanted = list(ids)
        order, ordered = self._order
        places = order[np.searchsorted(ordered, np.array(wanted, dtype=ordered.dtype))]
        return dict(zip(wanted, places.tolist(), strict=True))

    @cached_property
    def _order(self) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers in the order of the ids, and the ids in that order: 40 bytes a chunk."""
        ids = np.array(self.ids(), dtype=np.bytes_)
        order = np.argsort(ids)
        return order, ids[order]


def write_chunk_table(chunks: Path, path: Path) -> None:
    """Write the chunks of a Parquet file uncompressed, as `ChunkTable` reads them."""
    with pq.ParquetFile(chunks) as file, pa.ipc.new_file(str(path), CHUNKS) as writer:
        for batch in file.iter_batches(batch_size=4096):
            writer.write_batch(batch.cast(CHUNKS))
