"""Texts to vectors, as the reference makes them."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragline.embedding.embedder import WINDOW, Embedder, load_tokenizer
from ragline.embedding.graph import encoder_graph
from ragline.embedding.model import find_model
from ragline.errors import ModelError
from tests.embedding.conftest import Tiny, cosines, write_json

TEXTS = [
    "How do I roll back a release?",
    "",
    "Ein Satz mit Umlauten: Änderungen übernehmen.",
    "数据库的发布流程",
    "short",
    "A long text. " * 300,
    "line\nline\ttab",
    "🙂 emoji",
]


def test_vectors_agree_with_sentence_transformers(default: Embedder) -> None:
    """The embedded default gives the reference's vectors, in bf16 as in f32."""
    library = pytest.importorskip("sentence_transformers", reason="the reference: pip install 'ragline[train]'")
    reference: Any = library.SentenceTransformer(str(default.model.folder), device="cpu")
    expected = reference.encode(TEXTS, normalize_embeddings=True)
    assert cosines(default.embed(TEXTS), expected).min() >= 0.9999


def test_vectors_have_length_one(default: Embedder) -> None:
    """One row of 384 numbers for each text."""
    vectors = default.embed(TEXTS)
    assert (vectors.shape, vectors.dtype) == ((len(TEXTS), 384), np.dtype(np.float32))
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_vector_does_not_depend_on_its_neighbours(default: Embedder) -> None:
    """Bit for bit the same alone, in a batch and in another order: a digest names one vector."""
    texts = [*TEXTS, *(f"text {number} of {'many ' * (number % 7)}" for number in range(40))]
    together = default.embed(texts)
    backwards = default.embed(texts[::-1])[::-1]
    alone = np.concatenate([default.embed([text]) for text in texts])
    assert together.tobytes() == backwards.tobytes() == alone.tobytes()


def test_no_texts_have_no_vectors(default: Embedder) -> None:
    """An empty list is no special case."""
    assert default.embed([]).shape == (0, 384)


def test_a_text_that_is_too_long_is_cut_behind_its_last_token(default: Embedder) -> None:
    """The first 254 tokens count, and the closing special token stays."""
    words = ["release"] * 254
    long, longest = default.embed([" ".join([*words, "cloud", "stone"]), " ".join(words)])
    assert long.tobytes() == longest.tobytes()


def test_progress_is_told_in_windows(default: Embedder) -> None:
    """A long run can say how far it is."""
    told: list[int] = []
    vectors = default.embed(["a"] * (WINDOW + 1), advance=told.append)
    assert (told, vectors[0].tobytes()) == ([WINDOW, 1], vectors[-1].tobytes())


def test_similar_texts_are_near(default: Embedder) -> None:
    """A paraphrase is nearer than another subject."""
    question, same, other = default.embed(["undo a deployment", "roll back a release", "a recipe for bread"])
    assert question @ same > question @ other + 0.2


@pytest.mark.parametrize("weights", ["safetensors", "pickled"])
def test_a_model_of_the_production_architecture_agrees_with_transformers(tiny: Tiny, weights: str) -> None:
    """XLM-RoBERTa with CLS pooling: positions, special tokens, both formats of weights, inputs that are cut."""
    import torch

    from ragline.embedding.openvino_backend import OpenVinoBackend

    model = find_model(str(getattr(tiny, weights)))
    embedder = Embedder(model, OpenVinoBackend(model, threads=1))
    texts = ["the release", "rolling back the release", "", "zebra", "a" * 100]
    ids = [encoding.ids for encoding in embedder.tokenizer.encode_batch(texts)]
    ids = [row if len(row) <= 32 else [*row[:31], row[-1]] for row in ids]
    with torch.inference_mode():
        expected = [tiny.reference(torch.tensor([row])).last_hidden_state[0, 0].numpy() for row in ids]
    least = 0.9999 if embedder.precision == "f32" else 0.995
    assert (model.pooling, model.max_tokens, model.dimensions) == ("cls", 32, 32)
    assert cosines(embedder.embed(texts), np.stack(expected)).min() >= least


def test_damaged_pickled_weights_are_a_model_error(tiny: Tiny, tmp_path: Path) -> None:
    """The message names the file; nothing of it is run."""
    for path in tiny.pickled.glob("*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes()[:500])
    shutil.copy(tiny.pickled / "config.json", tmp_path)
    with pytest.raises(ModelError, match=r"pytorch_model\.bin is damaged"):
        encoder_graph(find_model(str(tmp_path)))


def test_a_tokenizer_that_is_none_is_a_model_error(tiny: Tiny, tmp_path: Path) -> None:
    """The message names the file."""
    for path in tiny.safetensors.glob("*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write_json(tmp_path / "tokenizer.json", {"version": "1.0"})
    with pytest.raises(ModelError, match=r"tokenizer\.json is not a tokenizer"):
        load_tokenizer(find_model(str(tmp_path)))
