"""From a folder or bucket of documents to a live release."""

from kfp import dsl, kubernetes

from components.build_index import build_index
from components.check_index import check_index
from components.chunk_documents import chunk_documents
from components.embed_shard import embed_shard
from components.plan_shards import plan_shards
from components.publish_release import publish_release
from components.report_run import report_run
from components.snapshot_documents import snapshot_documents

S3_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
    "AWS_DEFAULT_REGION",
    "S3_ENDPOINT",
    "S3_USE_HTTPS",
    "AWS_CA_BUNDLE",
)


def _external(task: dsl.PipelineTask, s3_secret: str) -> dsl.PipelineTask:
    """Give a step that looks at the object store its keys; its result is not a function of its inputs: never cached."""
    keys = {variable: variable for variable in S3_VARIABLES}
    kubernetes.use_secret_as_env(task, secret_name=s3_secret, secret_key_to_env=keys, optional=True)
    return task.set_caching_options(enable_caching=False)


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
    s3_secret: str = "ragline-s3",
) -> str:
    """Index documents and publish them as the current release of an index.

    Args:
        documents_uri: folder, S3 prefix (s3://bucket/prefix) or single file with the documents.
        store_uri: object store for vectors and releases: a folder or s3://bucket/prefix.
        name: of the index.
        embedder: model folder, hub id (BAAI/bge-m3), or the embedded default's name.
        chunk_size: most tokens of a chunk's text.
        chunk_overlap: most tokens repeated from the chunk before.
        text_field: for JSON, the field that holds the text; empty for the usual names.
        max_file_megabytes: larger files are reported, not read.
        shards: how many pods may embed at once; 0 lets the plan choose.
        s3_secret: Kubernetes Secret with the S3 keys, under the names that KServe uses.

    Returns:
        Summary of the run, as JSON.
    """
    snapshot = snapshot_documents(
        documents_uri=documents_uri, text_field=text_field, max_file_megabytes=max_file_megabytes
    )
    documents, corpus_digest = snapshot.outputs["documents"], snapshot.outputs["digest"]
    chunk = chunk_documents(documents=documents, embedder=embedder, chunk_size=chunk_size, chunk_overlap=chunk_overlap)
    chunks, model_digest = chunk.outputs["chunks"], chunk.outputs["model_digest"]
    plan = plan_shards(
        documents=documents, chunks=chunks, store_uri=store_uri, name=name, model_digest=model_digest, shards=shards
    )
    with dsl.ParallelFor(plan.outputs["Output"]) as shard:
        embed = embed_shard(
            chunks=chunks,
            shard=shard,
            store_uri=store_uri,
            embedder=embedder,
            chunk_size=chunk_size,
            chunk_overlap=chunk_overlap,
        )
        _external(embed, s3_secret).set_retry(2, backoff_duration="10s")
    build = build_index(
        documents=documents,
        chunks=chunks,
        embedded=dsl.Collected(embed.outputs["embedded"]),
        store_uri=store_uri,
        embedder=embedder,
        model_digest=model_digest,
    )
    check = check_index(index=build.outputs["index"], embedder=embedder)
    publish = publish_release(
        index=build.outputs["index"],
        checks=check.outputs["checks"],
        store_uri=store_uri,
        name=name,
        run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
        documents_uri=documents_uri,
        embedder=embedder,
        corpus_digest=corpus_digest,
        chunks_digest=chunk.outputs["digest"],
        model_digest=model_digest,
        chunk_size=chunk_size,
        chunk_overlap=chunk_overlap,
    )
    report = report_run(
        documents=documents,
        unreadable=snapshot.outputs["unreadable"],
        chunks=chunks,
        plan=plan.outputs["plan"],
        index=build.outputs["index"],
        checks=check.outputs["checks"],
        published=publish.outputs["published"],
        store_uri=store_uri,
        name=name,
        run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
        release=publish.outputs["Output"],
        embedded=dsl.Collected(embed.outputs["Output"]),
    )
    for task in (snapshot, plan, build, publish, report):
        _external(task, s3_secret)
    summary: str = report.outputs["Output"]
    return summary
