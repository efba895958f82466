"""Last step of `reindex`: what changed, how long it took, what could not be read."""

from kfp import dsl

from ragline.images import reference


@dsl.component(base_image=reference("local"), packages_to_install=[], install_kfp_package=False)
def report_run(
    documents: dsl.Input[dsl.Dataset],
    unreadable: dsl.Input[dsl.Artifact],
    chunks: dsl.Input[dsl.Dataset],
    plan: dsl.Input[dsl.Artifact],
    index: dsl.Input[dsl.Artifact],
    checks: dsl.Input[dsl.Artifact],
    published: dsl.Input[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    store_uri: str,
    name: str,
    run: str,
    release: str,
    embedded: list,  # type: ignore[type-arg]  # the type that kfp knows
) -> str:
    """Write the run's report, keep it in the store, and return its summary as JSON.

    Args:
        documents: of the snapshot.
        unreadable: what cannot be indexed and why.
        chunks: of the documents.
        plan: what was to be done.
        index: carries how long building took.
        checks: carries how long checking took.
        published: carries how long publishing took.
        report: the page to read.
        store_uri: object store that keeps the report.
        name: of the index.
        run: name of this run.
        release: that was published.
        embedded: number of texts embedded, per shard.
    """
    from pathlib import Path

    from ragline.reindex.summary import report_run as write

    seconds = {
        "snapshot": documents.metadata["seconds"],
        "chunk": chunks.metadata["seconds"],
        "plan": plan.metadata["seconds"],
        "embed": index.metadata["embed_seconds"],
        "index": index.metadata["seconds"],
        "check": checks.metadata["seconds"],
        "publish": published.metadata["seconds"],
    }
    return write(
        Path(unreadable.path),
        Path(chunks.path),
        Path(plan.path),
        Path(report.path),
        store_uri=store_uri,
        name=name,
        run=run,
        release=release,
        embedded=int(sum(embedded)),
        seconds=seconds,
    )
