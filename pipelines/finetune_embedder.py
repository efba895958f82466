"""From a folder or bucket of documents to a registered embedder, live only if it is better."""

from kfp import dsl

from components.chunk_documents import chunk_documents
from components.evaluate_model import evaluate_model
from components.export_model import export_model
from components.find_champion import find_champion
from components.fine_tune import fine_tune
from components.make_pairs import make_pairs
from components.mine_negatives import mine_negatives
from components.register_model import register_model
from components.report_training import report_training
from components.snapshot_documents import snapshot_documents
from pipelines.secrets import external, with_registry, with_secret

LLM_VARIABLES = ("RAGLINE_LLM_API_KEY",)


@dsl.pipeline(name="finetune-embedder", description="Train an embedder on documents; promote it if it is better.")
def finetune_embedder(
    documents_uri: str,
    store_uri: str,
    model_name: str = "embedder",
    base_model: str = "all-MiniLM-L6-v2",
    chunk_size: int = 200,
    text_field: str = "",
    max_file_megabytes: float = 64.0,
    pairs_uri: str = "",
    llm_url: str = "",
    llm_model: str = "",
    max_pairs: int = 20000,
    test_share: float = 0.1,
    negatives: int = 1,
    trainer: str = "auto",
    epochs: float = 1.0,
    batch: int = 32,
    mini_batch: int = 0,
    learning_rate: float = 3e-5,
    dimensions: list = [],  # type: ignore[type-arg]  # noqa: B006  what kfp knows
    max_minutes: float = 0.0,
    allow_cpu: bool = False,
    gpus: int = 0,
    questions_uri: str = "",
    min_gain: float = 0.0,
    max_drop: float = 0.02,
    seed: int = 0,
    s3_secret: str = "ragline-s3",
    mlflow_secret: str = "ragline-mlflow",
    llm_secret: str = "ragline-llm",
) -> str:
    """Train an embedder on documents, compare it with the one in use, register it, and promote it if it is better.

    Args:
        documents_uri: folder, S3 prefix (s3://bucket/prefix) or single file with the documents.
        store_uri: object store for models and checkpoints: a folder or s3://bucket/prefix.
        model_name: of the registered model in MLflow.
        base_model: model folder, hub id (BAAI/bge-m3), or the embedded default's name.
        chunk_size: most tokens of a chunk's text.
        text_field: for JSON, the field that holds the text; empty for the usual names.
        max_file_megabytes: larger files are reported, not read.
        pairs_uri: training pairs of your own as JSON Lines (file or s3:// object).
        llm_url: OpenAI-compatible endpoint that writes questions; empty for none.
        llm_model: name of its model.
        max_pairs: most pairs from the documents.
        test_share: share of the chunks kept out of training, to measure with.
        negatives: hard negatives of a pair.
        trainer: auto, sentence-transformers or flagembedding.
        epochs: how often each pair is seen.
        batch: pairs a step.
        mini_batch: texts of which activations are in memory at once; 0 for all.
        learning_rate: the highest.
        dimensions: shorter vectors that must rank well too, such as [256, 128].
        max_minutes: training is planned to end within this time; 0 for no limit.
        allow_cpu: train a large model without a GPU.
        gpus: of the training pod.
        questions_uri: golden questions (file or s3:// object).
        min_gain: what the lower bound of the gain in nDCG@10 must exceed.
        max_drop: how far hit@4 on the golden questions may fall.
        seed: of everything that is drawn.
        s3_secret: Kubernetes Secret with the S3 keys, under the names that KServe uses.
        mlflow_secret: Kubernetes Secret with the MLFLOW_* variables.
        llm_secret: Kubernetes Secret with RAGLINE_LLM_API_KEY.

    Returns:
        Summary of the run, as JSON.
    """
    find = find_champion(model_name=model_name, base_model=base_model, store_uri=store_uri)
    champion = find.output
    snapshot = snapshot_documents(
        documents_uri=documents_uri, text_field=text_field, max_file_megabytes=max_file_megabytes
    ).after(find)
    documents = snapshot.outputs["documents"]
    chunk = chunk_documents(
        documents=documents, store_uri="", name="default", embedder=base_model, chunk_size=chunk_size
    )
    chunks = chunk.outputs["chunks"]
    make = make_pairs(
        documents=documents,
        chunks=chunks,
        pairs_uri=pairs_uri,
        llm_url=llm_url,
        llm_model=llm_model,
        questions_uri=questions_uri,
        max_pairs=max_pairs,
        test_share=test_share,
        seed=seed,
    )
    pairs = make.outputs["pairs"]
    mine = mine_negatives(pairs=pairs, chunks=chunks, embedder=champion, store_uri=store_uri, negatives=negatives)
    tune = fine_tune(
        pairs=mine.outputs["mined"],
        base_model=base_model,
        store_uri=store_uri,
        trainer=trainer,
        epochs=epochs,
        batch=batch,
        mini_batch=mini_batch,
        learning_rate=learning_rate,
        dimensions=dimensions,
        negatives=negatives,
        max_minutes=max_minutes,
        allow_cpu=allow_cpu,
        seed=seed,
    )
    tune.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(gpus).set_retry(2, backoff_duration="30s")
    trained = {"model": tune.outputs["model"], "training": tune.outputs["training"]}
    evaluate = evaluate_model(
        documents=documents,
        chunks=chunks,
        pairs=pairs,
        model=trained["model"],
        base_model=base_model,
        champion=champion,
        questions_uri=questions_uri,
        min_gain=min_gain,
        max_drop=max_drop,
        seed=seed,
    )
    judged = {name: evaluate.outputs[name] for name in ("evaluation", "promote", "reason")}
    export = export_model(model=trained["model"], pairs=pairs, model_name=model_name, store_uri=store_uri)
    report = report_training(**trained, **judged)
    register = register_model(
        **trained,
        **judged,
        pairs=pairs,
        mined=mine.outputs["mined"],
        exported=export.outputs["exported"],
        report=report.outputs["report"],
        model_name=model_name,
        champion=champion,
        corpus_digest=snapshot.outputs["digest"],
        documents_uri=documents_uri,
        store_uri=store_uri,
        run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
    )
    for task in (find, snapshot, chunk, make, mine, tune, evaluate, export, register):
        external(task, s3_secret)
    for task in (find, chunk, mine, tune, evaluate, register):
        with_registry(task, mlflow_secret)
    with_secret(make, llm_secret, LLM_VARIABLES)
    summary: str = register.output
    return summary
