"""ONNX files give what the models give."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragline.embedding.embedder import Embedder
from ragline.embedding.model import EmbeddingModel, read_model
from ragline.errors import ModelError
from ragline.export.checks import cosines
from ragline.export.onnx import OnnxModel, export_onnx
from ragline.export.triton_model import Encoder
from ragline.export.triton_repository import describe
from ragline.export.weights import Weights
from tests.export.conftest import TEXTS

FP32 = {"name": "fp32", "runtime": "onnxruntime", "file": "model.onnx", "precision": "f32"}


def encoder(model: EmbeddingModel, folder: Path, **options: int) -> Encoder:
    """Export a model, and run the file as the server does."""
    export_onnx(model, folder / "model.onnx", **options)
    shutil.copy(model.tokenizer, folder)
    return Encoder(folder, describe(model), FP32, threads=2)


@pytest.fixture(params=["bert", "m3"])
def model(request: pytest.FixtureRequest) -> EmbeddingModel:
    """A tiny model, of each architecture."""
    found: EmbeddingModel = request.getfixturevalue(request.param)
    return found


def test_vectors_agree_with_the_embedder(model: EmbeddingModel, tmp_path: Path) -> None:
    """Mean and CLS pooling, both ways to count positions, texts that are cut, an empty one: all in one padded batch."""
    from ragline.embedding.torch_backend import TorchBackend

    expected = Embedder(model, TorchBackend(model)).embed(TEXTS)
    found = encoder(model, tmp_path).embed(TEXTS)
    assert cosines(found, expected).min() >= 0.99999
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_the_embedders_own_backend_agrees(model: EmbeddingModel, tmp_path: Path) -> None:
    """The vectors of a pipeline run and those of the server are of one space."""
    embedder = Embedder(model)
    least = 0.9999 if embedder.precision == "f32" else 0.99  # bf16 through random weights, far from a trained model's
    assert cosines(encoder(model, tmp_path).embed(TEXTS), embedder.embed(TEXTS)).min() >= least


def test_padding_changes_nothing(m3: EmbeddingModel, tmp_path: Path) -> None:
    """A short text beside a long one has the vector and weights that it has alone."""
    runner = encoder(m3, tmp_path)
    names = ("embeddings", "token_weights", "multi_vectors")
    rows = runner.tokenize(TEXTS)
    together = runner.encode(rows, names)
    alone = [runner.encode([row], names) for row in rows]
    for index, values in enumerate(together):
        for row, value in enumerate(values):
            np.testing.assert_allclose(value, alone[row][index][0], atol=2e-6)


def test_heads_agree_with_their_definition(m3: EmbeddingModel, tmp_path: Path) -> None:
    """ReLU of a linear layer for each token; unit vectors of another, without the first token."""
    import torch
    from transformers import AutoModel

    runner = encoder(m3, tmp_path)
    rows = runner.tokenize(TEXTS)
    weights, vectors = runner.encode(rows, ("token_weights", "multi_vectors"))
    body: Any = AutoModel.from_pretrained(m3.folder).eval()
    sparse, dense = (torch.load(m3.folder / f"{kind}_linear.pt") for kind in ("sparse", "colbert"))
    for row, ids in enumerate(rows):
        with torch.inference_mode():
            states = body(torch.tensor([ids])).last_hidden_state[0]
            expected = torch.relu(states @ sparse["weight"].T + sparse["bias"])[:, 0]
            unit = torch.nn.functional.normalize(states[1:] @ dense["weight"].T + dense["bias"], dim=-1)
        np.testing.assert_allclose(weights[row], expected.numpy(), atol=1e-4)
        np.testing.assert_allclose(vectors[row], unit.numpy(), atol=1e-4)


def test_large_weights_go_beside_the_graph(m3: EmbeddingModel, tmp_path: Path) -> None:
    """Above the limit of a protobuf message there are two files, and the vectors are the same."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one = encoder(m3, tmp_path / "one").embed(TEXTS)
    two = encoder(m3, tmp_path / "two", inline_bytes=0).embed(TEXTS)
    assert sorted(path.name for path in (tmp_path / "two").glob("*.onnx*")) == ["model.onnx", "model.onnx.data"]
    assert one.tobytes() == two.tobytes()


def test_the_same_model_gives_the_same_file(m3: EmbeddingModel, tmp_path: Path) -> None:
    """Byte for byte, so that an export can be compared and cached by digest."""
    files = [export_onnx(m3, tmp_path / name).path.read_bytes() for name in ("a.onnx", "b.onnx")]
    assert files[0] == files[1]


def test_what_was_exported_is_told(m3: EmbeddingModel, tmp_path: Path) -> None:
    """The files, their size and the heads."""
    path = tmp_path / "model.onnx"
    exported = export_onnx(m3, path)
    assert exported == OnnxModel(path, (path,), ("sparse", "multi_vector"))
    assert exported.bytes == path.stat().st_size


def test_weights_in_bfloat16_are_read(bert: EmbeddingModel, tmp_path: Path) -> None:
    """A model that was trained and saved in half precision can be exported."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(bert.folder, tmp_path / "half")
    tensors = load_file(bert.weights)
    save_file({key: value.bfloat16() for key, value in tensors.items()}, tmp_path / "half" / "model.safetensors")
    with Weights(read_model("half", tmp_path / "half")) as half, Weights(bert) as whole:
        key = "embeddings.word_embeddings.weight"
        np.testing.assert_allclose(half[key], whole[key], rtol=0.01)
        assert half[key].dtype == np.float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model_type": "llama"},
            "architecture 'llama' cannot be exported to ONNX; these can: bert, roberta, xlm-roberta",
        ),
        ({"hidden_act": "silu"}, "activation 'silu' is not supported"),
        ({"position_embedding_type": "relative_key"}, "positions 'relative_key' are not supported"),
        ({"num_attention_heads": 5}, "48 dimensions do not divide into 5 heads"),
        ({"num_hidden_layers": 9}, "has no tensor 'encoder.layer.3.attention.self.query.weight'"),
    ],
)
def test_what_cannot_be_exported_is_said(
    bert: EmbeddingModel, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """The message names the model and what is wrong with it."""
    folder = tmp_path / "other"
    shutil.copytree(bert.folder, folder)
    (folder / "config.json").write_text(json.dumps(bert.config | changes))
    with pytest.raises(ModelError, match=message):
        export_onnx(read_model("other", folder), tmp_path / "model.onnx")


@pytest.mark.parametrize("content", ["text", "no layer"])
def test_a_damaged_head_is_said(m3: EmbeddingModel, tmp_path: Path, content: str) -> None:
    """The message names the file; nothing of it is run."""
    import torch

    folder = tmp_path / "other"
    shutil.copytree(m3.folder, folder)
    if content == "text":
        (folder / "sparse_linear.pt").write_text("not a tensor")
    else:
        torch.save({"weight": torch.zeros(1, 32)}, folder / "sparse_linear.pt")
    with pytest.raises(ModelError, match=r"sparse_linear\.pt is (damaged|no linear layer)"):
        export_onnx(read_model("other", folder), tmp_path / "model.onnx")


def test_damaged_weights_are_said(bert: EmbeddingModel, tmp_path: Path) -> None:
    """The message names the file."""
    folder = tmp_path / "other"
    shutil.copytree(bert.folder, folder)
    (folder / "model.safetensors").write_bytes(bert.weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"model\.safetensors is damaged"):
        export_onnx(read_model("other", folder), tmp_path / "model.onnx")
