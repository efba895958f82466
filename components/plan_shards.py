"""Third step of `reindex`: say what will be done, and cut the embedding into shards."""

from kfp import dsl

from ragline.images import reference


@dsl.component(base_image=reference("local"), packages_to_install=[], install_kfp_package=False)
def plan_shards(
    documents: dsl.Input[dsl.Dataset],
    chunks: dsl.Input[dsl.Dataset],
    plan: dsl.Output[dsl.Artifact],
    changed: dsl.OutputPath(bool),  # type: ignore[valid-type]  # the form that kfp reads
    store_uri: str,
    name: str,
    documents_uri: str,
    embedder: str,
    corpus_digest: str,
    chunks_digest: str,
    model_digest: str,
    chunk_size: int,
    chunk_overlap: int,
    shards: int = 0,
    max_shrink: float = 0.5,
    rebuild: bool = False,
) -> list:  # type: ignore[type-arg]  # the type that kfp knows
    """Compare the documents with the current release, and return the names of the shards to embed.

    Args:
        documents: of the snapshot.
        chunks: of the documents.
        plan: what will be added, changed, moved, removed and embedded, as JSON.
        changed: whether there is anything to do.
        store_uri: object store of vectors and releases.
        name: of the index.
        documents_uri: where the documents were.
        embedder: model folder, hub id, or the embedded default's name.
        corpus_digest: of the snapshot.
        chunks_digest: of the chunks.
        model_digest: of the embedder.
        chunk_size: as the chunks were cut.
        chunk_overlap: as the chunks were cut.
        shards: how many pods may embed at once; 0 lets the plan choose.
        max_shrink: largest share of its documents that the index may lose.
        rebuild: make the release anew though it is there.
    """
    from pathlib import Path

    from ragline.progress import timed
    from ragline.reindex.origin import Origin
    from ragline.reindex.plan import plan_reindex

    origin = Origin(corpus_digest, chunks_digest, model_digest, chunk_size, chunk_overlap, documents_uri, embedder)
    with timed(plan.metadata):
        made = plan_reindex(
            Path(documents.path),
            Path(chunks.path),
            Path(plan.path),
            store_uri=store_uri,
            name=name,
            origin=origin,
            shards=shards,
            max_shrink=max_shrink,
            rebuild=rebuild,
        )
    Path(changed).write_text(str(made.changed).lower(), encoding="utf-8")
    return list(made.shards)
