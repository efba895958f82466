"""Last step of `finetune_embedder`: register the model, and promote it if it is better."""

from kfp import dsl

from ragline.images import reference


@dsl.component(base_image=reference("train"), packages_to_install=[], install_kfp_package=False)
def register_model(
    model: dsl.Input[dsl.Model],
    training: dsl.Input[dsl.Artifact],
    evaluation: dsl.Input[dsl.Artifact],
    pairs: dsl.Input[dsl.Dataset],
    mined: dsl.Input[dsl.Dataset],
    exported: dsl.Input[dsl.Artifact],
    report: dsl.Input[dsl.HTML],
    model_name: str,
    champion: str,
    promote: bool,
    reason: str,
    corpus_digest: str,
    documents_uri: str,
    store_uri: str,
    run: str,
) -> str:
    """Register the model in MLflow with everything that is known of it, and return the run's summary as JSON.

    Args:
        model: of `fine_tune`.
        training: of `fine_tune`.
        evaluation: of `evaluate_model`.
        pairs: of `make_pairs`; what they are is in the metadata.
        mined: of `mine_negatives`; likewise.
        exported: of `export_model`.
        report: of `report_training`.
        model_name: of the registered model.
        champion: that the model was compared with.
        promote: whether it is to be the champion.
        reason: why.
        corpus_digest: of the snapshot.
        documents_uri: where the documents are.
        store_uri: object store of models.
        run: name of this run.
    """
    import json
    from pathlib import Path

    from ragline.finetune.comparison.evaluation import Evaluation
    from ragline.finetune.comparison.gate import Verdict
    from ragline.finetune.conclusion import Conclusion, conclude, summary_json
    from ragline.finetune.trainers.training import Training

    conclusion = Conclusion(
        name=model_name,
        folder=Path(model.path),
        training=Training.from_json(Path(training.path).read_text(encoding="utf-8"), Path(model.path)),
        evaluation=Evaluation.from_json(Path(evaluation.path).read_text(encoding="utf-8")),
        verdict=Verdict(promote, reason),
        champion=champion,
        corpus_digest=corpus_digest,
        run=run,
        report=Path(report.path),
        parameters={**training.metadata["plan"], "documents_uri": documents_uri},
        files={
            "pairs": pairs.metadata["pairs"],
            "negatives": mined.metadata["negatives"],
            "exported": json.loads(Path(exported.path).read_text(encoding="utf-8")),
            "evaluation": json.loads(Path(evaluation.path).read_text(encoding="utf-8")),
        },
    )
    return summary_json(conclude(conclusion, store_uri))
