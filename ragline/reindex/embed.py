"""Embed the texts of one shard that have no vector yet."""

import logging
from collections.abc import Iterator
from pathlib import Path

from ragline.chunking import Chunker, ChunkSize
from ragline.documents import Chunk
from ragline.embedding.embedder import Embedder, load_tokenizer
from ragline.embedding.model import find_model
from ragline.errors import ModelError
from ragline.object_store import open_store
from ragline.progress import Step, progress
from ragline.tables import read_chunks, read_rows
from ragline.vectors import Shard, Vectors

_log = logging.getLogger(__name__)

PART = 8192
"""Vectors per stored part: what a killed run can lose."""


def embed_shard(
    chunks: Path, shard: str, *, store_uri: str, embedder: str, model_digest: str, size: int, overlap: int
) -> int:
    """Embed what is missing and return how many texts that were.

    Args:
        chunks: Parquet of all chunks.
        shard: which texts are ours, as `ragline.vectors.Shard` writes it.
        store_uri: where the vectors go.
        embedder: name of the model.
        model_digest: of the model that cut the chunks; another one is refused.
        size: as the chunks were cut.
        overlap: as the chunks were cut.

    Raises:
        ModelError: the embedder is not the one that the chunks were cut for.
    """
    part, vectors = Shard.parse(shard), Vectors(open_store(store_uri), model_digest)
    ours = {row["digest"] for row in read_rows(chunks, ["digest"]) if part.holds(row["digest"])}
    missing = ours - vectors.known(part)
    if not missing:
        return 0
    model = find_model(embedder)
    if model.digest != model_digest:
        raise ModelError(
            f"embedder {embedder!r} has digest {model.digest[:12]}, the chunks were cut for {model_digest[:12]}; "
            "the model changed during the run: start it again"
        )
    chunker = Chunker(load_tokenizer(model), ChunkSize(text=size, overlap=overlap, whole=model.max_tokens))
    total = len(missing)
    with progress("embed", total=total, unit="texts") as step:
        worker = Embedder(model)
        _log.info("embedding with %s in %s", embedder, worker.precision)
        for batch in _batches(chunks, missing):
            _embed_batch(batch, chunker, worker, vectors, part, step)
    return total


def _batches(chunks: Path, missing: set[str]) -> Iterator[list[Chunk]]:
    """Yield chunks with distinct missing texts, `PART` at a time."""
    batch: list[Chunk] = []
    for chunk in read_chunks(chunks):
        if chunk.digest in missing:
            missing.remove(chunk.digest)
            batch.append(chunk)
        if len(batch) == PART:
            yield batch
            batch = []
    if batch:
        yield batch


def _embed_batch(
    batch: list[Chunk], chunker: Chunker, embedder: Embedder, vectors: Vectors, part: Shard, step: Step
) -> None:
    texts = [chunker.embedded_text(chunk) for chunk in batch]
    vectors.write(part, [chunk.digest for chunk in batch], embedder.embed(texts, advance=step.advance))
