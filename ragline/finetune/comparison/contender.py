"""A model that takes part in a comparison: its vectors, and what they cost."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from ragline.embedding.embedder import Embedder
from ragline.embedding.model import EmbeddingModel
from ragline.errors import ModelError

_log = logging.getLogger(__name__)

_FLOAT = 4


@dataclass(frozen=True, slots=True)
class Model:
    """What a model is and costs.

    Attributes:
        name: as it was asked for.
        digest: of the model.
        precision: in which it ran here.
        dimensions: of its vectors.
        model_bytes: size of its weights.
        vector_bytes: size of 1,000 vectors.
        texts_per_cpu_second: passages embedded in a second of one CPU.
        texts_per_second: passages embedded in a second on the clock, with all threads.
        query_ms: median milliseconds to embed one question.
    """

    name: str
    digest: str
    precision: str
    dimensions: int
    model_bytes: int
    vector_bytes: int
    texts_per_cpu_second: float
    texts_per_second: float
    query_ms: float


class Contender:
    """An embedder with a clock."""

    def __init__(self, model: EmbeddingModel) -> None:
        self.model = model
        self._embedder = Embedder(model)
        self._texts, self._cpu, self._wall = 0, 0.0, 0.0
        self._query_seconds: list[float] = []

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return the vectors of passages, [texts, dimensions], and note the time.

        Raises:
            ModelError: a vector holds no numbers.
        """
        cpu, wall = time.process_time(), time.perf_counter()
        vectors = self._embedder.embed(texts)
        self._cpu += time.process_time() - cpu
        self._wall += time.perf_counter() - wall
        self._texts += len(texts)
        return self._checked(vectors)

    def ask(self, query: str) -> np.ndarray:
        """Return the vector of a question, [dimensions], and note the time."""
        begun = time.perf_counter()
        vectors = self._embedder.embed([query])
        self._query_seconds.append(time.perf_counter() - begun)
        return np.asarray(self._checked(vectors)[0])

    def embed_untimed(self, texts: Sequence[str]) -> np.ndarray:
        """Return vectors without noting the time: for questions, and to warm up."""
        return self._checked(self._embedder.embed(texts))

    def measured(self) -> Model:
        """Return what the model is, and what it has cost until now."""
        return Model(
            name=self.model.name,
            digest=self.model.digest,
            precision=self._embedder.precision,
            dimensions=self.model.dimensions,
            model_bytes=self.model.weights.stat().st_size,
            vector_bytes=1000 * _FLOAT * self.model.dimensions,
            texts_per_cpu_second=round(self._texts / max(self._cpu, 1e-9), 2),
            texts_per_second=round(self._texts / max(self._wall, 1e-9), 2),
            query_ms=round(1000 * median(self._query_seconds), 3) if self._query_seconds else 0.0,
        )

    def _checked(self, vectors: np.ndarray) -> np.ndarray:
        if not np.isfinite(vectors).all():
            raise ModelError(
                f"model {self.model.name!r} gives vectors that hold no numbers (NaN or infinite): its training failed; "
                "train again with a lower learning rate"
            )
        return vectors
