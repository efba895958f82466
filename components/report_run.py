"""Last step of `reindex`: what changed, how long it took, what could not be read."""

from kfp import dsl

from ragline.images import reference


@dsl.component(base_image=reference("local"), packages_to_install=[], install_kfp_package=False)
def report_run(
    documents: dsl.Input[dsl.Dataset],
    unreadable: dsl.Input[dsl.Artifact],
    chunks: dsl.Input[dsl.Dataset],
    plan: dsl.Input[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    store_uri: str,
    name: str,
    run: str,
    embedded: list = [],  # type: ignore[type-arg]  # noqa: B006  what kfp knows
    index: dsl.Input[dsl.Artifact] = None,
    checks: dsl.Input[dsl.Artifact] = None,
    published: dsl.Input[dsl.Artifact] = None,
) -> str:
    """Write the run's report, keep it in the store, and return its summary as JSON.

    Args:
        documents: of the snapshot.
        unreadable: what cannot be indexed and why.
        chunks: of the documents.
        plan: what was to be done.
        report: the page to read.
        store_uri: object store that keeps the report.
        name: of the index.
        run: name of this run.
        embedded: number of texts embedded, per shard.
        index: carries how long embedding and building took; absent if there was nothing to do.
        checks: carries how long checking took.
        published: carries how long publishing took.
    """
    from pathlib import Path

    from ragline.reindex.summary import report_run as write

    steps = {"snapshot": documents, "chunk": chunks, "plan": plan}
    rest = {"index": index, "check": checks, "publish": published}
    seconds = {step: artifact.metadata["seconds"] for step, artifact in steps.items()}
    if index:
        seconds["embed"] = index.metadata["embed_seconds"]
        seconds |= {step: artifact.metadata["seconds"] for step, artifact in rest.items()}
    return write(
        Path(unreadable.path),
        Path(chunks.path),
        Path(plan.path),
        Path(report.path),
        store_uri=store_uri,
        name=name,
        run=run,
        embedded=int(sum(embedded)),
        seconds=seconds,
    )
