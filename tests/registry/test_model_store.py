"""Models in an object store: put, fetched, verified, added to; what is damaged or missing is named."""

import json
import shutil
import threading
from pathlib import Path

import pytest

from ragline.embedding.model import read_model
from ragline.errors import IntegrityError, ModelError, NewerFormatError
from ragline.object_store import ObjectStore
from ragline.registry.model_store import ModelStore
from tests.small_releases import keys


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder with weights that nobody reads, a head, a hidden file and a link."""
    folder = tmp_path / "trained"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_size": 8}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    (tmp_path / "blob").write_bytes(b"weights" * 1000)
    (folder / "model.safetensors").symlink_to(tmp_path / "blob")
    (folder / "sparse_linear.pt").write_bytes(b"head")
    (folder / ".gitattributes").write_text("no part of the model")
    return folder


@pytest.fixture
def models(store: ObjectStore) -> ModelStore:
    """An empty store of models, of either kind."""
    return ModelStore(store)


def content(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_model_comes_back_as_it_was(models: ModelStore, folder: Path, tmp_path: Path) -> None:
    """Under its digest, with all files but hidden ones; links are followed; `model.json` says what it is."""
    digest = models.put(folder, name="docs", extra={"run": "run-1"})
    copy = models.fetch(digest, tmp_path / "cache")
    expected = content(folder)
    expected.pop(".gitattributes")
    assert (digest, content(copy)) == (read_model("docs", folder).digest, expected)
    assert copy == tmp_path / "cache" / "models" / digest / "model"
    stored = models.check(digest)
    assert (stored.digest, stored.name, stored.extra) == (digest, "docs", {"run": "run-1"})
    assert keys(models.store) == sorted(
        [f"models/{digest}/model.json", *(f"models/{digest}/{p}" for p in stored.files)]
    )
    assert models.uri(digest) == f"{models.store.uri}/models/{digest}"


def test_the_same_model_is_stored_once(models: ModelStore, folder: Path) -> None:
    """The second time nothing is written; a lost file is put back."""
    digest = models.put(folder, name="docs")
    before = {info.key: info.etag for info in models.store.list()}
    (folder / "README.md").write_text("said later")
    assert models.put(folder, name="other") == digest
    assert {info.key: info.etag for info in models.store.list()} == before
    models.store.delete(f"models/{digest}/model/config.json")
    with pytest.raises(ModelError, match=r"model/config\.json is missing or has another size; put the model there"):
        models.check(digest)
    models.put(folder, name="docs")
    assert "model/README.md" in models.check(digest).files


def test_other_heads_on_the_same_vectors_are_refused(models: ModelStore, folder: Path) -> None:
    """The digest is of dense vectors: a model that differs only in its sparse head must not be taken for the first."""
    models.put(folder, name="docs")
    (folder / "sparse_linear.pt").write_bytes(b"another head")
    with pytest.raises(ModelError, match=r"has the same dense vectors and another sparse_linear\.pt"):
        models.put(folder, name="docs")


def test_exports_are_added_beside_the_model(models: ModelStore, folder: Path, tmp_path: Path) -> None:
    """Two at once; a new one replaces its predecessor; the model is as it was."""
    digest = models.put(folder, name="docs", extra={"run": "run-1"})
    for part in ("triton", "onnx"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "model.onnx").write_text(f"graph for {part}")
    threads = [threading.Thread(target=models.add, args=(digest, part, tmp_path / part)) for part in ("triton", "onnx")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = models.check(digest)
    assert {path for path in stored.files if not path.startswith("model/")} == {"triton/model.onnx", "onnx/model.onnx"}
    assert (stored.name, stored.extra) == ("docs", {"run": "run-1"})
    (tmp_path / "onnx" / "model.onnx").rename(tmp_path / "onnx" / "graph.onnx")
    assert set(models.add(digest, "onnx", tmp_path / "onnx").below("onnx")) == {"graph.onnx"}
    assert content(models.fetch(digest, tmp_path / "cache", "triton")) == {"model.onnx": b"graph for triton"}
    with pytest.raises(ModelError, match="has no tensorrt/"):
        models.fetch(digest, tmp_path / "cache", "tensorrt")
    with pytest.raises(ModelError, match="'model' cannot be added"):
        models.add(digest, "model", tmp_path / "onnx")


def test_many_who_fetch_at_once_share_one_copy(models: ModelStore, folder: Path, tmp_path: Path) -> None:
    """All get the same whole folder, and what a killed download left is gone."""
    digest, cache = models.put(folder, name="docs"), tmp_path / "cache"
    (cache / "models" / digest / ".fetch-model" / "rest").mkdir(parents=True)
    copies: list[Path] = []
    threads = [threading.Thread(target=lambda: copies.append(models.fetch(digest, cache))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert copies == [cache / "models" / digest / "model"] * 8
    assert [path.name for path in (cache / "models" / digest).iterdir()] == ["model"]


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_damaged_model_is_not_taken(models: ModelStore, folder: Path, tmp_path: Path, damage: str) -> None:
    """The file is named, and the cache stays without it."""
    digest = models.put(folder, name="docs")
    key = f"models/{digest}/model/model.safetensors"
    if damage == "gone":
        models.store.delete(key)
    else:
        models.store.write(key, b"w1ights" * 1000)
    kind = ModelError if damage == "gone" else IntegrityError
    with pytest.raises(kind, match=r"model/model\.safetensors is (missing|not what model\.json says): put the model"):
        models.fetch(digest, tmp_path / "cache")
    assert not (tmp_path / "cache" / "models" / digest / "model").exists()


def test_files_of_another_model_are_not_taken(models: ModelStore, folder: Path, tmp_path: Path) -> None:
    """Whoever copies a model to another digest's place is found out by what it would make of texts."""
    digest = models.put(folder, name="docs")
    shutil.copytree(folder, tmp_path / "other")
    (tmp_path / "other" / "tokenizer.json").write_text('{"other": 1}')
    other = models.put(tmp_path / "other", name="other")
    for info in list(models.store.list(f"models/{other}/")):
        models.store.write(info.key.replace(other, digest), models.store.read(info.key))
    with pytest.raises(IntegrityError, match="makes other vectors"):
        models.fetch(digest, tmp_path / "cache")


def test_what_is_not_there_is_named(models: ModelStore, tmp_path: Path) -> None:
    """The place is in the message; something that is no digest is not looked for."""
    with pytest.raises(ModelError, match=rf"is not in {models.store.uri}: .*/model.json is missing"):
        models.fetch("0" * 64, tmp_path)
    with pytest.raises(ModelError, match="expected a sha256 in hex"):
        models.fetch("../../etc", tmp_path)
    assert not models.has("0" * 64)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"format": 2}, NewerFormatError, "has format 2; this ragline reads up to 1"),
        ({"files": {"model/../../x": {"bytes": 1, "sha256": ""}}}, IntegrityError, "lists files that no model has"),
        ({"files": {"/etc/passwd": {"bytes": 1, "sha256": ""}}}, IntegrityError, "lists files that no model has"),
        ({"files": None}, IntegrityError, r"model\.json is damaged"),
    ],
)
def test_a_malformed_model_json_is_refused(
    models: ModelStore, folder: Path, change: dict[str, object], kind: type[Exception], message: str
) -> None:
    """It may come from elsewhere: no path of it leads out of the cache."""
    digest = models.put(folder, name="docs")
    value = json.loads(models.store.read(f"models/{digest}/model.json"))
    models.store.write(f"models/{digest}/model.json", json.dumps(value | change).encode())
    with pytest.raises(kind, match=message):
        models.read(digest)
