"""Finds passages that look like answers and are none, for each training pair."""

from kfp import dsl

from ragline.images import reference


@dsl.component(base_image=reference("train"), packages_to_install=[], install_kfp_package=False)
def mine_negatives(
    pairs: dsl.Input[dsl.Dataset],
    chunks: dsl.Input[dsl.Dataset],
    mined: dsl.Output[dsl.Dataset],
    embedder: str,
    store_uri: str,
    negatives: int = 1,
) -> None:
    """Write the pairs again, each training pair with its hard negatives.

    Args:
        pairs: of `make_pairs`.
        chunks: of the documents.
        mined: the same pairs, with negatives.
        embedder: model that mines: the champion.
        store_uri: object store, where vectors of the chunks may be already.
        negatives: most for a pair.
    """
    from dataclasses import asdict
    from pathlib import Path

    from ragline.finetune.examples.negatives import mine_negatives as run
    from ragline.progress import timed

    with timed(mined.metadata):
        made = run(
            Path(pairs.path),
            Path(chunks.path),
            Path(mined.path),
            embedder=embedder,
            count=negatives,
            store_uri=store_uri,
        )
    mined.metadata["negatives"] = asdict(made)
