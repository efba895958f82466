"""Sixth step of `reindex`: prove that the index is whole and no worse, before anyone is served from it."""

from kfp import dsl

from ragline.images import reference


@dsl.component(base_image=reference("local"), packages_to_install=[], install_kfp_package=False)
def check_index(
    index: dsl.Input[dsl.Artifact],
    checks: dsl.Output[dsl.Artifact],
    store_uri: str,
    name: str,
    embedder: str,
    model_digest: str,
    questions_uri: str = "",
    max_drop: float = 0.02,
) -> None:
    """Check counts, vectors and recall, and calibrate what counts as relevant; fails if the index is not sound.

    Args:
        index: folder of `build_index`.
        checks: what was measured, as JSON.
        store_uri: object store of vectors and releases.
        name: of the index.
        embedder: model folder, hub id, or the embedded default's name.
        model_digest: of the embedder.
        questions_uri: golden questions (file or s3:// object), empty for none.
        max_drop: how far their scores may fall below the current release's.
    """
    from pathlib import Path

    from ragline.progress import timed
    from ragline.reindex.check import check_index as run

    with timed(checks.metadata):
        run(
            Path(index.path),
            Path(checks.path),
            store_uri=store_uri,
            name=name,
            embedder=embedder,
            model_digest=model_digest,
            base=index.metadata["base"],
            questions_uri=questions_uri,
            max_drop=max_drop,
        )
