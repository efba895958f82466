"""The tensors of a model folder, read one at a time as float32: a model of 2 GB needs no 4 GB to be exported."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import onnx.numpy_helper  # noqa: F401  with it numpy knows bfloat16, in which a trained model may be saved
from safetensors import SafetensorError, safe_open

from ragline.embedding.model import EmbeddingModel
from ragline.errors import ModelError

_PREFIXES = ("", "bert.", "roberta.")


class Weights(AbstractContextManager["Weights"]):
    """The encoder's tensors under the names they have in Hugging Face's `BertModel`.

    Example:
        >>> with Weights(find_model("all-MiniLM-L6-v2")) as weights:
        ...     weights["embeddings.LayerNorm.weight"].shape
        (384,)
    """

    def __init__(self, model: EmbeddingModel) -> None:
        self._model = model
        self._stack = ExitStack()
        self._read: Callable[[str], Any]
        keys, self._read = self._opened()
        self._prefix = next((p for p in _PREFIXES if f"{p}embeddings.LayerNorm.weight" in keys), "")

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __getitem__(self, key: str) -> np.ndarray:
        """Return a tensor, whatever precision it was saved in, as float32.

        Raises:
            ModelError: there is none of this name.
        """
        try:
            return _float32(self._read(self._prefix + key))
        except (KeyError, SafetensorError):
            raise ModelError(
                f"embedder {self._model.name!r}: {self._model.weights} has no tensor {self._prefix + key!r}"
            ) from None

    def _opened(self) -> tuple[set[str], Callable[[str], Any]]:
        path = self._model.weights
        if path.suffix != ".safetensors":
            pickled = load_pickled(path)
            return set(pickled), pickled.__getitem__
        try:
            file = self._stack.enter_context(safe_open(path, framework="np"))
        except (SafetensorError, OSError) as exc:
            raise ModelError(f"embedder {self._model.name!r}: {path} is damaged ({exc})") from exc
        return set(file.keys()), file.get_tensor


def load_pickled(path: Path) -> dict[str, Any]:
    """Return the tensors of a file that `torch.save` wrote; nothing in it is run.

    Raises:
        ModelError: it holds something else, or there is no PyTorch to read it with.
    """
    try:
        import torch
    except ImportError as exc:
        raise ModelError(f"{path} needs PyTorch to be read: pip install 'ragline[train]', or save safetensors") from exc
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as exc:  # pickle, zipfile and torch each have their own
        raise ModelError(f"{path} is damaged, or not made by torch.save ({exc})") from exc
    if not isinstance(tensors, dict):
        raise ModelError(f"{path} holds a {type(tensors).__name__}, where named tensors were expected")
    return tensors


def linear(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return weight [out, in] and bias [out] of a linear layer that `torch.save` wrote (the heads of BGE-M3).

    Raises:
        ModelError: it is not one.
    """
    tensors = load_pickled(path)
    if not {"weight", "bias"} <= tensors.keys():
        raise ModelError(f"{path} is no linear layer: it has {sorted(tensors)}, where weight and bias were expected")
    return _float32(tensors["weight"]), _float32(tensors["bias"])


def _float32(tensor: Any) -> np.ndarray:
    array = tensor if isinstance(tensor, np.ndarray) else tensor.detach().float().numpy()
    return np.ascontiguousarray(array, dtype=np.float32)
