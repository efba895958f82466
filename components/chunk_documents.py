"""Second step of `reindex`: cut the documents into chunks."""

from typing import NamedTuple

from kfp import dsl

from ragline.images import reference


@dsl.component(base_image=reference("local"), packages_to_install=[], install_kfp_package=False)
def chunk_documents(
    documents: dsl.Input[dsl.Dataset],
    chunks: dsl.Output[dsl.Dataset],
    store_uri: str,
    name: str,
    embedder: str,
    chunk_size: int = 200,
    chunk_overlap: int = 0,
) -> NamedTuple("Outputs", [("digest", str), ("model_digest", str)]):  # type: ignore[valid-type]  # the form that kfp reads
    """Cut documents into chunks that the embedder takes whole; unchanged ones are taken from the current release.

    Args:
        documents: of the snapshot.
        chunks: with heading path and offsets, as Parquet.
        store_uri: object store of the releases.
        name: of the index.
        embedder: model folder, hub id, or the embedded default's name.
        chunk_size: most tokens of a chunk's text.
        chunk_overlap: most tokens repeated from the chunk before.

    Returns:
        digest: of the chunks; equal for equal documents, sizes and tokenizer.
        model_digest: of the embedder.
    """
    from pathlib import Path

    from ragline.progress import timed
    from ragline.reindex.chunk import chunk_documents as run

    with timed(chunks.metadata):
        made = run(
            Path(documents.path),
            Path(chunks.path),
            embedder=embedder,
            size=chunk_size,
            overlap=chunk_overlap,
            store_uri=store_uri,
            name=name,
        )
    chunks.metadata["model_digest"] = made.model_digest  # kfp.local mixes up a step's outputs inside a loop
    return (made.digest, made.model_digest)
