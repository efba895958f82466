"""Stand-in for the C++ `tensorrt_llm` model: tokens in, tokens out, decoupled, a word for each response.

What it does stands in the prompt: `say:"..."` is the answer, `count:N` is N numbered words, `slow:N` is N milliseconds
for each word, `fail:tensorrt_llm` fails at once, `fail:amid` after three words, `fail:postprocessing` makes tokens that
are no text.
"""

import concurrent.futures
import importlib
import re
import time
from typing import Any

import numpy as np


def words_of(prompt: str, most: int) -> list[str]:
    """Return the words of the answer that a prompt asks for."""
    if count := re.search(r"count:(\d+)", prompt):
        return [f"w{number} " for number in range(int(count[1]))][:most]
    said = re.search(r'say:"([^"]*)"', prompt)
    return re.findall(r"\s*\S+", said[1] if said else "nothing to say")[:most]


class TritonPythonModel:
    """What Triton's Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Start threads: a decoupled model answers whenever it likes."""
        del args
        self._triton = importlib.import_module("triton_python_backend_utils")
        self._pool = concurrent.futures.ThreadPoolExecutor(64)

    def execute(self, requests: list[Any]) -> None:
        """Answer each request in a thread of its own."""
        for request in requests:
            self._pool.submit(self._guarded, request, request.get_response_sender())

    def _guarded(self, request: Any, sender: Any) -> None:
        try:
            self._answer(request, sender)
        except Exception as exc:  # noqa: BLE001 - a thread's exception would leave the request hanging
            error = self._triton.InferenceResponse(error=self._triton.TritonError(str(exc)))
            sender.send(error, flags=self._triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _answer(self, request: Any, sender: Any) -> None:
        ids = self._triton.get_input_tensor_by_name(request, "input_ids").as_numpy().reshape(-1)
        prompt = bytes(ids.astype(np.uint8)).decode()
        stream = bool(self._scalar(request, "streaming", 0))
        words = words_of(prompt, int(self._scalar(request, "request_output_len", 0)))
        if "fail:tensorrt_llm" in prompt:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        exclude = bool(self._scalar(request, "exclude_input_in_output", 0))
        said = [] if exclude else [prompt]
        slow = re.search(r"slow:(\d+)", prompt)
        for number, word in enumerate(words):
            if sender.is_cancelled():
                self._triton.Logger.log_info(f"CANCELLED after {number} words")
                return
            if "fail:amid" in prompt and number == 3:
                raise RuntimeError("KV cache exhausted amid the answer")
            time.sleep(int(slow[1]) / 1000 if slow else 0)
            said.append(word)
            if stream:
                sender.send(self._tokens("".join(said), broken="fail:postprocessing" in prompt))
                said = []
        self._triton.Logger.log_info(f"GENERATED {len(words)} words")
        if not stream:
            sender.send(self._tokens("".join(said), broken="fail:postprocessing" in prompt))
        sender.send(flags=self._triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _tokens(self, text: str, *, broken: bool) -> Any:
        ids = [-1] if broken else list(text.encode())
        tensors = {"output_ids": np.array([[ids]], np.int32), "sequence_length": np.array([[len(ids)]], np.int32)}
        return self._triton.InferenceResponse([self._triton.Tensor(name, value) for name, value in tensors.items()])

    def _scalar(self, request: Any, name: str, default: float) -> float:
        found = self._triton.get_input_tensor_by_name(request, name)
        value: float = default if found is None else found.as_numpy().reshape(-1)[0].item()
        return value

    def finalize(self) -> None:
        """Leave what still runs."""
        self._pool.shutdown(wait=False, cancel_futures=True)
