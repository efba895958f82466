"""Vectors under the digest of what they were made from: nothing is embedded twice.

    vectors/<model digest>/<first byte>-<last byte>-<part>.keys      sha256 digests, 32 bytes each
    vectors/<model digest>/<first byte>-<last byte>-<part>.parquet   key, vector (float32)
    vectors/<model digest>/questions-<digest>.npy                    of the questions that calibrate a release

All indexes and runs share them. A part is written once and never changed; its `.keys` is written last, so
a part that a killed run left half-written is never seen. A part's name says which first bytes of digests
it may hold, so a shard of a run reads only the parts that concern it.
"""

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ragline import digests
from ragline.errors import IntegrityError, ObjectNotFoundError, SettingError
from ragline.object_store import ObjectStore

_KEY = np.dtype("S64")


@dataclass(frozen=True, slots=True)
class Shard:
    """The texts whose digest begins with a byte from `first` to `last`."""

    first: int = 0
    last: int = 255

    @classmethod
    def parse(cls, name: str) -> "Shard":
        """Read what `str(shard)` gives.

        Raises:
            SettingError: it is not the name of a shard.
        """
        first, _, last = name.partition("-")
        try:
            return cls(int(first, 16), int(last, 16))
        except ValueError as exc:
            raise SettingError(f"shard {name!r}: expected two hexadecimal bytes, as in 00-7f") from exc

    @classmethod
    def split(cls, count: int) -> "list[Shard]":
        """Return `count` shards of about equal size that cover all digests."""
        edges = [256 * index // count for index in range(count + 1)]
        return [cls(first, last - 1) for first, last in pairwise(edges)]

    def __str__(self) -> str:
        return f"{self.first:02x}-{self.last:02x}"

    def holds(self, digest: str) -> bool:
        """Tell whether a text with this digest belongs to the shard."""
        return self.first <= int(digest[:2], 16) <= self.last

    def overlaps(self, other: "Shard") -> bool:
        """Tell whether a digest could belong to both."""
        return self.first <= other.last and other.first <= self.last


class Vectors:
    """The vectors of one model in an object store.

    Example:
        >>> vectors = Vectors(store, model.digest)  # doctest: +SKIP
        >>> vectors.write(Shard(), ["<sha256 of a text>"], array)  # doctest: +SKIP
    """

    def __init__(self, store: ObjectStore, model_digest: str) -> None:
        self._store = store
        self._prefix = f"vectors/{model_digest}/"

    def known(self, shard: Shard) -> set[str]:
        """Return the digests in `shard` that have a vector."""
        keys = (key.decode() for part in self._parts(shard) for key in self._keys(part))
        return {key for key in keys if shard.holds(key)}

    def write(self, shard: Shard, keys: list[str], vectors: np.ndarray) -> None:
        """Store vectors: float32 [len(keys), dimensions], row by row the vector of the text with digest `keys[row]`."""
        name = f"{self._prefix}{shard}-{digests.of_text(' '.join(keys))[:16]}"
        with tempfile.TemporaryDirectory(prefix="ragline-") as folder:
            path = Path(folder) / "part.parquet"
            flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).ravel())
            column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
            table = pa.table({"key": pa.array(keys), "vector": column})
            pq.write_table(table, path, compression="none", use_dictionary=False)
            self._store.upload(f"{name}.parquet", path)
        self._store.write(f"{name}.keys", b"".join(map(bytes.fromhex, keys)))

    def read(self, keys: list[str], out: np.ndarray) -> None:
        """Fill `out`, float32 [len(keys), dimensions], with the vectors of `keys`; equal keys may repeat.

        Raises:
            IntegrityError: a key has no vector.
        """
        wanted = np.array(keys, dtype=_KEY)
        order = np.argsort(wanted, kind="stable")
        ordered = wanted[order]
        missing = np.ones(len(keys), dtype=bool)
        for part in self._parts(Shard()):
            if missing.any() and _counts(self._keys(part), ordered)[1].any():
                for part_keys, rows in self._rows(part):
                    _scatter(part_keys, rows, ordered, order, missing, out)
        if missing.any():
            raise IntegrityError(
                f"{int(missing.sum())} of {len(keys)} chunks have no vector under {self._store.uri}/{self._prefix}; "
                "run the embed step again"
            )

    def kept(self, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return an array of vectors that is kept under a name; the first who asks makes it."""
        key = f"{self._prefix}{name}.npy"
        with suppress(ObjectNotFoundError), io.BytesIO(self._store.read(key)) as file:
            return np.asarray(np.load(file))
        made, file = make(), io.BytesIO()
        np.save(file, made)
        self._store.write(key, file.getvalue())
        return made

    def _parts(self, shard: Shard) -> Iterator[str]:
        for info in self._store.list(self._prefix):
            name = info.key.removeprefix(self._prefix)
            if name.endswith(".keys") and Shard.parse(name[:5]).overlaps(shard):
                yield info.key.removesuffix(".keys")

    def _keys(self, part: str) -> np.ndarray:
        data = self._store.read(f"{part}.keys")
        return np.array([data[at : at + 32].hex() for at in range(0, len(data), 32)], dtype=_KEY)

    def _rows(self, part: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        with tempfile.TemporaryDirectory(prefix="ragline-") as folder:
            path = Path(folder) / "part.parquet"
            self._store.download(f"{part}.parquet", path)
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=4096):
                    width = batch.schema.field("vector").type.list_size
                    vectors = batch["vector"].flatten().to_numpy().reshape(-1, width)
                    yield np.array(batch["key"].to_pylist(), dtype=_KEY), vectors


def _counts(keys: np.ndarray, ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each key begins in `ordered`, and how often it stands there."""
    low = np.searchsorted(ordered, keys, "left")
    return low, np.searchsorted(ordered, keys, "right") - low


def _scatter(
    keys: np.ndarray, rows: np.ndarray, ordered: np.ndarray, order: np.ndarray, missing: np.ndarray, out: np.ndarray
) -> None:
    """Copy each row to all places in `out` whose key it has."""
    low, counts = _counts(keys, ordered)
    sources = np.repeat(np.arange(len(keys)), counts)
    offsets = np.arange(len(sources)) - np.repeat(np.cumsum(counts) - counts, counts)
    places = order[low[sources] + offsets]
    out[places] = rows[sources]
    missing[places] = False
