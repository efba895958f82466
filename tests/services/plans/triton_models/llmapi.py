"""Stand-in for the one model of TensorRT-LLM's `llmapi`, also named tensorrt_llm: text in, text out.

As the real one does: each response of a stream holds the whole text so far, a request with `stop` ends the one that
has the same request id and is itself answered with an error, and errors come as "Error generating request: ...".
What it says stands in the prompt, as for the stand-in of the C++ model.
"""

import concurrent.futures
import importlib
import re
import threading
import time
from typing import Any

import numpy as np


class TritonPythonModel:
    """What Triton's Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Start threads: a decoupled model answers whenever it likes."""
        del args
        self._triton = importlib.import_module("triton_python_backend_utils")
        self._pool = concurrent.futures.ThreadPoolExecutor(64)
        self._stopped: dict[str, threading.Event] = {}

    def execute(self, requests: list[Any]) -> None:
        """Answer each request in a thread of its own."""
        for request in requests:
            self._pool.submit(self._guarded, request, request.get_response_sender())

    def _guarded(self, request: Any, sender: Any) -> None:
        try:
            self._answer(request, sender)
        except Exception as exc:  # noqa: BLE001 - a thread's exception would leave the request hanging
            self._fail(sender, f"Error generating request: {exc}")

    def _fail(self, sender: Any, message: str) -> None:
        error = self._triton.InferenceResponse(error=self._triton.TritonError(message))
        sender.send(error, flags=self._triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _answer(self, request: Any, sender: Any) -> None:
        name = request.request_id()
        if self._scalar(request, "stop", 0):
            if name in self._stopped:
                self._stopped[name].set()
            self._fail(sender, "Request cancelled by client" if name else "A request id must be provided")
            return
        stopped = self._stopped[name] = threading.Event()
        [text] = self._triton.get_input_tensor_by_name(request, "text_input").as_numpy()
        self._generate(request, sender, text.decode(), stopped)

    def _generate(self, request: Any, sender: Any, prompt: str, stopped: threading.Event) -> None:
        most = int(self._scalar(request, "sampling_param_max_tokens", 32))
        count, said = re.search(r"count:(\d+)", prompt), re.search(r'say:"([^"]*)"', prompt)
        numbered = [f"w{number} " for number in range(int(count[1]))] if count else []
        whole = numbered or re.findall(r"\s*\S+", said[1] if said else "nothing to say")
        echo = "" if self._scalar(request, "sampling_param_exclude_input_from_output", 0) else prompt
        if "fail:tensorrt_llm" in prompt:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        slow = re.search(r"slow:(\d+)", prompt)
        for number in range(1, len(whole[:most]) + 1):
            if stopped.is_set():
                self._triton.Logger.log_info(f"STOPPED after {number - 1} words")
                sender.send(flags=self._triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
                return
            if "fail:amid" in prompt and number == 4:
                raise RuntimeError("KV cache exhausted amid the answer")
            time.sleep(int(slow[1]) / 1000 if slow else 0)
            if self._scalar(request, "streaming", 0):
                finish = ("stop" if len(whole) <= most else "length") if number == len(whole[:most]) else "None"
                sender.send(self._text(echo + "".join(whole[:number]), finish))
        self._triton.Logger.log_info(f"GENERATED {len(whole[:most])} words")
        if not self._scalar(request, "streaming", 0):
            sender.send(self._text(echo + "".join(whole[:most]), "stop" if len(whole) <= most else "length"))
        sender.send(flags=self._triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _text(self, text: str, finish: str) -> Any:
        values = {"text_output": text.encode(), "finish_reason": finish.encode()}
        tensors = [self._triton.Tensor(name, np.array([value], dtype=object)) for name, value in values.items()]
        return self._triton.InferenceResponse(tensors)

    def _scalar(self, request: Any, name: str, default: float) -> float:
        found = self._triton.get_input_tensor_by_name(request, name)
        value: float = default if found is None else found.as_numpy().reshape(-1)[0].item()
        return value

    def finalize(self) -> None:
        """Leave what still runs."""
        self._pool.shutdown(wait=False, cancel_futures=True)
