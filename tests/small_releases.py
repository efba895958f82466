"""Real releases of a few chunks, made without a model: documents, chunks, vector index, lexical index."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ragline import digests
from ragline.chunk_table import write_chunk_table
from ragline.documents import Chunk, Document, Loaded
from ragline.lexical import build_lexical
from ragline.object_store import ObjectStore
from ragline.release import CHUNKS, DOCUMENTS, LEXICAL, VECTOR_TABLE, VECTORS, Index, Manifest, describe_files
from ragline.tables import ChunkWriter, DocumentWriter, read_chunks
from ragline.vector_store import build_vector_store
from ragline.vector_table import write_vector_table

MODEL = "all-MiniLM-L6-v2"


def make_release(folder: Path, letter: str, documents: dict[str, str], *, created: str, model: str = "m") -> Manifest:
    """Write the files of a release to `folder`; each document has one chunk, its whole text.

    Args:
        folder: to make.
        letter: its name is sixteen of them.
        documents: text by id.
        created: as manifests write it.
        model: digest of the embedder.
    """
    (folder / LEXICAL).mkdir(parents=True)
    with DocumentWriter(folder / DOCUMENTS) as writer:
        for key, text in documents.items():
            writer.write(Document(key, digests.of_text(text), Loaded("")))
    chunks = folder.with_suffix(".chunks")
    with ChunkWriter(chunks) as chunk_writer:
        for key, text in documents.items():
            digest = digests.of_text(text)
            chunk_writer.write(Chunk(digests.of_text(key)[:32], key, key, "", 0, len(text), text, 3, digest))
    write_chunk_table(chunks, folder / CHUNKS)
    build_lexical(folder / LEXICAL, read_chunks(chunks))
    ids = [chunk.id for chunk in read_chunks(chunks)]
    vectors = np.eye(len(ids), 8, dtype=np.float32)
    list(build_vector_store(folder / VECTORS, ids, vectors, iter([{"a": 1}] * len(ids))))
    write_vector_table(vectors, folder / VECTOR_TABLE)
    return Manifest(
        release=letter * 16,
        digests={"corpus": "c", "chunker": "u", "chunks": "k", "model": model, "index": letter * 64},
        embedder=MODEL,
        counts={"documents": len(documents), "chunks": len(ids), "dimensions": 8, "deleted": 0},
        chunking={"size": 200, "overlap": 0},
        documents_uri="docs",
        calibration={"threshold": 0.25},
        checks={},
        files=describe_files(folder),
        created=created,
    )


class Shelf:
    """Releases in local folders, ready to be published."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / "files"
        self.manifest = make_release(
            self.files, "a", {"one.md": "first text", "two.md": "second text"}, created="2020-01-01T00:00:00.000+00:00"
        )

    def like(self, letter: str, day: int = 1, **changes: object) -> Manifest:
        """Return the manifest of a release with the same files, another name and another time."""
        names = {**self.manifest.digests, "index": letter * 64}
        created = f"2020-01-{day:02}T00:00:00.000+00:00"
        facts = {"release": letter * 16, "digests": names, "created": created} | changes
        return replace(self.manifest, **facts)  # type: ignore[arg-type]

    def light(self, letter: str, day: int = 1, **changes: object) -> Manifest:
        """Return the manifest of a release with two files only, for tests that open no index."""
        files = {path: self.manifest.files[path] for path in (CHUNKS, DOCUMENTS)}
        return self.like(letter, day, files=files, **changes)

    def publish(self, index: Index, *manifests: Manifest) -> None:
        """Store releases, and make each current in turn."""
        for manifest in manifests:
            index.add(manifest, self.files)
            index.point(manifest, f"run-{manifest.release[0]}")


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    """Return the keys in a store."""
    return [info.key for info in store.list(prefix)]
