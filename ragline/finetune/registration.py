"""Write a training down in MLflow: one run, and one version of the registered model."""

import logging
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ragline import __version__
from ragline.embedding.model import EmbeddingModel, read_model
from ragline.errors import StoreError
from ragline.object_store import open_store
from ragline.registry.model_store import ModelStore
from ragline.registry.registered_model import (
    AFTER,
    BEFORE,
    CORPUS,
    DIGEST,
    RUN,
    URI,
    VERDICT,
    ModelVersion,
    check_model_name,
)
from ragline.registry.registry import EXPERIMENT, Registry
from ragline.settings import RegistrySettings, environment_of_mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient

_log = logging.getLogger(__name__)

_METRICS, _PARAMETERS = 1000, 100
"""How many MLflow takes in one request."""

_LONGEST = 500
"""Characters of a parameter that every database behind MLflow takes; of a tag it takes more."""

_LONGEST_TAG = 5000
_EXAMPLE = ["How do I roll back a release?", "Releases never change."]


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """What is to be known of a training.

    Attributes:
        name: of the registered model.
        folder: the trained model.
        corpus_digest: of the snapshot of documents.
        run: of the pipeline, as Kubeflow names it.
        verdict: of the gate, one sentence.
        parameters: of the training, and what it began with.
        environment: versions and hardware.
        curve: for each logged step its `step` and measures (`loss`, `learning_rate`, ...).
        metrics: of the evaluation.
        ndcg_before: nDCG@10 of the champion, or of the base model if there is none; None if it was not measured.
        ndcg_after: nDCG@10 of this model; likewise.
        artifacts: files of the run: the report, the plots.
        files: of the run as JSON, by name.
        experiment: of the run.
    """

    name: str
    folder: Path
    corpus_digest: str
    run: str
    verdict: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    curve: Sequence[Mapping[str, float]] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    ndcg_before: float | None = None
    ndcg_after: float | None = None
    artifacts: Sequence[Path] = ()
    files: Mapping[str, Any] = field(default_factory=dict)
    experiment: str = EXPERIMENT


def register_training(record: TrainingRecord, store_uri: str) -> ModelVersion:
    """Keep a trained model under its digest in the object store, and register it as challenger.

    Repeated for the same run of the pipeline and the same model, it finds what it has registered.

    Args:
        record: what is to be known of it.
        store_uri: object store for the model's files.

    Raises:
        StoreError: the registry or the object store cannot be used.
        ModelError: the folder is no model.
    """
    check_model_name(record.name)
    settings = RegistrySettings.from_environment()
    model, registry = read_model(record.name, record.folder), Registry.from_environment()
    models = ModelStore(open_store(store_uri))
    models.put(record.folder, name=record.name, extra={"corpus_digest": record.corpus_digest, "run": record.run})
    version = _registered_before(registry, record, model)
    if version is None:
        with environment_of_mlflow(settings), _client(settings) as client:
            number = _write_run(client, record, model, _tags(record, models.uri(model.digest), model))
        version = registry.version(record.name, number)
    registry.challenge(version)
    _log.info("registered %s, digest %s", version.reference, version.digest[:12])
    return registry.version(record.name, str(version.number))


def _registered_before(registry: Registry, record: TrainingRecord, model: EmbeddingModel) -> ModelVersion | None:
    """Return the version that an attempt of the same run registered before it was killed."""
    versions = registry.versions(record.name) if record.run else []
    return next((v for v in versions if v.digest == model.digest and v.tags.get(RUN) == record.run), None)


@contextmanager
def _client(settings: RegistrySettings) -> "Iterator[MlflowClient]":
    """Give MLflow's own client, which knows how artifacts are stored; its errors become ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns of its own type hints
        import mlflow
        import mlflow.pyfunc
        from mlflow.exceptions import MlflowException

        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(settings.url)
        try:
            yield mlflow.MlflowClient(settings.url)
        except MlflowException as exc:
            raise StoreError(f"cannot register the model at {settings.url}: {_first_line(exc)}") from exc
        finally:
            mlflow.set_tracking_uri(before)


def _write_run(client: "MlflowClient", record: TrainingRecord, model: EmbeddingModel, tags: Mapping[str, str]) -> str:
    """Write the run, with the model as its artifact, and return the number of the version."""
    import mlflow

    mlflow.set_experiment(record.experiment)
    with mlflow.start_run(run_name=record.run or None, tags=dict(tags)) as run:
        _write_numbers(client, run.info.run_id, record)
        for path in record.artifacts:
            client.log_artifact(run.info.run_id, str(path))
        for name, value in {**record.files, "environment.json": dict(record.environment)}.items():
            client.log_dict(run.info.run_id, value, name)
        logged = mlflow.pyfunc.log_model(
            name="model",
            loader_module="ragline.finetune.mlflow_model",
            data_path=str(model.folder),
            pip_requirements=[f"ragline[local]=={__version__}"],
            signature=_signature(model),
            input_example=_EXAMPLE,
        )
        version = mlflow.register_model(logged.model_uri, record.name, tags=dict(tags))
    return str(version.version)


def _write_numbers(client: "MlflowClient", run: str, record: TrainingRecord) -> None:
    """Write parameters and curves, many in one request."""
    from mlflow.entities import Metric, Param

    environment = {f"environment.{name}": value for name, value in record.environment.items()}
    parameters = iter([Param(k, str(v)[:_LONGEST]) for k, v in {**record.parameters, **environment}.items()])
    while some := list(islice(parameters, _PARAMETERS)):
        client.log_batch(run, params=some)
    now = int(time.time() * 1000)
    points = [
        Metric(name, value, now, int(entry["step"]))
        for entry in record.curve
        for name, value in entry.items()
        if name != "step"
    ]
    measures = iter([*points, *(Metric(name, value, now, 0) for name, value in record.metrics.items())])
    while batch := list(islice(measures, _METRICS)):
        client.log_batch(run, metrics=batch)


def _signature(model: EmbeddingModel) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema, TensorSpec

    vectors = TensorSpec(np.dtype("float32"), (-1, model.dimensions))
    return ModelSignature(inputs=Schema([ColSpec("string")]), outputs=Schema([vectors]))


def _tags(record: TrainingRecord, uri: str, model: EmbeddingModel) -> dict[str, str]:
    measured = {BEFORE: record.ndcg_before, AFTER: record.ndcg_after}
    tags = {DIGEST: model.digest, URI: uri, CORPUS: record.corpus_digest, RUN: record.run, VERDICT: record.verdict}
    tags |= {tag: f"{value:.4f}" for tag, value in measured.items() if value is not None}
    return {tag: value[:_LONGEST_TAG] for tag, value in tags.items() if value}


def _first_line(exc: Exception) -> str:
    return (str(exc).splitlines() or [type(exc).__name__])[0][:300]
