"""How a training ends: the model is kept, registered, and promoted if the gate says so."""

import json
import logging
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragline.export.exported import Exported, export_model
from ragline.finetune.comparison.evaluation import ALL, CHALLENGER, CHAMPION, ROLES, Evaluation
from ragline.finetune.comparison.gate import Verdict
from ragline.finetune.examples.pair import read_pairs
from ragline.finetune.registration import TrainingRecord, register_training
from ragline.finetune.trainers.training import Training
from ragline.object_store import open_store
from ragline.registry.model_store import ModelStore
from ragline.registry.registered_model import ModelVersion
from ragline.registry.registry import Registry

_log = logging.getLogger(__name__)

TRITON, REPORT = "triton", "report"
"""What is kept beside a model, under its digest."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """All that is known when a training has been measured.

    Attributes:
        name: of the registered model.
        folder: the trained model.
        training: what was done.
        evaluation: beside the champion and the base model.
        verdict: of the gate.
        champion: reference of the model that was compared with.
        corpus_digest: of the snapshot of documents.
        run: of the pipeline.
        report: the page.
        parameters: of the run.
        files: more to keep with the run, as JSON, by name.
    """

    name: str
    folder: Path
    training: Training
    evaluation: Evaluation
    verdict: Verdict
    champion: str
    corpus_digest: str
    run: str
    report: Path
    parameters: Mapping[str, Any]
    files: Mapping[str, Any]


def export_for_serving(folder: Path, pairs: Path, name: str, store_uri: str) -> Exported:
    """Keep a model under its digest in the object store, and beside it its version of a Triton model repository.

    Args:
        folder: the model.
        pairs: Parquet of pairs; variants are measured with those kept out of training.
        name: of the registered model.
        store_uri: where models are kept.

    Raises:
        GateError: the export does not give the model's vectors.
        StoreError: the store cannot be written.
    """
    models = ModelStore(open_store(store_uri))
    digest = models.put(folder, name=name)
    asked = ((pair.query, pair.positive) for pair in read_pairs(pairs, "test"))
    with tempfile.TemporaryDirectory(prefix="ragline-export-") as scratch:
        exported = export_model(folder, asked, Path(scratch), name=name)
        models.add(digest, TRITON, Path(scratch))
    return exported


def conclude(conclusion: Conclusion, store_uri: str) -> dict[str, Any]:
    """Register a trained model as challenger, promote it if the gate says so, and return the run's summary.

    Raises:
        StoreError: the registry or the object store cannot be used.
        ConflictError: someone else has moved the alias at the same moment.
    """
    verdict = standing_verdict(conclusion)
    version = register_training(_record(conclusion, verdict), store_uri)
    _keep_report(conclusion.report, version.digest, store_uri)
    if verdict.promote:
        Registry.from_environment().promote(version.name, str(version.number))
    _log.info("%s: %s", version.reference, verdict.reason)
    return _summary(conclusion, verdict, version)


def standing_verdict(conclusion: Conclusion) -> Verdict:
    """Return the verdict, or that another champion has come meanwhile, with which nothing was compared."""
    now = Registry.from_environment().champion(conclusion.name)
    ours = conclusion.evaluation.models[CHALLENGER].digest  # promoted by an attempt that was killed afterwards
    if conclusion.verdict.promote and now and now.reference != conclusion.champion and now.digest != ours:
        return Verdict(
            False, f"Not promoted: {now.reference} became the champion during the run; compared with that, train again."
        )
    return conclusion.verdict


def _record(conclusion: Conclusion, verdict: Verdict) -> TrainingRecord:
    training, evaluation = conclusion.training, conclusion.evaluation
    gain = evaluation.gain(CHAMPION, ALL, "ndcg@10")
    return TrainingRecord(
        name=conclusion.name,
        folder=conclusion.folder,
        corpus_digest=conclusion.corpus_digest,
        run=conclusion.run,
        verdict=verdict.reason,
        parameters=conclusion.parameters,
        environment={**training.environment, "device": training.device, "precision": training.precision},
        curve=training.curve,
        metrics=_metrics(evaluation),
        ndcg_before=gain.before if gain else None,
        ndcg_after=gain.after if gain else None,
        artifacts=[conclusion.report],
        files=conclusion.files,
    )


def _metrics(evaluation: Evaluation) -> dict[str, float]:
    """Return the mean of each metric, named by role, kind of question and metric."""
    return {
        f"{role} {kind} {metric}".replace("@", " at "): value
        for role in ROLES
        for kind, means in evaluation.means[role].items()
        for metric, value in means.items()
    }


def _keep_report(report: Path, digest: str, store_uri: str) -> None:
    with tempfile.TemporaryDirectory(prefix="ragline-report-") as scratch:
        shutil.copyfile(report, Path(scratch) / "report.html")
        ModelStore(open_store(store_uri)).add(digest, REPORT, Path(scratch))


def _summary(conclusion: Conclusion, verdict: Verdict, version: ModelVersion) -> dict[str, Any]:
    gain = conclusion.evaluation.gain(CHAMPION, ALL, "ndcg@10")
    return {
        "model": version.reference,
        "digest": version.digest,
        "promoted": verdict.promote,
        "reason": verdict.reason,
        "champion": conclusion.champion,
        "ndcg@10": {key: getattr(gain, key) for key in ("before", "after", "low", "high")} if gain else {},
        "steps": conclusion.training.steps,
        "pairs": conclusion.training.pairs,
        "seconds": conclusion.training.seconds,
        "run": conclusion.run,
    }


def summary_json(summary: Mapping[str, Any]) -> str:
    """Return a summary as the pipeline's output."""
    return json.dumps(summary, ensure_ascii=False)
