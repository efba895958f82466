"""Asks a Triton server for the vectors of texts: Open Inference Protocol over HTTP with binary tensors."""

import json
import struct
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ragline.embedding.http_pool import HttpPool, Reply
from ragline.errors import InputError, RaglineError, ServiceError

MAX_BATCH = 64
"""Texts of one request; the server takes no more (`ragline.export.triton_repository.ServerOptions`)."""

TAKEN_BYTES = 16_384
"""Of each text at least; what is beyond is cut for a server that refuses it (`triton_repository.describe`)."""

HEX = 12
"""Digits of a digest that make a version, and that name a model in messages."""

_MODEL = "/v2/models/embedder"
_TYPES = {"FP32": np.float32, "INT64": np.int64}
_UNDER_WAY = 3  # requests of one call: the server works on one, and has the next ones at hand
_PASSED = frozenset({401, 403, 429, 503, 504})
_UNKNOWN = ("unknown model", "is not found", "has no available versions")


def version_of(digest: str) -> int:
    """Return the version number under which a model digest is served.

    Example:
        >>> version_of("00000000001f" + "0" * 52)
        31
    """
    return int(digest[:HEX], 16)


class TritonEmbedder:
    """Embeds texts with one version of the model `embedder`, that of a model's digest; safe to share between threads.

    Example:
        embedder = TritonEmbedder("http://127.0.0.1:8000", manifest.digests["model"])
        embedder.embed(["How do I roll back a release?"])
    """

    def __init__(
        self,
        url: str,
        digest: str,
        *,
        seconds: float = 30.0,
        ca_bundle: Path | None = None,
        pool: HttpPool | None = None,
    ) -> None:
        """Connect when it is first asked.

        Args:
            url: base of the server's REST API.
            digest: of the model.
            seconds: how long an answer may take at most.
            ca_bundle: PEM file of authorities that are trusted besides the system's.
            pool: of connections, shared by the embedders of one server.
        """
        self.digest = digest
        self.version = version_of(digest)
        self._seconds = seconds
        self._pool = pool or HttpPool("embedder", url, ca_bundle=ca_bundle)
        self._path = f"{_MODEL}/versions/{self.version}/infer"

    def embed(
        self, texts: Sequence[str], /, *, headers: Mapping[str, str] | None = None, seconds: float = 0.0
    ) -> np.ndarray:
        """Return the vectors of `texts`: float32 [len(texts), dimensions].

        Args:
            texts: what to embed.
            headers: of the caller on whose behalf: all texts are theirs.
            seconds: after which nobody waits for the answer any more; 0 for as long as it may take.

        Raises:
            ServiceError: the server has no such version, cannot be reached, or failed.
            InputError: it refuses a text.
        """
        if not texts:
            raise InputError("embed: no texts")
        data = [text.encode() for text in texts]
        parts = [data[start : start + MAX_BATCH] for start in range(0, len(data), MAX_BATCH)]

        def embed(part: Sequence[bytes]) -> np.ndarray:
            return self._embed(part, headers, seconds)

        return embed(parts[0]) if len(parts) == 1 else np.concatenate(list(self._threads.map(embed, parts)))

    def ask(
        self,
        texts: Sequence[bytes],
        outputs: Sequence[str] = ("embeddings",),
        *,
        headers: Mapping[str, str] | None = None,
        seconds: float = 0.0,
    ) -> dict[str, np.ndarray]:
        """Return the named outputs for at most `MAX_BATCH` texts.

        Raises:
            ServiceError, InputError: as `embed`.
        """
        seconds = min(seconds or self._seconds, self._seconds)
        body, header = _request(texts, outputs)
        kinds = {"Inference-Header-Content-Length": str(header), "Content-Type": "application/octet-stream"}
        reply = self._pool.request("POST", self._path, body, {**(headers or {}), **kinds}, seconds=seconds)
        if reply.status != 200:
            raise self._failure(reply)
        try:
            return _outputs(reply.body, int(reply.headers["inference-header-content-length"]))
        except (ValueError, KeyError, TypeError) as exc:
            raise ServiceError(f"embedder at {self._pool.url} does not answer as a Triton server does", 502) from exc

    def served(self) -> list[str]:
        """Return the first `HEX` digits of the digests that the server has now.

        Raises:
            ServiceError: it cannot be reached.
        """
        reply = self._pool.request("GET", _MODEL, seconds=min(5.0, self._seconds))
        with suppress(ValueError, KeyError, TypeError):
            return [f"{int(version):0{HEX}x}" for version in json.loads(reply.body)["versions"]]
        return []

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._pool.close()

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_UNDER_WAY, "embed")

    def _embed(self, texts: Sequence[bytes], headers: Mapping[str, str] | None, seconds: float) -> np.ndarray:
        try:
            return self.ask(texts, headers=headers, seconds=seconds)["embeddings"]
        except InputError:
            if max(map(len, texts)) <= TAKEN_BYTES:
                raise
        cut = [text[:TAKEN_BYTES].decode(errors="ignore").encode() for text in texts]
        return self.ask(cut, headers=headers, seconds=seconds)["embeddings"]

    def _failure(self, reply: Reply) -> RaglineError:
        text = reply.body.decode(errors="replace")[:500]
        with suppress(ValueError, KeyError, TypeError):
            text = json.loads(text)["error"]
        message = f"embedder version {self.version} gave {reply.status}: {text}"
        if reply.status == 404 or any(phrase in text for phrase in _UNKNOWN):
            return self._missing()
        if reply.status in (400, 413):
            return InputError(message)
        if "maximum queue size" in text:
            return ServiceError(message, 429, retry_after=1.0)
        if "timeout expired" in text:
            return ServiceError(message, 504)
        wait = reply.headers.get("retry-after", "")
        status = reply.status if reply.status in _PASSED else 502
        return ServiceError(message, status, retry_after=float(wait) if wait.isdecimal() else 0.0)

    def _missing(self) -> ServiceError:
        served = ", ".join(self.served()) or "none"
        return ServiceError(
            f"embedder at {self._pool.url} does not serve model {self.digest[:HEX]}, which made the release; it serves "
            f"{served}. Vector spaces are never mixed: load version {self.version} of the model 'embedder'"
        )


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
