"""Model folders: what is read from them, and what is wrong with others."""

import json
import shutil
import time
from pathlib import Path

import pytest

from ragline.embedding.model import DEFAULT, EmbeddingModel, find_model, read_model
from ragline.errors import ModelError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder that is complete, with weights that nobody reads."""
    folder = tmp_path / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    write(folder, "config.json", model_type="bert", hidden_size=8, max_position_embeddings=64)
    write(folder, "tokenizer.json", version="1.0")
    write(folder, "1_Pooling/config.json", pooling_mode_mean_tokens=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def write(folder: Path, name: str, **values: object) -> None:
    """Write a JSON file of the folder."""
    (folder / name).write_text(json.dumps(values))


def test_the_embedded_default_is_found_by_its_name() -> None:
    """Its weights come with a package."""
    model = find_model(DEFAULT)
    facts = (model.name, model.pooling, model.max_tokens, model.dimensions, model.weights.name)
    assert facts == (DEFAULT, "mean", 256, 384, "model.safetensors")


def test_a_folder_is_a_model(folder: Path) -> None:
    """Everything is read from its files."""
    assert find_model(str(folder)) == EmbeddingModel(str(folder), folder, "mean", 64, normalised=True)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": "mean"}, "mean"),
    ],
)
def test_pooling_is_read_in_both_spellings(folder: Path, pooling: dict[str, object], expected: str) -> None:
    """sentence-transformers changed it."""
    write(folder, "1_Pooling/config.json", **pooling)
    assert find_model(str(folder)).pooling == expected


@pytest.mark.parametrize(("model_type", "expected"), [("bert", "mean"), ("xlm-roberta", "cls")])
def test_without_a_pooling_file_the_architecture_decides(folder: Path, model_type: str, expected: str) -> None:
    """BGE-M3 comes without one in some copies."""
    shutil.rmtree(folder / "1_Pooling")
    write(folder, "config.json", model_type=model_type, hidden_size=8)
    assert find_model(str(folder)).pooling == expected


def test_the_longest_input_is_the_smaller_limit(folder: Path) -> None:
    """sentence-transformers' limit, but no more than the positions; two of XLM-RoBERTa's are not for text."""
    write(folder, "sentence_bert_config.json", max_seq_length=48)
    assert find_model(str(folder)).max_tokens == 48
    write(folder, "sentence_bert_config.json", max_seq_length=4096)
    assert find_model(str(folder)).max_tokens == 64
    write(folder, "config.json", model_type="xlm-roberta", hidden_size=8, max_position_embeddings=8194, pad_token_id=1)
    (folder / "sentence_bert_config.json").unlink()
    assert find_model(str(folder)).max_tokens == 8192


def test_the_digest_follows_what_decides_a_vector(folder: Path, tmp_path: Path) -> None:
    """Weights, tokenizer, pooling and longest input change it; name and place do not."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    digests = [find_model(str(folder)).digest]
    assert find_model(str(copy)).digest == digests[0]
    (folder / "model.safetensors").write_bytes(b"other weights")
    digests.append(find_model(str(folder)).digest)
    write(folder, "tokenizer.json", version="1.1")
    digests.append(find_model(str(folder)).digest)
    write(folder, "1_Pooling/config.json", pooling_mode_cls_token=True)
    digests.append(find_model(str(folder)).digest)
    write(folder, "sentence_bert_config.json", max_seq_length=32)
    digests.append(find_model(str(folder)).digest)
    assert len(set(digests)) == 5


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, missing: str) -> None:
    """The message says what the folder needs."""
    (folder / missing).unlink()
    message = (
        "holds no weights; expected one of" if missing.endswith("safetensors") else f"{missing} is missing; it needs"
    )
    with pytest.raises(ModelError, match=message):
        find_model(str(folder))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", "{", r"config\.json cannot be read as JSON"),
        ("config.json", "[]", r"config\.json holds no JSON object"),
        ("config.json", "{}", "names no model_type and hidden_size"),
        ("1_Pooling/config.json", '{"pooling_mode_max_tokens": true}', "a pooling other than cls or mean"),
        ("sentence_bert_config.json", "\udcff", r"sentence_bert_config\.json cannot be read as JSON"),
    ],
)
def test_a_damaged_file_is_named(folder: Path, name: str, content: str, message: str) -> None:
    """The message says which, and what is wrong with it."""
    (folder / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError, match=message):
        find_model(str(folder))


@pytest.mark.parametrize("name", ["./nothing", "/nothing/here", "~nobody/x", "unknown-name", "a/b/c"])
def test_a_name_that_is_no_folder_is_refused(name: str) -> None:
    """A path, and a name that no hub could know."""
    with pytest.raises(ModelError, match="is not a folder; name a model folder or a hub id"):
        find_model(name)


def test_a_file_is_no_model(tmp_path: Path) -> None:
    """Its folder is what should have been named."""
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="is not a folder"):
        read_model("mine", tmp_path / "model.safetensors")


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_name_is_refused(name: str) -> None:
    """An unset variable in a script must not become the current folder."""
    with pytest.raises(ModelError, match="the name is empty"):
        find_model(name)


@pytest.mark.parametrize("name", ["nobody/no-such-model", "bad name/x", "a/-b--c"])
def test_a_hub_id_that_cannot_be_had_is_one_quick_error(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Offline there is only the local cache; the message says how to go on without a network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    begun = time.monotonic()
    with pytest.raises(ModelError, match=r"not a folder here, and the hub did not give it .*; download it where"):
        find_model(name)
    assert time.monotonic() - begun < 5
