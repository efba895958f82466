"""Cut the documents of a snapshot into chunks; what is unchanged is cut as in the current release."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ragline import chunking, digests, loaders
from ragline.chunking import Chunker, ChunkSize
from ragline.documents import Document
from ragline.embedding.embedder import load_tokenizer
from ragline.embedding.model import find_model
from ragline.progress import progress
from ragline.reindex.earlier import EarlierChunks, open_earlier
from ragline.tables import ChunkWriter, batch_documents, count_rows, read_batches


@dataclass(frozen=True, slots=True)
class ChunkSet:
    """What chunking made.

    Attributes:
        digest: sha256 over the chunks in order, and the digest of the chunker.
        chunks: how many.
        model_digest: of the embedder whose tokenizer cut them.
        reused: how many of them were taken from the current release.
    """

    digest: str
    chunks: int
    model_digest: str
    reused: int


def chunk_documents(
    documents: Path,
    chunks: Path,
    *,
    embedder: str,
    size: int = 200,
    overlap: int = 0,
    store_uri: str = "",
    name: str = "default",
) -> ChunkSet:
    """Write the chunks of all documents to a table, one document in memory at a time.

    The result does not depend on the current release: it only saves the work of cutting the same bytes again.

    Args:
        documents: Parquet of `ragline.tables.DocumentWriter`.
        chunks: Parquet to write, for `ragline.tables.read_chunks`.
        embedder: whose tokenizer counts, and whose longest input is the limit.
        size: most tokens of a chunk's text.
        overlap: most tokens repeated from the chunk before.
        store_uri: where the current release is; "" cuts everything.
        name: of the index.

    Raises:
        ModelError: there is no such embedder.
        SettingError: the sizes do not fit it.
    """
    model = find_model(embedder)
    chunk_size = ChunkSize(text=size, overlap=overlap, whole=model.max_tokens)
    chunker_digest = digest_of_chunker(model.digest, size, overlap)
    with open_earlier(store_uri, name, chunker_digest) as earlier, _Writer(chunks, chunker_digest, earlier) as writer:
        chunker: Chunker | None = None
        with progress("chunk", total=count_rows(documents), unit="documents") as step:
            for batch in read_batches(documents):
                for row, key in enumerate(zip(batch["id"].to_pylist(), batch["digest"].to_pylist(), strict=True)):
                    if not writer.reuse(*key):
                        chunker = chunker or Chunker(load_tokenizer(model), chunk_size)
                        (document,) = batch_documents(batch.slice(row, 1))
                        writer.write(chunker, document)
                    step.advance()
    return ChunkSet(writer.digest.hexdigest(), writer.count, model.digest, writer.reused)


def digest_of_chunker(model_digest: str, size: int, overlap: int) -> str:
    """Return the digest of all that decides how the same bytes are cut."""
    return digests.of_json([chunking.VERSION, loaders.VERSION, model_digest, size, overlap])


class _Writer:
    """Writes chunks, new and reused, in the order of the documents, and keeps count."""

    def __init__(self, path: Path, chunker_digest: str, earlier: EarlierChunks) -> None:
        self._table = ChunkWriter(path)
        self._earlier = earlier
        self._span = (0, 0)
        self.digest = hashlib.sha256(chunker_digest.encode())
        self.count = self.reused = 0

    def __enter__(self) -> Self:
        self._table.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self._copy()
        self._table.__exit__(kind, error, tb)

    def reuse(self, document: str, digest: str) -> bool:
        """Take the chunks of an unchanged document from the current release; tell whether it has them."""
        span = self._earlier.span(document, digest)
        if span is None:
            return False
        first, behind = self._span
        if span[0] != behind:  # neighbours are copied together
            self._copy()
            first = span[0]
        self._span = (first, span[1])
        return True

    def write(self, chunker: Chunker, document: Document) -> None:
        """Cut a document."""
        self._copy()
        for chunk in chunker.chunks(document):
            self._table.write(chunk)
            self._count(chunk.id, chunk.digest)

    def _copy(self) -> None:
        table = self._earlier.rows(*self._span)
        self._span = (0, 0)
        if table.num_rows:
            self._table.write_table(table)
            self.reused += table.num_rows
            for key in zip(table["id"].to_pylist(), table["digest"].to_pylist(), strict=True):
                self._count(*key)

    def _count(self, chunk: str, digest: str) -> None:
        self.digest.update(f"{chunk}{digest}".encode())
        self.count += 1
