"""Runs an encoder on the CPU with OpenVINO, in bf16 where the processor has it."""

import logging
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import openvino as ov

from ragline.embedding.graph import encoder_graph
from ragline.embedding.model import EmbeddingModel

_log = logging.getLogger(__name__)

BATCH = 4
"""Texts of equal length per inference: more no longer helps, since activations leave the L2 cache."""


class OpenVinoBackend:
    """Token ids to vectors, one inference stream per thread."""

    def __init__(self, model: EmbeddingModel, threads: int) -> None:
        core = ov.Core()
        capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.precision = "bf16" if "BF16" in capabilities else "f32"
        self._compiled: Any = core.compile_model(
            encoder_graph(model),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": self.precision,
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": threads,
                "ENABLE_CPU_PINNING": False,  # pinned threads of two processes share one core and idle the other
            },
        )
        self._threads = threads
        self._own = threading.local()
        self._dimensions = model.dimensions

    def _request(self) -> Any:
        """Return the thread's own request: one that is busy takes no second input."""
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        return self._own.request

    def _queue(self) -> Any:
        if not hasattr(self._own, "queue"):
            self._own.queue = ov.AsyncInferQueue(self._compiled, self._threads)
        return self._own.queue

    def encode(self, inputs: Sequence[Sequence[int]]) -> np.ndarray:
        """Return the vectors of token id sequences: float32 [len(inputs), dimensions]."""
        vectors = np.empty((len(inputs), self._dimensions), dtype=np.float32)
        if len(inputs) == 1:
            vectors[:] = self._request().infer([np.array(inputs, dtype=np.int64)])[0]
            return vectors

        def store(request: Any, rows: list[int]) -> None:
            vectors[rows] = request.get_output_tensor(0).data

        queue = self._queue()
        queue.set_callback(store)
        for rows in _equal_lengths(inputs):
            queue.start_async([np.array([inputs[row] for row in rows], dtype=np.int64)], rows)
        queue.wait_all()
        return vectors


def _equal_lengths(inputs: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Yield the positions of inputs of equal length, at most `BATCH` at a time, longest first."""
    order = sorted(range(len(inputs)), key=lambda row: -len(inputs[row]))
    batch: list[int] = []
    for row in order:
        if batch and (len(batch) == BATCH or len(inputs[batch[0]]) != len(inputs[row])):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
