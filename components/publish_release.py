"""Seventh step of `reindex`: store the release, then move the pointer."""

from kfp import dsl

from ragline.images import reference


@dsl.component(base_image=reference("local"), packages_to_install=[], install_kfp_package=False)
def publish_release(
    index: dsl.Input[dsl.Artifact],
    checks: dsl.Input[dsl.Artifact],
    plan: dsl.Input[dsl.Artifact],
    published: dsl.Output[dsl.Artifact],
    store_uri: str,
    name: str,
    run: str,
) -> str:
    """Publish a checked index and return the name of the release.

    Args:
        index: folder of `build_index`.
        checks: of `check_index`.
        plan: of the run; refused if another run has published since.
        published: empty; carries how long it took.
        store_uri: object store of the releases.
        name: of the index.
        run: name of this run, kept in the pointer.
    """
    from pathlib import Path

    from ragline.progress import timed
    from ragline.reindex.publish import publish_release as publish

    with timed(published.metadata):
        return publish(
            Path(index.path),
            Path(checks.path),
            Path(plan.path),
            store_uri=store_uri,
            name=name,
            run=run,
            deleted=int(index.metadata["deleted"]),
        )
