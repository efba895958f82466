"""A training is written down: a run with everything that was measured, a version that MLflow itself can load."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from ragline.embedding.embedder import Embedder
from ragline.embedding.model import find_model
from ragline.errors import StoreError
from ragline.finetune.registration import TrainingRecord, register_training
from ragline.object_store import open_store
from ragline.registry.registered_model import AFTER, BEFORE, CORPUS, DIGEST, RUN, URI, VERDICT
from ragline.settings import RegistrySettings, environment_of_mlflow
from tests.conftest import Bucket
from tests.registry_shelf import Shelf


@pytest.fixture
def record(shelf: Shelf, two_models: tuple[Path, Path], tmp_path: Path) -> TrainingRecord:
    """A training with a curve longer than MLflow takes at once."""
    (tmp_path / "report.html").write_text("<html>the report</html>")
    return TrainingRecord(
        name=shelf.name,
        folder=two_models[0],
        corpus_digest="c" * 64,
        run="finetune-embedder-7",
        verdict="Promoted: it is better.",
        parameters={"epochs": 2, "base_model": "x" * 600},
        environment={"torch": "2.13.0"},
        curve=[{"step": step, "loss": 1 / (step + 1), "learning_rate": 1e-5} for step in range(600)],
        metrics={"challenger/ndcg_at_10": 0.5},
        ndcg_before=0.41237,
        ndcg_after=0.5,
        artifacts=[tmp_path / "report.html"],
        files={"evaluation.json": {"questions": 3}},
    )


def test_a_training_is_registered(shelf: Shelf, record: TrainingRecord, stores: Bucket, s3: Bucket) -> None:
    """The version is the challenger and can be traced; its run has parameters, curves, metrics and files."""
    store_uri = f"{s3.uri}/some/prefix"
    version = register_training(record, store_uri)
    digest = find_model(str(record.folder)).digest
    assert version.tags == {
        DIGEST: digest,
        URI: f"{store_uri}/models/{digest}",
        CORPUS: "c" * 64,
        RUN: "finetune-embedder-7",
        VERDICT: "Promoted: it is better.",
        BEFORE: "0.4124",
        AFTER: "0.5000",
    }
    assert (version.number, version.aliases, version.store_uri) == (1, ("challenger",), store_uri)
    run = shelf.server.tracking().find("runs/get", "read", run_id=version.mlflow_run)
    assert run
    data = run["run"]["data"]
    assert {each["key"]: each["value"] for each in data["params"]} == {
        "epochs": "2",
        "base_model": "x" * 500,
        "environment.torch": "2.13.0",
    }
    assert {each["key"]: (each["value"], int(each.get("step", 0))) for each in data["metrics"]} == {
        "loss": (1 / 600, 599),
        "learning_rate": (1e-5, 599),
        "challenger/ndcg_at_10": (0.5, 0),
    }
    assert {DIGEST, RUN} <= {each["key"] for each in data["tags"]}
    listed = shelf.server.tracking().find("artifacts/list", "list", run_id=version.mlflow_run)
    assert listed
    names = {each["path"] for each in listed["files"]}
    assert {"report.html", "evaluation.json", "environment.json"} <= names
    artifacts = [info.key for info in open_store(f"{stores.uri}/mlflow").list()]
    assert [key for key in artifacts if key.endswith(f"/data/{record.folder.name}/model.safetensors")]


def test_mlflow_itself_loads_what_was_registered(shelf: Shelf, record: TrainingRecord) -> None:
    """With signature and example; its vectors are ours."""
    version = register_training(record, shelf.store_uri)
    settings = RegistrySettings.from_environment()
    with environment_of_mlflow(settings), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow

        mlflow.set_tracking_uri(settings.url)
        loaded = mlflow.pyfunc.load_model(version.reference)
        example = loaded.input_example
        vectors = loaded.predict(["the keeper", "of the tower"])
    expected = Embedder.named(str(record.folder)).embed(["the keeper", "of the tower"])
    np.testing.assert_array_equal(vectors, expected)
    assert (len(example), [each.shape for each in loaded.metadata.signature.outputs]) == (2, [(-1, 32)])


def test_a_repeated_registration_finds_the_first(shelf: Shelf, record: TrainingRecord) -> None:
    """Kubeflow starts a step again whose pod was lost: there is one version, and one run."""
    versions = [register_training(record, shelf.store_uri) for _ in range(2)]
    assert versions[0] == versions[1]
    assert [each.number for each in shelf.registry.versions(shelf.name)] == [1]


def test_what_mlflow_refuses_is_one_error(shelf: Shelf, record: TrainingRecord) -> None:
    """The run is marked as failed, and there is no version."""
    bad = TrainingRecord(
        shelf.name, record.folder, "c" * 64, "run", "", metrics={"name with ? and #": 1.0}, parameters={"": 1}
    )
    with pytest.raises(StoreError, match=f"cannot register the model at {shelf.server.url}: "):
        register_training(bad, shelf.store_uri)
    assert shelf.registry.versions(shelf.name) == []
