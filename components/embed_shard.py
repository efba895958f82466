"""Fourth step of `reindex`, once per shard: embed the texts that have no vector yet."""

from kfp import dsl

from ragline.images import reference


@dsl.component(base_image=reference("local"), packages_to_install=[], install_kfp_package=False)
def embed_shard(
    chunks: dsl.Input[dsl.Dataset],
    shard: str,
    embedded: dsl.Output[dsl.Artifact],
    store_uri: str,
    embedder: str,
    chunk_size: int,
    chunk_overlap: int,
) -> int:
    """Embed what is missing in one shard, and return how many texts that were.

    Args:
        chunks: all chunks; another model than the one that cut them is refused.
        shard: name of the shard, from the plan.
        embedded: empty; carries how long it took.
        store_uri: object store of the vectors.
        embedder: model folder, hub id, or the embedded default's name.
        chunk_size: as the chunks were cut.
        chunk_overlap: as the chunks were cut.
    """
    from pathlib import Path

    from ragline.progress import timed
    from ragline.reindex.embed import embed_shard as run

    with timed(embedded.metadata):
        return run(
            Path(chunks.path),
            shard,
            store_uri=store_uri,
            embedder=embedder,
            model_digest=chunks.metadata["model_digest"],
            size=chunk_size,
            overlap=chunk_overlap,
        )
