"""A real MLflow server for the session, tiny models, and versions registered without training anything."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ragline.object_store import open_store
from ragline.registry.model_store import ModelStore
from ragline.registry.registered_model import DIGEST, URI
from ragline.registry.registry import Registry
from tests.conftest import Bucket
from tests.embedding.conftest import tiny_model
from tests.mlflow_server import MlflowServer

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def mlflow_server(stores: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A running MLflow server that keeps artifacts in S3; started by the first test that asks."""
    pytest.importorskip("mlflow", reason="the registry is MLflow: pip install 'ragline[train]'")
    s3 = stores.server.environment()
    s3["MLFLOW_S3_ENDPOINT_URL"] = s3["AWS_ENDPOINT_URL"]
    folder = tmp_path_factory.mktemp("mlflow")
    with MlflowServer.start(folder, f"{stores.uri}/mlflow", s3) as server:
        yield server


@pytest.fixture(scope="session")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two tiny models that make different vectors."""
    first, second = (tiny_model(tmp_path_factory.mktemp("tiny"), seed=seed, positions=300) for seed in (1, 2))
    return first, second


@dataclass(frozen=True)
class Shelf:
    """A registered model without versions, and a store for its files."""

    name: str
    server: MlflowServer
    store_uri: str

    @property
    def registry(self) -> Registry:
        """The registry, as the administrator sees it."""
        return Registry(self.server.tracking())

    @property
    def models(self) -> ModelStore:
        """The store of the files."""
        return ModelStore(open_store(self.store_uri))

    def register(self, folder: Path, **tags: str) -> int:
        """Store a model and register it; return the number of the version."""
        digest = self.models.put(folder, name=self.name)
        return self.version({DIGEST: digest, URI: self.models.uri(digest), **tags})

    def version(self, tags: dict[str, str]) -> int:
        """Register a version with these tags, as anybody can."""
        listed = [{"key": key, "value": value} for key, value in tags.items()]
        made = self.server.tracking().change(
            "POST", "model-versions/create", "register", name=self.name, source="s3://elsewhere/model", tags=listed
        )
        return int(made["model_version"]["version"])

    def point(self, alias: str, number: int) -> None:
        """Move an alias, as anybody can in MLflow."""
        where = {"name": self.name, "alias": alias, "version": str(number)}
        self.server.tracking().change("POST", "registered-models/alias", "move an alias", **where)


@pytest.fixture
def shelf(mlflow_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """A fresh registered model; the environment names the server."""
    for name, value in mlflow_server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAGLINE_CACHE", str(tmp_path / "cache"))
    made = Shelf(f"docs-{next(_numbers)}", mlflow_server, str(tmp_path / "models-store"))
    open_store(made.store_uri).check(write=True)
    mlflow_server.tracking().change("POST", "registered-models/create", "make a model", name=made.name)
    return made
