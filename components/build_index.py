"""Fifth step of `reindex`: build the vector index and the lexical index."""

from kfp import dsl

from ragline.images import reference


@dsl.component(base_image=reference("local"), packages_to_install=[], install_kfp_package=False)
def build_index(
    documents: dsl.Input[dsl.Dataset],
    chunks: dsl.Input[dsl.Dataset],
    plan: dsl.Input[dsl.Artifact],
    embedded: dsl.Input[list[dsl.Artifact]],
    index: dsl.Output[dsl.Artifact],
    store_uri: str,
    name: str,
    embedder: str,
) -> int:
    """Build Chroma and tantivy over all chunks, and return how many there are.

    Args:
        documents: of the snapshot.
        chunks: of the documents.
        plan: of the run; its previous release is built upon.
        embedded: of all shards; the build waits for them.
        index: folder with both indexes, the chunks and the documents' facts.
        store_uri: object store of vectors and releases.
        name: of the index.
        embedder: model folder, hub id, or the embedded default's name.
    """
    from pathlib import Path

    from ragline.progress import timed
    from ragline.reindex.build import build_index as run

    index.metadata["embed_seconds"] = max(part.metadata["seconds"] for part in embedded)
    with timed(index.metadata):
        built = run(
            Path(documents.path),
            Path(chunks.path),
            Path(plan.path),
            Path(index.path),
            store_uri=store_uri,
            name=name,
            embedder=embedder,
        )
    index.metadata["base"], index.metadata["deleted"] = built.base, built.deleted
    return built.chunks
