"""The pipeline from documents to a registered, promoted and serving embedder, from its compiled YAML."""

import json
import re
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from ragline.cli import main
from ragline.client import Client
from ragline.embedding.model import DEFAULT, find_model
from ragline.errors import CredentialsError, InputError
from ragline.object_store import open_store
from ragline.registry.model_store import ModelStore
from ragline.registry.registry import Registry
from tests.finetune.small_corpus import THINGS, guide
from tests.mlflow_server import READER, MlflowServer

QUESTION = "What is a windmill?"


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of guides."""
    folder = tmp_path_factory.mktemp("guides")
    for thing in THINGS:
        (folder / f"{thing}.md").write_text(guide(thing))
    return folder


@pytest.fixture(scope="module")
def shallow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first two of the embedded default's six layers: quick, and in need of training."""
    folder, source = tmp_path_factory.mktemp("shallow") / "model", find_model(DEFAULT).folder
    (folder / "1_Pooling").mkdir(parents=True)
    for name in ("tokenizer.json", "sentence_bert_config.json", "1_Pooling/config.json"):
        (folder / name).write_bytes((source / name).read_bytes())
    config = json.loads((source / "config.json").read_text()) | {"num_hidden_layers": 2}
    (folder / "config.json").write_text(json.dumps(config))
    weights = load_file(source / "model.safetensors").items()
    kept = {name: value for name, value in weights if not re.match(r"encoder\.layer\.[2-9]", name)}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.slow
def test_a_better_model_is_promoted_and_the_next_release_has_its_vectors(
    documents: Path,
    shallow: Path,
    mlflow_server: MlflowServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Train, register, promote, index, ask; then a training that changes nothing is refused by the gate."""
    for name, value in (mlflow_server.environment() | {"RAGLINE_CACHE": str(tmp_path / "cache")}).items():
        monkeypatch.setenv(name, value)
    store = str(tmp_path / "store")
    command = ["finetune", str(documents), "--store", store, "--model", "guides", "--base", str(shallow), "--json"]
    assert main([*command, "--epochs", "3", "--batch", "16", "--learning-rate", "1e-4", "--test-share", "0.3"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["promoted"], first["reason"]
    assert first["ndcg@10"]["low"] > 0
    assert first["model"] == "models:/guides/1"
    models = ModelStore(open_store(store))
    stored = models.check(first["digest"])
    assert {path.partition("/")[0] for path in stored.files} == {"model", "triton", "report"}
    version = Registry.from_environment().champion("guides")
    assert version is not None
    assert (version.reference, version.digest) == (first["model"], first["digest"])

    embedder = ["--embedder", "models:/guides@champion"]
    assert main(["index", str(documents), "--store", store, *embedder, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["embedded"] > 0
    monkeypatch.delenv("MLFLOW_TRACKING_URI")  # who answers needs no registry: the model is in the store
    assert main(["ask", QUESTION, "--store", store, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["citations"][0]["source"] == "windmill.md"

    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
    again = Client().finetune(
        str(documents), store_uri=store, model_name="guides", base_model=first["model"], learning_rate=1e-12, epochs=0.5
    )
    assert not again["promoted"]
    assert again["reason"].startswith("Not promoted: ")
    assert again["champion"] == first["model"]
    version = Registry.from_environment().champion("guides")
    assert version is not None
    assert version.reference == first["model"]
    assert Registry.from_environment().version("guides", "challenger").reference == again["model"] == "models:/guides/2"


@pytest.mark.slow
def test_a_user_who_may_only_read_is_told_before_any_work(
    documents: Path, mlflow_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first step fails, with the permission that is missing; no document is read."""
    for name, value in mlflow_server.environment(READER).items():
        monkeypatch.setenv(name, value)
    lines: list[str] = []
    with pytest.raises(CredentialsError, match="permission EDIT"):
        Client(lines.append).finetune(str(documents), store_uri=str(tmp_path), model_name="guides-of-nobody")
    assert not any("snapshot" in line for line in lines)
    assert READER[1] not in "".join(lines)


@pytest.mark.slow
def test_too_few_documents_are_counted(
    mlflow_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says how many there are and how many are needed."""
    for name, value in mlflow_server.environment().items():
        monkeypatch.setenv(name, value)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "one.md").write_text(guide("windmill"))
    with pytest.raises(InputError, match="1 documents with text are too few, at least 8"):
        Client().finetune(str(tmp_path / "docs"), store_uri=str(tmp_path / "store"), model_name="few-guides")
