"""The torch backend, for GPUs and for architectures without a graph."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from ragline.embedding.embedder import Embedder
from ragline.embedding.model import find_model
from ragline.errors import ModelError
from tests.embedding.conftest import Tiny, cosines

torch = pytest.importorskip("torch", reason="torch comes with pip install 'ragline[train]'")
pytest.importorskip("transformers", reason="transformers comes with pip install 'ragline[train]'")

from ragline.embedding.torch_backend import TorchBackend  # noqa: E402 - only where torch is

TEXTS = ["the release", "rolling back the release", "", "zebra", "a" * 20]
LEAST = 0.995 if torch.cuda.is_available() else 0.9999


@pytest.mark.parametrize("weights", ["safetensors", "pickled"])
def test_vectors_agree_with_transformers(tiny: Tiny, weights: str) -> None:
    """CLS pooling over the model's own output, from both formats of weights."""
    model = find_model(str(getattr(tiny, weights)))
    embedder = Embedder(model, TorchBackend(model))
    with torch.inference_mode():
        ids = [torch.tensor([encoding.ids]) for encoding in embedder.tokenizer.encode_batch(TEXTS)]
        expected = np.stack([tiny.reference(row).last_hidden_state[0, 0].numpy() for row in ids])
    assert cosines(embedder.embed(TEXTS), expected).min() >= LEAST


def test_both_backends_give_the_same_space(default: Embedder) -> None:
    """Vectors made on a GPU can be searched with questions embedded on a CPU."""
    texts = ["How do I roll back a release?", "short", "A longer text. " * 20]
    vectors = Embedder(default.model, TorchBackend(default.model)).embed(texts)
    assert cosines(vectors, default.embed(texts)).min() >= (0.9999 if default.precision == "f32" else 0.999)


def test_padding_changes_nothing_that_matters(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of different lengths gives what each text gives alone."""
    model = find_model(str(tiny.safetensors))
    backend = TorchBackend(model)
    alone = np.concatenate([Embedder(model, backend).embed([text]) for text in TEXTS])
    monkeypatch.setattr(backend, "_batch_tokens", 1 << 16)
    assert cosines(Embedder(model, backend).embed(TEXTS), alone).min() >= LEAST


def test_damaged_weights_are_a_model_error(tiny: Tiny, tmp_path: Path) -> None:
    """As with the CPU backend."""
    folder = tmp_path / "model"
    shutil.copytree(tiny.safetensors, folder)
    (folder / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(ModelError, match="does not load with transformers"):
        TorchBackend(find_model(str(folder)))
