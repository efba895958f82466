"""Asks a Triton server for the vectors of texts: KServe v2 over HTTP with binary tensors, pooled connections."""

import json
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import urllib3

from ragline.errors import InputError, ModelError, RaglineError

MAX_BATCH = 64
"""Texts of one request; the server takes no more (`ragline.export.triton_repository.ServerOptions`)."""

_TYPES = {"FP32": np.float32, "INT64": np.int64}


class TritonEmbedder:
    """Embeds texts with one version of the model `embedder`.

    Example:
        embedder = TritonEmbedder("http://127.0.0.1:8000", version_of(release.model_digest))
        embedder.embed(["How do I roll back a release?"])
    """

    def __init__(self, url: str, version: int, *, seconds: float = 30.0, connections: int = 8) -> None:
        self.version = version
        self._url = f"{url.rstrip('/')}/v2/models/embedder/versions/{version}/infer"
        timeout = urllib3.Timeout(connect=min(2.0, seconds), read=seconds)
        self._http = urllib3.PoolManager(maxsize=connections, timeout=timeout, retries=False)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return the vectors of `texts`: float32 [len(texts), dimensions].

        Raises:
            ModelError: the server has no such version.
            InputError: it refuses a text.
            RaglineError: it cannot be reached, or failed.
        """
        if not texts:
            raise InputError("embed: no texts")
        data = [text.encode() for text in texts]
        parts = [self.ask(data[start : start + MAX_BATCH])["embeddings"] for start in range(0, len(data), MAX_BATCH)]
        return np.concatenate(parts)

    def ask(self, texts: Sequence[bytes], outputs: Sequence[str] = ("embeddings",)) -> dict[str, np.ndarray]:
        """Return the named outputs for at most `MAX_BATCH` texts.

        Raises:
            ModelError, InputError, RaglineError: as `embed`.
        """
        body, header = _request(texts, outputs)
        headers = {"Inference-Header-Content-Length": str(header), "Content-Type": "application/octet-stream"}
        try:
            answer = self._http.request("POST", self._url, body=body, headers=headers)
        except urllib3.exceptions.HTTPError as exc:
            raise RaglineError(f"embedder at {self._url}: {type(exc).__name__}; is the server up?") from exc
        if answer.status != 200:
            raise self._error(answer.status, answer.data)
        return _outputs(answer.data, int(answer.headers.get("Inference-Header-Content-Length", len(answer.data))))

    def close(self) -> None:
        """Close the connections."""
        self._http.clear()

    def _error(self, status: int, body: bytes) -> RaglineError:
        text = body.decode(errors="replace")[:500]
        with suppress(ValueError, KeyError, TypeError):
            text = json.loads(text)["error"]
        message = f"embedder version {self.version} gave {status}: {text}"
        if status == 404 or "unknown model" in text or "is not found" in text:
            return ModelError(message)
        return InputError(message) if status in (400, 413) else RaglineError(message)


def _request(texts: Sequence[bytes], outputs: Sequence[str]) -> tuple[bytes, int]:
    """Return the body, and how many bytes of it are its JSON header."""
    tensor = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    shape = {"name": "text_input", "shape": [len(texts), 1], "datatype": "BYTES"}
    inputs = [shape | {"parameters": {"binary_data_size": len(tensor)}}]
    wanted = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
    header = json.dumps({"inputs": inputs, "outputs": wanted}).encode()
    return header + tensor, len(header)


def _outputs(body: bytes, header: int) -> dict[str, np.ndarray]:
    answer: dict[str, Any] = json.loads(body[:header])
    found, start = {}, header
    for output in answer["outputs"]:
        size = int(output["parameters"]["binary_data_size"])
        values: np.ndarray = np.frombuffer(body[start : start + size], dtype=_TYPES[output["datatype"]])
        found[output["name"]] = values.reshape(output["shape"])
        start += size
    return found
