"""Texts to vectors, with the model's own tokenizer and the fastest backend of the machine."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np
from tokenizers import Tokenizer

from ragline.embedding.model import EmbeddingModel, find_model
from ragline.errors import ModelError
from ragline.settings import Settings

WINDOW = 2048
"""Texts tokenised and sorted by length at a time."""


class Backend(Protocol):
    """What runs the encoder: OpenVINO on a CPU, torch on a GPU."""

    precision: str

    def encode(self, inputs: Sequence[Sequence[int]]) -> np.ndarray:
        """Return float32 [len(inputs), dimensions], each row of length 1."""
        ...


class Embedder:
    """Embeds texts.

    Example:
        >>> embedder = Embedder.named("all-MiniLM-L6-v2")
        >>> embedder.embed(["How do I roll back a release?"]).shape
        (1, 384)
    """

    def __init__(self, model: EmbeddingModel, backend: Backend | None = None) -> None:
        self.model = model
        self.tokenizer = load_tokenizer(model)
        self._backend = backend or _fastest_backend(model)
        self.precision = self._backend.precision

    @property
    def digest(self) -> str:
        """Of the model: names the vector space."""
        return self.model.digest

    @classmethod
    def named(cls, name: str) -> "Embedder":
        """Return the embedder of a model folder, a hub id or the embedded default.

        Raises:
            ModelError: there is no such model, or it cannot be run here.
        """
        return cls(find_model(name))

    def embed(self, texts: Sequence[str], *, advance: Callable[[int], None] | None = None) -> np.ndarray:
        """Return the vectors of `texts`: float32 [len(texts), dimensions], each of length 1.

        A text longer than the model's `max_tokens` is cut; the chunker never makes one, so only an
        over-long question is concerned.

        Args:
            texts: what to embed.
            advance: told how many texts are done, now and then, for progress.
        """
        vectors = np.empty((len(texts), self.model.dimensions), dtype=np.float32)
        for start in range(0, len(texts), WINDOW):
            window = list(texts[start : start + WINDOW])
            encodings = self.tokenizer.encode_batch_fast(window)
            inputs = [_cut(encoding.ids, self.model.max_tokens) for encoding in encodings]
            vectors[start : start + len(window)] = self._backend.encode(inputs)
            if advance:
                advance(len(window))
        return vectors


def load_tokenizer(model: EmbeddingModel) -> Tokenizer:
    """Return the model's tokenizer, without the truncation and padding that its file may carry."""
    try:
        tokenizer = Tokenizer.from_file(str(model.tokenizer))
    except Exception as exc:  # the Rust side raises a plain Exception
        raise ModelError(f"embedder {model.name!r}: {model.tokenizer} is not a tokenizer ({exc})") from exc
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _cut(ids: list[int], limit: int) -> list[int]:
    """Keep `limit` ids, the closing special token among them."""
    return ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]]


def _fastest_backend(model: EmbeddingModel) -> Backend:
    from ragline.embedding.graph import FAMILIES

    has_torch = find_spec("torch") is not None and find_spec("transformers") is not None
    if has_torch and Path("/dev/nvidiactl").exists():  # asking torch itself costs seconds of import
        from ragline.embedding.torch_backend import TorchBackend

        return TorchBackend(model)
    if model.config["model_type"] in FAMILIES:
        from ragline.embedding.openvino_backend import OpenVinoBackend

        return OpenVinoBackend(model, Settings.from_environment().threads)
    if has_torch:
        from ragline.embedding.torch_backend import TorchBackend

        return TorchBackend(model)
    raise ModelError(
        f"embedder {model.name!r}: architecture {model.config['model_type']!r} needs torch; "
        "run: pip install 'ragline[train]'"
    )
