"""The page of a training: the verdict, what became better and worse, curves, speed."""

from kfp import dsl

from ragline.images import reference


@dsl.component(base_image=reference("train"), packages_to_install=[], install_kfp_package=False)
def report_training(
    model: dsl.Input[dsl.Model],
    training: dsl.Input[dsl.Artifact],
    evaluation: dsl.Input[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    promote: bool,
    reason: str,
) -> None:
    """Write the report.

    Args:
        model: of `fine_tune`.
        training: of `fine_tune`.
        evaluation: of `evaluate_model`.
        report: the page to read.
        promote: whether the model is to be the champion.
        reason: why.
    """
    from pathlib import Path

    from ragline.finetune.comparison.evaluation import Evaluation
    from ragline.finetune.comparison.gate import Verdict
    from ragline.finetune.comparison.report import write_report
    from ragline.finetune.trainers.training import Training

    write_report(
        Evaluation.from_json(Path(evaluation.path).read_text(encoding="utf-8")),
        Training.from_json(Path(training.path).read_text(encoding="utf-8"), Path(model.path)),
        Verdict(promote, reason),
        Path(report.path),
    )
