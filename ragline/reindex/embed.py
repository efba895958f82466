"""Embed the texts of one shard that have no vector yet."""

import logging
from collections.abc import Iterator
from pathlib import Path

from ragline.chunking import Chunker, ChunkSize
from ragline.documents import Chunk
from ragline.embedding.embedder import Embedder, load_tokenizer
from ragline.embedding.model import require_model
from ragline.everyday_questions import question_vectors
from ragline.object_store import open_store
from ragline.progress import progress
from ragline.tables import read_chunks, read_rows
from ragline.vectors import Shard, Vectors

_log = logging.getLogger(__name__)

PART = 8192
"""Vectors per stored part: what a killed run can lose, and what two runs at once may do twice."""


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
    model = require_model(embedder, model_digest)
    chunker = Chunker(load_tokenizer(model), ChunkSize(text=size, overlap=overlap, whole=model.max_tokens))
    embedded = 0
    with progress("embed", total=len(missing), unit="texts") as step:
        worker = Embedder(model)
        _log.info("embedding with %s in %s", embedder, worker.precision)
        question_vectors(vectors, worker.embed)  # while the model is loaded: the checks ask them
        for batch in _batches(chunks, missing):
            if new := _not_done_by_others(batch, vectors, part) if embedded else batch:
                texts = [chunker.embedded_text(chunk) for chunk in new]
                vectors.write(part, [chunk.digest for chunk in new], worker.embed(texts, advance=step.advance))
            embedded += len(new)
            if done := len(batch) - len(new):
                step.advance(done)
    return embedded


def _batches(chunks: Path, missing: set[str]) -> Iterator[list[Chunk]]:
    """Yield chunks with distinct missing texts, `PART` at a time."""
    batch: list[Chunk] = []
    for chunk in read_chunks(chunks, missing):
        if chunk.digest in missing:  # else the same text came before
            missing.remove(chunk.digest)
            batch.append(chunk)
        if len(batch) == PART:
            yield batch
            batch = []
    if batch:
        yield batch


def _not_done_by_others(batch: list[Chunk], vectors: Vectors, part: Shard) -> list[Chunk]:
    """Leave out what another run has embedded since this one began."""
    known = vectors.known(part)
    return [chunk for chunk in batch if chunk.digest not in known]
