"""How MLflow loads a registered embedder: `mlflow.pyfunc.load_model("models:/NAME@champion").predict(texts)`.

The folder that MLflow keeps is the model folder itself, byte for byte.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ragline.embedding.embedder import Embedder
from ragline.embedding.model import read_model


class EmbedderFunction:
    """An embedder as MLflow calls it."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def predict(self, model_input: Any, params: Any = None) -> np.ndarray:  # noqa: ARG002  MLflow passes it by name
        """Return the vectors of texts: float32 [texts, dimensions], each of length 1.

        Args:
            model_input: a table with one column of texts, or a list of them.
            params: not used.
        """
        texts = model_input if isinstance(model_input, list) else model_input.iloc[:, 0].tolist()
        return self._embedder.embed([str(text) for text in texts])


def _load_pyfunc(path: str) -> EmbedderFunction:
    return EmbedderFunction(Embedder(read_model(path, Path(path))))
