"""Trains the model; killed, it goes on from its last checkpoint when it is tried again."""

from kfp import dsl

from ragline.images import reference


@dsl.component(base_image=reference("train"), packages_to_install=[], install_kfp_package=False)
def fine_tune(
    pairs: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    training: dsl.Output[dsl.Artifact],
    base_model: str,
    store_uri: str,
    trainer: str = "auto",
    epochs: float = 1.0,
    batch: int = 32,
    mini_batch: int = 0,
    learning_rate: float = 3e-5,
    dimensions: list = [],  # type: ignore[type-arg]  # noqa: B006  what kfp knows
    negatives: int = 1,
    max_minutes: float = 0.0,
    allow_cpu: bool = False,
    seed: int = 0,
) -> None:
    """Train the base model on the pairs.

    Args:
        pairs: of `mine_negatives`.
        model: folder of the trained model, in the layout of sentence-transformers.
        training: steps, curve and environment, as JSON; the plan in its metadata.
        base_model: model folder, hub id, or the embedded default's name.
        store_uri: object store that keeps checkpoints until the training has ended.
        trainer: auto, sentence-transformers or flagembedding.
        epochs: how often each pair is seen.
        batch: pairs a step.
        mini_batch: texts of which activations are in memory at once; 0 for all.
        learning_rate: the highest.
        dimensions: shorter vectors that must rank well too.
        negatives: hard negatives of a pair.
        max_minutes: the training is planned to end within this time; 0 for no limit.
        allow_cpu: train a large model without a GPU.
        seed: of the order of the pairs.
    """
    import json
    from pathlib import Path

    from ragline.finetune.trainers.training import TrainingPlan, train
    from ragline.progress import timed

    plan = TrainingPlan(
        base_model=base_model,
        trainer=trainer,  # type: ignore[arg-type]  # the plan refuses any other
        epochs=epochs,
        batch=batch,
        mini_batch=mini_batch,
        learning_rate=learning_rate,
        dimensions=tuple(int(size) for size in dimensions),
        negatives=negatives,
        max_minutes=max_minutes,
        allow_cpu=allow_cpu,
        seed=seed,
    )
    with timed(training.metadata):
        made = train(plan, Path(pairs.path), Path(model.path), checkpoints=f"{store_uri.rstrip('/')}/checkpoints")
    Path(training.path).write_text(made.to_json(), encoding="utf-8")
    training.metadata["plan"] = json.loads(plan.to_json())
