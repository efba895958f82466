"""Compares the trained model with the champion and the base model, and decides whether it is to be used."""

from typing import NamedTuple

from kfp import dsl

from ragline.images import reference


@dsl.component(base_image=reference("train"), packages_to_install=[], install_kfp_package=False)
def evaluate_model(
    documents: dsl.Input[dsl.Dataset],
    chunks: dsl.Input[dsl.Dataset],
    pairs: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Artifact],
    base_model: str,
    champion: str,
    questions_uri: str = "",
    min_gain: float = 0.0,
    max_drop: float = 0.02,
    seed: int = 0,
) -> NamedTuple("Outputs", [("promote", bool), ("reason", str)]):  # type: ignore[valid-type]  # the form that kfp reads
    """Compare three models on held-out pairs and on golden questions, with 95 % intervals.

    Args:
        documents: of the snapshot.
        chunks: of the documents: the corpus that is searched.
        pairs: of `make_pairs`; those kept out of training are asked.
        model: of `fine_tune`.
        evaluation: everything that was measured, as JSON.
        base_model: that the training began with.
        champion: that is in use.
        questions_uri: golden questions (file or s3:// object), empty for none.
        min_gain: what the lower bound of the gain in nDCG@10 must exceed.
        max_drop: how far hit@4 on the golden questions may fall.
        seed: of the resampling.

    Returns:
        promote: whether the trained model is to be the champion.
        reason: one sentence.
    """
    from pathlib import Path

    from ragline.finetune.comparison.evaluation import evaluate_models
    from ragline.finetune.comparison.gate import verdict
    from ragline.progress import timed

    with timed(evaluation.metadata):
        compared = evaluate_models(
            Path(pairs.path),
            Path(chunks.path),
            Path(documents.path),
            base=base_model,
            champion=champion,
            challenger=model.path,
            questions_uri=questions_uri,
            seed=seed,
        )
        Path(evaluation.path).write_text(compared.to_json(), encoding="utf-8")
        judged = verdict(compared, min_gain=min_gain, max_drop=max_drop)
    return (judged.promote, judged.reason)
