"""From a folder or bucket of documents to a live release."""

from kfp import dsl

from components.build_index import build_index
from components.check_index import check_index
from components.chunk_documents import chunk_documents
from components.embed_shard import embed_shard
from components.plan_shards import plan_shards
from components.publish_release import publish_release
from components.report_run import report_run
from components.snapshot_documents import snapshot_documents
from pipelines.secrets import external, with_registry


@dsl.pipeline(name="reindex", description="Index documents and publish them as the current release.")
def reindex(
    documents_uri: str,
    store_uri: str,
    name: str = "default",
    embedder: str = "all-MiniLM-L6-v2",
    chunk_size: int = 200,
    chunk_overlap: int = 0,
    text_field: str = "",
    max_file_megabytes: float = 64.0,
    shards: int = 0,
    max_shrink: float = 0.5,
    rebuild: bool = False,
    questions_uri: str = "",
    max_drop: float = 0.02,
    s3_secret: str = "ragline-s3",
    mlflow_secret: str = "ragline-mlflow",
) -> str:
    """Index documents and publish them as the current release of an index.

    Args:
        documents_uri: folder, S3 prefix (s3://bucket/prefix) or single file with the documents.
        store_uri: object store for vectors and releases: a folder or s3://bucket/prefix.
        name: of the index.
        embedder: model folder, hub id (BAAI/bge-m3), models:/NAME@champion, or the embedded default's name.
        chunk_size: most tokens of a chunk's text.
        chunk_overlap: most tokens repeated from the chunk before.
        text_field: for JSON, the field that holds the text; empty for the usual names.
        max_file_megabytes: larger files are reported, not read.
        shards: how many pods may embed at once; 0 lets the plan choose.
        max_shrink: largest share of its documents that the index may lose; 1 allows all.
        rebuild: make the release anew, from nothing, though it is there: it is damaged.
        questions_uri: golden questions (file or s3:// object); an index that answers them worse is not published.
        max_drop: how far the scores of the golden questions may fall.
        s3_secret: Kubernetes Secret with the S3 keys, under the names that KServe uses.
        mlflow_secret: Kubernetes Secret with the MLFLOW_* variables, for a registered embedder.

    Returns:
        Summary of the run, as JSON.
    """
    snapshot = snapshot_documents(
        documents_uri=documents_uri, text_field=text_field, max_file_megabytes=max_file_megabytes
    )
    documents = snapshot.outputs["documents"]
    model: dict[str, object] = {"embedder": embedder, "chunk_size": chunk_size, "chunk_overlap": chunk_overlap}
    place: dict[str, object] = {"store_uri": store_uri, "name": name}
    chunk = chunk_documents(documents=documents, **place, **model)
    chunks, model_digest = chunk.outputs["chunks"], chunk.outputs["model_digest"]
    planning = plan_shards(
        documents=documents,
        chunks=chunks,
        documents_uri=documents_uri,
        corpus_digest=snapshot.outputs["digest"],
        chunks_digest=chunk.outputs["digest"],
        model_digest=model_digest,
        shards=shards,
        max_shrink=max_shrink,
        rebuild=rebuild,
        **place,
        **model,
    )
    plan = planning.outputs["plan"]
    read: dict[str, object] = {"documents": documents, "unreadable": snapshot.outputs["unreadable"], "chunks": chunks}
    told: dict[str, object] = {**read, "plan": plan, **place, "run": dsl.PIPELINE_JOB_NAME_PLACEHOLDER}
    with dsl.If(planning.outputs["changed"] == True, name="documents changed"):  # noqa: E712  kfp reads the comparison
        with dsl.ParallelFor(planning.outputs["Output"]) as shard:
            embed = embed_shard(chunks=chunks, shard=shard, store_uri=store_uri, **model)
            external(embed, s3_secret).set_retry(2, backoff_duration="10s")
        build = build_index(
            documents=documents,
            chunks=chunks,
            plan=plan,
            embedded=dsl.Collected(embed.outputs["embedded"]),
            embedder=embedder,
            **place,
        )
        index = build.outputs["index"]
        check = check_index(
            index=index,
            embedder=embedder,
            model_digest=model_digest,
            questions_uri=questions_uri,
            max_drop=max_drop,
            **place,
        )
        checks = check.outputs["checks"]
        publish = publish_release(index=index, checks=checks, plan=plan, run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER, **place)
        report = report_run(
            **told,
            embedded=dsl.Collected(embed.outputs["Output"]),
            index=index,
            checks=checks,
            published=publish.outputs["published"],
        )
    with dsl.Else(name="nothing to do"):
        unchanged = report_run(**told)
    for task in (snapshot, chunk, planning, build, check, publish, report, unchanged):
        external(task, s3_secret)
    for task in (chunk, planning, embed, build, check):
        with_registry(task, mlflow_secret)
    summary: str = dsl.OneOf(report.outputs["Output"], unchanged.outputs["Output"])
    return summary
