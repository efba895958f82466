"""Seventh step of `reindex`: store the release, then move the pointer."""

from kfp import dsl

from ragline.images import reference


@dsl.component(base_image=reference("local"), packages_to_install=[], install_kfp_package=False)
def publish_release(
    index: dsl.Input[dsl.Artifact],
    checks: dsl.Input[dsl.Artifact],
    published: dsl.Output[dsl.Artifact],
    store_uri: str,
    name: str,
    run: str,
    documents_uri: str,
    embedder: str,
    corpus_digest: str,
    chunks_digest: str,
    model_digest: str,
    chunk_size: int,
    chunk_overlap: int,
) -> str:
    """Publish a checked index and return the name of the release.

    Args:
        index: folder of `build_index`.
        checks: of `check_index`.
        published: empty; carries how long it took.
        store_uri: object store of the releases.
        name: of the index.
        run: name of this run, kept in the pointer.
        documents_uri: where the documents were.
        embedder: model folder, hub id, or the embedded default's name.
        corpus_digest: of the snapshot.
        chunks_digest: of the chunks.
        model_digest: of the embedder.
        chunk_size: as the chunks were cut.
        chunk_overlap: as the chunks were cut.
    """
    from pathlib import Path

    from ragline.progress import timed
    from ragline.reindex.publish import Origin
    from ragline.reindex.publish import publish_release as publish

    origin = Origin(corpus_digest, chunks_digest, model_digest, chunk_size, chunk_overlap, documents_uri, embedder)
    with timed(published.metadata):
        return publish(Path(index.path), Path(checks.path), store_uri=store_uri, name=name, run=run, origin=origin)
