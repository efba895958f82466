"""Fixtures that many tests share: data beside the checkout, a real S3 server, a store of either kind."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ragline.object_store import ObjectStore, open_store
from ragline.settings import VARIABLES
from tests.seaweed import Seaweed

pytest_plugins = ["tests.registry_shelf"]

_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the developer's own settings and keys from every test."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable.name, raising=False)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The data beside the checkout; the test is skipped where they are not."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("needs the data folder ../shared/data beside the checkout")
    return folder


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """A running S3 server, shared by all tests; started by the first one that asks."""
    with Seaweed.start(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@dataclass(frozen=True)
class Bucket:
    """An empty bucket on a running server, which the environment points to."""

    name: str
    server: Seaweed

    @property
    def uri(self) -> str:
        """The bucket's URI."""
        return f"s3://{self.name}"


@pytest.fixture
def s3(seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A fresh bucket; the environment holds its endpoint and keys, and little patience."""
    bucket = Bucket(f"test-{next(_numbers)}", seaweed)
    seaweed.make_bucket(bucket.name)
    _point_to(seaweed, monkeypatch)
    yield bucket
    seaweed.remove_bucket(bucket.name)


def _point_to(seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in seaweed.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAGLINE_STORE_RETRY_SECONDS", "5")


@pytest.fixture(scope="session")
def stores(seaweed: Seaweed) -> Bucket:
    """One bucket for many stores: the server runs out of volumes at about a hundred buckets."""
    seaweed.make_bucket("stores")
    return Bucket("stores", seaweed)


@pytest.fixture(params=["folder", "s3"])
def store_uri(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of an empty store: the test runs once on a folder, once on S3."""
    if request.param == "folder":
        folder = tmp_path / "store"
        folder.mkdir()
        return str(folder)
    bucket: Bucket = request.getfixturevalue("stores")
    _point_to(bucket.server, monkeypatch)
    return f"{bucket.uri}/some/prefix-{next(_numbers)}"


@pytest.fixture
def store(store_uri: str) -> ObjectStore:
    """An empty store, of either kind."""
    return open_store(store_uri)
