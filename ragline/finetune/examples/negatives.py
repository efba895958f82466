"""Hard negatives: passages that look like an answer, to a model and by their words, and are none."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np

from ragline import digests
from ragline.chunk_table import ChunkTable, write_chunk_table
from ragline.chunking import PATH
from ragline.embedding.embedder import Embedder
from ragline.embedding.model import find_model
from ragline.errors import InputError, SettingError
from ragline.finetune.examples.likeness import bands_of
from ragline.finetune.examples.pair import Pair, PairWriter, read_pairs
from ragline.finetune.examples.scrubbing import key_of, passage_text
from ragline.lexical import LexicalIndex, build_lexical
from ragline.object_store import open_store
from ragline.progress import progress
from ragline.tables import ChunkWriter, count_rows, read_chunks
from ragline.vectors import Shard, Vectors

MARGIN = 0.05
"""How much less similar to the query than its own passage a negative must be, as a share of that similarity."""

_DENSE, _LEXICAL = 48, 24
"""How many of the nearest passages are looked at, by vectors and by words."""
_FUSION = 60
"""A candidate's hardness is the sum of 1 / (rank + this), as in reciprocal rank fusion."""
_SAME = 0.95
"""Two passages that are more similar than this say the same."""
_QUERIES = 256
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class MinedSet:
    """What mining gave.

    Attributes:
        digest: sha256 of the table.
        pairs: how many there are.
        negatives: how many they have together.
        without: training pairs for which none was found.
        left_out: how many candidates were taken for answers, by reason.
        model_digest: of the embedder that mined.
        embedded: how many passages were embedded for it; the others' vectors were in the store.
    """

    digest: str
    pairs: int
    negatives: int
    without: int
    left_out: dict[str, int]
    model_digest: str
    embedded: int


def mine_negatives(
    pairs: Path,
    chunks: Path,
    mined: Path,
    *,
    embedder: str,
    count: int = 4,
    margin: float = MARGIN,
    store_uri: str = "",
) -> MinedSet:
    """Write the pairs again, those of the training split with negatives, hardest first.

    A candidate is left out when it is of the positive's own section, says nearly the same, holds the query
    literally, or is about as similar to the query as the passage that the positive comes from. Passages of
    documents that are measured with are no candidates.

    Args:
        pairs: Parquet of `PairWriter`.
        chunks: Parquet of the chunks they were made of.
        mined: Parquet to write.
        embedder: name of the model that mines: the one in use.
        count: most negatives of a pair.
        margin: share by which a negative must be less similar to the query than the positive's passage.
        store_uri: where vectors of the chunks may be already; "" embeds all.

    Raises:
        SettingError: count or margin makes no sense.
        ModelError: there is no such embedder.
        InputError: no chunks are left to choose from.
    """
    if not 1 <= count <= 32:
        raise SettingError(f"negatives: {count} for each pair; choose 1 to 32")
    if not 0 <= margin < 1:
        raise SettingError(f"margin {margin}: choose 0 to 1, a share of the positive's similarity")
    model = Embedder(find_model(embedder))
    measured = {pair.document for pair in read_pairs(pairs, "test") if pair.document}
    with (
        tempfile.TemporaryDirectory(prefix="ragline-") as folder,
        _Pool.build(Path(folder), chunks, measured, model, store_uri) as pool,
    ):
        miner = _Miner(pool, model, count, margin, _positives(pairs))
        total = without = negatives = 0
        with PairWriter(mined) as writer, progress("negatives", total=count_rows(pairs), unit="pairs") as step:
            for pair in miner.mine(read_pairs(pairs)):
                writer.write(pair)
                total, negatives = total + 1, negatives + len(pair.negatives)
                without += pair.split == "train" and not pair.negatives
                step.advance()
        left_out = dict(sorted(miner.left_out.items()))
        digest = digests.of_file(mined)
        return MinedSet(digest, total, negatives, without, left_out, model.model.digest, pool.embedded)


class _Pool:
    """The passages to choose from: on disk, their vectors too; 50 bytes each in memory."""

    def __init__(self, table: ChunkTable, lexical: LexicalIndex, vectors: np.ndarray, embedded: int) -> None:
        self.table = table
        self.lexical = lexical
        self.vectors = vectors
        self.embedded = embedded
        self.rows = {key: row for row, key in enumerate(table.ids())}
        self.bands = np.array([bands_of(text.as_py()) for text in table.columns["text"]], dtype=np.uint64)

    @classmethod
    def build(cls, folder: Path, chunks: Path, without: set[str], model: Embedder, store_uri: str) -> "_Pool":
        """Gather the passages of all documents but some."""
        with ChunkWriter(folder / "chunks.parquet") as writer:
            for chunk in read_chunks(chunks):
                if chunk.document not in without:
                    writer.write(chunk)
        write_chunk_table(folder / "chunks.parquet", folder / "chunks.arrow")
        (folder / "lexical").mkdir()
        if not build_lexical(folder / "lexical", read_chunks(folder / "chunks.parquet")):
            raise InputError(f"{chunks} holds no chunk of a document that is trained with: make the pairs again")
        table = ChunkTable(folder / "chunks.arrow")
        shape = (len(table), model.model.dimensions)
        vectors: np.ndarray = np.memmap(folder / "vectors", dtype=np.float32, mode="w+", shape=shape)
        embedded = _fill(vectors, folder / "chunks.parquet", model, store_uri)
        return cls(table, LexicalIndex(folder / "lexical"), vectors, embedded)

    def __enter__(self) -> "_Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self.table.close()

    def value(self, column: str, row: int) -> str:
        """Return one value of a passage."""
        return str(self.table.columns[column][row].as_py())

    def nearest(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return similarities and rows of the nearest passages, best first: each [queries, at most count]."""
        best = np.zeros((len(queries), 0), dtype=np.float32)
        rows = np.zeros((len(queries), 0), dtype=np.int64)
        for start in range(0, len(self.vectors), _BLOCK):
            scores = np.round(queries @ self.vectors[start : start + _BLOCK].T, 5)
            here = np.broadcast_to(np.arange(start, start + scores.shape[1]), scores.shape)
            scores, here = np.hstack([best, scores]), np.hstack([rows, here])
            order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
            best, rows = np.take_along_axis(scores, order, 1), np.take_along_axis(here, order, 1)
        return best, rows


@dataclass
class _Miner:
    pool: _Pool
    model: Embedder
    count: int
    margin: float
    positives: dict[str, str]
    left_out: Counter[str] = field(default_factory=Counter)

    def mine(self, pairs: Iterator[Pair]) -> Iterator[Pair]:
        """Yield the pairs in order, those to train with with their negatives."""
        while batch := list(islice(pairs, _QUERIES)):
            trained = [pair for pair in batch if pair.split == "train"]
            if not trained:
                yield from batch
                continue
            queries = self.model.embed([pair.query for pair in trained])
            own = self._own_vectors(trained)
            scores, rows = self.pool.nearest(queries, _DENSE)
            found = (
                replace(pair, negatives=self._negatives(pair, queries[at], own[at], scores[at], rows[at]))
                for at, pair in enumerate(trained)
            )
            yield from (next(found) if pair.split == "train" else pair for pair in batch)

    def _own_vectors(self, pairs: Sequence[Pair]) -> np.ndarray:
        """Return the vectors of the passages that the positives come from, the queries' words still in them."""
        vectors = np.zeros((len(pairs), self.pool.vectors.shape[1]), dtype=np.float32)
        texts = [at for at, pair in enumerate(pairs) if pair.chunk not in self.pool.rows]
        if texts:
            vectors[texts] = self.model.embed([pairs[at].positive for at in texts])
        for at, pair in enumerate(pairs):
            if pair.chunk in self.pool.rows:
                vectors[at] = self.pool.vectors[self.pool.rows[pair.chunk]]
        return vectors

    def _negatives(
        self, pair: Pair, query: np.ndarray, own: np.ndarray, scores: np.ndarray, rows: np.ndarray
    ) -> tuple[str, ...]:
        limit = float(query @ own) * (1 - self.margin)
        similar = dict(zip(rows.tolist(), scores.tolist(), strict=True))
        taken, bands = list[str](), set(bands_of(pair.positive).tolist())
        if pair.chunk in self.pool.rows:
            bands.update(self.pool.bands[self.pool.rows[pair.chunk]].tolist())
        for row in self._hardest(pair.query, rows.tolist()):
            score = similar[row] if row in similar else float(query @ self.pool.vectors[row])
            if reason := self._answers(pair, row, score > limit, own, bands):
                self.left_out[reason] += 1
                continue
            bands.update(self.pool.bands[row].tolist())
            taken.append(self._text(row))
            if len(taken) == self.count:
                break
        return tuple(taken)

    def _text(self, row: int) -> str:
        """Return a passage as it stands in a pair: had only answers lost their headings, that would tell them."""
        return self.positives.get(self.pool.value("id", row)) or passage_text(self.pool.table[row])

    def _hardest(self, query: str, dense: list[int]) -> list[int]:
        """Return candidates by their ranks among vectors and words."""
        lexical = list(self.pool.lexical.search(query, _LEXICAL))
        hardness = Counter[int]()
        for ranked in (dense, lexical):
            for rank, row in enumerate(ranked):
                hardness[row] += 1 / (_FUSION + rank)  # type: ignore[assignment] # counters hold any number
        return sorted(hardness, key=lambda row: (-hardness[row], self.pool.value("id", row)))

    def _answers(self, pair: Pair, row: int, similar: bool, own: np.ndarray, bands: set[int]) -> str:
        """Return why a candidate may well answer the query; "" when it does not."""
        if self.pool.value("document", row) == pair.document and self._same_section(pair, row):
            return "same section"
        if not bands.isdisjoint(self.pool.bands[row].tolist()) or float(own @ self.pool.vectors[row]) > _SAME:
            return "near duplicate"
        if similar:
            return "as similar as the positive"
        text = f"{self.pool.value('title', row)} {self.pool.value('section', row)} {self.pool.value('text', row)}"
        return "holds the query" if key_of(pair.query) in key_of(text) else ""

    def _same_section(self, pair: Pair, row: int) -> bool:
        """Tell whether a passage of the same document is in the positive's section, or one below or above it."""
        if pair.chunk not in self.pool.rows:
            return True
        first, second = (self.pool.value("section", at).split(PATH) for at in (row, self.pool.rows[pair.chunk]))
        common = min(len(first), len(second))
        return first[:common] == second[:common] or first == [""] or second == [""]


def _positives(pairs: Path) -> dict[str, str]:
    """Return the first positive that was made of each chunk."""
    positives = dict[str, str]()
    for pair in read_pairs(pairs, "train"):
        positives.setdefault(pair.chunk, pair.positive)
    return positives


def _fill(out: np.ndarray, chunks: Path, model: Embedder, store_uri: str) -> int:
    """Write the vector of each chunk to its row; return how many were not in the store."""
    keys = [chunk.digest for chunk in read_chunks(chunks)]
    vectors = Vectors(open_store(store_uri), model.model.digest) if store_uri else None
    known = vectors.known(Shard()) if vectors else set[str]()
    there = [row for row, key in enumerate(keys) if key in known]
    if vectors and there:
        stored = np.empty((len(there), out.shape[1]), dtype=np.float32)
        vectors.read([keys[row] for row in there], stored)
        out[there] = stored
    with progress("embed", total=len(keys) - len(there), unit="texts") as step:
        for rows, texts in _missing(chunks, known):
            out[rows] = model.embed(texts, advance=step.advance)
    return len(keys) - len(there)


def _missing(chunks: Path, known: set[str]) -> Iterator[tuple[list[int], list[str]]]:
    missing = ((row, passage_text(chunk)) for row, chunk in enumerate(read_chunks(chunks)) if chunk.digest not in known)
    while batch := list(islice(missing, 4096)):
        yield [row for row, _ in batch], [text for _, text in batch]
