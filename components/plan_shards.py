"""Third step of `reindex`: say what will be done, and cut the embedding into shards."""

from kfp import dsl

from ragline.images import reference


@dsl.component(base_image=reference("local"), packages_to_install=[], install_kfp_package=False)
def plan_shards(
    documents: dsl.Input[dsl.Dataset],
    chunks: dsl.Input[dsl.Dataset],
    plan: dsl.Output[dsl.Artifact],
    store_uri: str,
    name: str,
    model_digest: str,
    shards: int = 0,
) -> list:  # type: ignore[type-arg]  # the type that kfp knows
    """Compare the documents with the current release, and return the names of the shards to embed.

    Args:
        documents: of the snapshot.
        chunks: of the documents.
        plan: what will be added, changed, moved, removed and embedded, as JSON.
        store_uri: object store of vectors and releases.
        name: of the index.
        model_digest: of the embedder.
        shards: how many pods may embed at once; 0 lets the plan choose.
    """
    from pathlib import Path

    from ragline.progress import timed
    from ragline.reindex.plan import plan_reindex

    with timed(plan.metadata):
        return plan_reindex(
            Path(documents.path),
            Path(chunks.path),
            Path(plan.path),
            store_uri=store_uri,
            name=name,
            model_digest=model_digest,
            shards=shards,
        )
