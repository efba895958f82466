"""Sixth step of `reindex`: prove that the index is whole, before anyone is served from it."""

from kfp import dsl

from ragline.images import reference


@dsl.component(base_image=reference("local"), packages_to_install=[], install_kfp_package=False)
def check_index(index: dsl.Input[dsl.Artifact], checks: dsl.Output[dsl.Artifact], embedder: str) -> None:
    """Check counts, vectors and recall, and calibrate what counts as relevant; fails if the index is not sound.

    Args:
        index: folder of `build_index`.
        checks: what was measured, as JSON.
        embedder: model folder, hub id, or the embedded default's name.
    """
    from pathlib import Path

    from ragline.progress import timed
    from ragline.reindex.check import check_index as run

    with timed(checks.metadata):
        run(Path(index.path), Path(checks.path), embedder=embedder)
