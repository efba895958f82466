"""Stand-in for TensorRT-LLM's preprocessing model: a token for each byte of the prompt, the same names and types."""

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
        """Tokenise; a prompt that holds `fail:preprocessing` is refused, one of over 4,000 bytes too."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        error = self._triton.TritonError
        [query] = self._input(request, "QUERY").reshape(-1)
        if b"fail:preprocessing" in query:
            return self._triton.InferenceResponse(error=error("the tokenizer is broken", error.INTERNAL))
        if len(query) > 4000:
            message = f"prompt length ({len(query)}) exceeds maximum input length (4000)"
            return self._triton.InferenceResponse(error=error(message, error.INVALID_ARG))
        ids = np.frombuffer(query, np.uint8).astype(np.int32)[None]
        tensors = {
            "INPUT_ID": ids,
            "REQUEST_INPUT_LEN": np.array([[ids.shape[1]]], np.int32),
            "REQUEST_OUTPUT_LEN": self._input(request, "REQUEST_OUTPUT_LEN"),
        }
        return self._triton.InferenceResponse([self._triton.Tensor(name, value) for name, value in tensors.items()])

    def _input(self, request: Any, name: str) -> np.ndarray:
        found: np.ndarray = self._triton.get_input_tensor_by_name(request, name).as_numpy()
        return found
