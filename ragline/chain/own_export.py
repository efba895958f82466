"""A model's export for Triton, made on this machine, without PyTorch: built from the weights.

That it makes the vectors of the index is seen from the index: some of its chunks are embedded again.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ragline import digests
from ragline.chunk_table import ChunkTable
from ragline.chunking import Chunker, ChunkSize
from ragline.copies import LocalCopies
from ragline.documents import Chunk
from ragline.embedding.embedder import load_tokenizer
from ragline.embedding.model import EmbeddingModel
from ragline.errors import ReleaseError
from ragline.export.exported import export_model
from ragline.registry.registered_folder import model_of_release
from ragline.release import CHUNKS, VECTORS, Index, Manifest
from ragline.vector_store import VectorStore

_log = logging.getLogger(__name__)

CHECKED = 48
"""Chunks that an export is checked with."""

_VARIANTS = ("bf16",)  # int8 takes half of the time of an export, and no model of the defaults passes with it


def export_own(index: Index, manifest: Manifest, cache: Path, target: Path) -> None:
    """Export the model of a release, checked with the release's own chunks, to a folder that appears when it is whole.

    Args:
        index: with the release.
        manifest: of the release.
        cache: folder for local copies.
        target: the Triton repository to make.

    Raises:
        ModelError: the model is not to be had, or cannot be exported.
        GateError: the export does not give the vectors of the release.
        ReleaseError: the release is damaged, or holds nothing.
        StoreError: the store cannot be used.
    """
    model = model_of_release(manifest, index.store)
    copies = LocalCopies(index, cache)
    try:
        chunks, vectors = _sample(copies.take(manifest))
    finally:
        copies.hold(())
    texts, rows = _embedded(chunks, manifest, model)
    if not texts:
        raise ReleaseError(f"release {manifest.release} has no text to check its embedder with: index documents")
    partial = target.with_name(f".{target.name}")
    exported = export_model(
        model.folder,
        [(text.partition("\n")[0], text) for text in texts],  # what a heading finds: the text below it
        partial,
        name=manifest.embedder,
        variants=_VARIANTS,
        known=(texts, vectors[rows]),
    )
    (partial / "exported.json").write_text(exported.to_json(), encoding="utf-8")
    partial.rename(target)
    _log.info("exported %s in %.1f s: serves %s", manifest.embedder, exported.seconds, ", ".join(exported.served))


def _sample(release: Path) -> tuple[list[Chunk], np.ndarray]:
    """Return chunks from everywhere in a release, and their vectors."""
    with ChunkTable(release / CHUNKS) as table, VectorStore(release / VECTORS) as store:
        rows = sorted({len(table) * number // CHECKED for number in range(CHECKED)} if len(table) else ())
        chunks = [table[row] for row in rows]
        stored = store.stored([chunk.id for chunk in chunks])
    kept = [chunk for chunk in chunks if chunk.id in stored]
    return kept, np.array([stored[chunk.id] for chunk in kept], np.float32)


def _embedded(chunks: Sequence[Chunk], manifest: Manifest, model: EmbeddingModel) -> tuple[list[str], list[int]]:
    """Return the texts of which the vectors were made, and the rows of their chunks."""
    size = ChunkSize(text=manifest.chunking["size"], overlap=manifest.chunking["overlap"], whole=model.max_tokens)
    chunker = Chunker(load_tokenizer(model), size)
    texts = [chunker.embedded_text(chunk) for chunk in chunks]
    rows = [row for row, chunk in enumerate(chunks) if digests.of_text(texts[row]) == chunk.digest]
    return [texts[row] for row in rows], rows
