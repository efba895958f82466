"""Stand-in for TensorRT-LLM's postprocessing model: bytes to text again."""

import importlib
from typing import Any

import numpy as np


class TritonPythonModel:
    """What Triton's Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Find the server's own module."""
        del args
        self._triton = importlib.import_module("triton_python_backend_utils")

    def execute(self, requests: list[Any]) -> list[Any]:
        """Detokenise each response by itself, as it comes."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        tokens = self._triton.get_input_tensor_by_name(request, "TOKENS_BATCH").as_numpy().reshape(-1)
        if (tokens < 0).any():
            error = self._triton.TritonError
            return self._triton.InferenceResponse(error=error("the detokenizer met token -1", error.INTERNAL))
        text = np.array([[bytes(tokens.astype(np.uint8))]], dtype=object)
        return self._triton.InferenceResponse([self._triton.Tensor("OUTPUT", text)])
