"""What turns questions into vectors: a model in this process, or one version of a model in a Triton server."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class TextEmbedder(Protocol):
    """Embeds texts with one model."""

    @property
    def digest(self) -> str:
        """Of the model: names the vector space."""
        ...

    def embed(self, texts: Sequence[str], /) -> np.ndarray:
        """Return the vectors of `texts`: float32 [len(texts), dimensions], each of length 1."""
        ...
