"""Encoder graphs: what cannot be built is said."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ragline.embedding.embedder import Embedder
from ragline.embedding.graph import encoder_graph
from ragline.embedding.model import DEFAULT, find_model
from ragline.errors import ModelError

SIZE = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 16}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A BERT encoder of one layer with random weights."""
    random = np.random.default_rng(3)
    layer = "encoder.layer.0."
    dense: dict[str, tuple[int, ...]] = {f"{layer}attention.self.{part}": (8, 8) for part in ("query", "key", "value")}
    dense |= {f"{layer}attention.output.dense": (8, 8), f"{layer}intermediate.dense": (16, 8)}
    dense |= {f"{layer}output.dense": (8, 16)}
    norms = ["embeddings.LayerNorm", f"{layer}attention.output.LayerNorm", f"{layer}output.LayerNorm"]
    tensors: dict[str, tuple[int, ...]] = {
        f"embeddings.{kind}_embeddings.weight": (rows, 8) for kind, rows in _TABLES.items()
    }
    tensors |= {f"{name}.weight": shape for name, shape in dense.items()}
    tensors |= {f"{name}.bias": shape[:1] for name, shape in dense.items()}
    tensors |= {f"{name}.{part}": (8,) for name in norms for part in ("weight", "bias")}
    weights = {name: random.normal(size=shape).astype(np.float32) for name, shape in tensors.items()}
    save_file(weights, tmp_path / "model.safetensors")
    shutil.copy(find_model(DEFAULT).tokenizer, tmp_path / "tokenizer.json")
    (tmp_path / "config.json").write_text(json.dumps(SIZE | {"model_type": "bert"}))
    return tmp_path


_TABLES = {"word": 30522, "position": 16, "token_type": 2}


def change(folder: Path, **values: object) -> None:
    """Change the configuration."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_tensors_may_carry_the_prefix_of_their_architecture(folder: Path) -> None:
    """Some models were saved with a head around the encoder."""
    plain = Embedder.named(str(folder)).embed(["a b c"])
    weights = load_file(folder / "model.safetensors")
    save_file({f"bert.{name}": tensor for name, tensor in weights.items()}, folder / "model.safetensors")
    assert Embedder.named(str(folder)).embed(["a b c"]).tobytes() == plain.tobytes()


@pytest.mark.parametrize("damage", [b"", b"not safetensors", None], ids=["empty", "other", "truncated"])
def test_damaged_weights_are_a_model_error(folder: Path, damage: bytes | None) -> None:
    """The message names the file."""
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100] if damage is None else damage)
    with pytest.raises(ModelError, match=r"model\.safetensors is damaged"):
        encoder_graph(find_model(str(folder)))


def test_a_missing_tensor_is_named(folder: Path) -> None:
    """The configuration promises more layers than there are."""
    change(folder, num_hidden_layers=2)
    with pytest.raises(ModelError, match=r"model\.safetensors has no tensor 'encoder\.layer\.1\."):
        encoder_graph(find_model(str(folder)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "llama"}, "architecture 'llama' has no CPU graph"),
        ({"hidden_act": "silu"}, "activation 'silu' is not supported"),
        ({"position_embedding_type": "relative_key"}, "positions 'relative_key' are not supported"),
        ({"num_attention_heads": 3}, "8 dimensions do not divide into 3 heads"),
    ],
)
def test_what_the_graph_cannot_be_is_refused(folder: Path, values: dict[str, object], message: str) -> None:
    """Rather an error than wrong vectors."""
    change(folder, **values)
    with pytest.raises(ModelError, match=message):
        encoder_graph(find_model(str(folder)))


def test_an_unknown_architecture_needs_torch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch is missing, the message says what to install."""
    change(folder, model_type="mpnet")
    monkeypatch.setattr("ragline.embedding.embedder.find_spec", lambda _: None)
    with pytest.raises(ModelError, match=r"architecture 'mpnet' needs torch; run: pip install 'ragline\[train\]'"):
        Embedder.named(str(folder))
