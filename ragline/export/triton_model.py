"""The embedder as Triton runs it: `model.py` of a version folder, written there by `ragline.export.triton_repository`.

It runs in the server's own Python, so it imports nothing of ragline: numpy, tokenizers and ONNX Runtime, and OpenVINO
where that is installed. It is a module of the package all the same, so that every wheel holds it, and so that what
`ragline.export.variants` checks is the very code that serves.

Contract (Open Inference Protocol v2, model `embedder`, a version for each model digest):

    text_input      BYTES [n, 1]     texts in UTF-8; what is beyond the model's limit of tokens is cut, as ragline does
    embeddings      FP32  [n, dimensions], each of length 1
    sparse_ids      INT64 [n, most]  with sparse_weights, of a model with that head: token ids, -1 behind the last
    sparse_weights  FP32  [n, most]  their weights
    multi_vectors   FP32  [n, most, dimensions]  of a model with that head: a vector for each token, then zeros
"""

import importlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

DESCRIPTION = "embedder.json"
"""Beside this file: what the model is, and its variants, the preferred one first."""

TOKENS = {"cpu": 384, "gpu": 16384}
"""Tokens of one run, padding included: more no longer helps on a CPU, since activations leave the L2 cache."""

STREAMS = 4
"""At most so many runs at once; threads beyond that work together on one run."""

DENSE, WEIGHTS, VECTORS = "embeddings", "token_weights", "multi_vectors"
OUTPUTS = {"sparse_ids": WEIGHTS, "sparse_weights": WEIGHTS, "multi_vectors": VECTORS}
"""Which output of the graph an optional output of the contract is made from."""

Run = Callable[[np.ndarray, np.ndarray, Sequence[str]], list[np.ndarray]]


class Refused(ValueError):
    """A request that cannot be answered; the message is for the person who sent it."""


class Cancelled(Exception):
    """The client has gone; nobody reads the answer."""


class VariantError(Exception):
    """A variant does not run here, or not as it should."""


class Encoder:
    """A variant of a model in a folder: texts to what the graph gives."""

    def __init__(self, folder: Path, description: dict[str, Any], variant: dict[str, Any], threads: int) -> None:
        self._limit = int(description["max_tokens"])
        self._pad = int(description["pad_id"])
        self._unused = frozenset(description["special_ids"])
        self.variant = str(variant["name"])
        start = _openvino if variant["runtime"] == "openvino" else _onnxruntime
        streams = min(threads, STREAMS)
        self._run, device = start(folder / variant["file"], variant, threads, streams)
        self._tokens = TOKENS[device]
        self._pool = ThreadPoolExecutor(streams, "encode")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of texts, cut at the model's limit, the closing special token kept."""
        rows = (encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts)))
        return [ids if len(ids) <= self._limit else [*ids[: self._limit - 1], ids[-1]] for ids in rows]

    def encode(self, rows: Sequence[list[int]], names: Sequence[str] = (DENSE,)) -> list[list[np.ndarray]]:
        """Return, for each name of a graph's output, an array for each row of token ids, without padding."""
        results: list[list[np.ndarray]] = [[np.empty(0)] * len(rows) for _ in names]

        def run(bucket: list[int]) -> None:
            ids, mask = self._padded([rows[row] for row in bucket])
            for values, result, name in zip(self._run(ids, mask, names), results, names, strict=True):
                for value, row in zip(values, bucket, strict=True):
                    result[row] = value if name == DENSE else value[: len(rows[row]) - (name == VECTORS)]

        buckets = list(_buckets([len(row) for row in rows], self._tokens))
        if len(buckets) == 1:
            run(buckets[0])
        else:
            list(self._pool.map(run, buckets))
        return results

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return the vectors of texts: float32 [len(texts), dimensions]."""
        return np.stack(self.encode(self.tokenize(texts))[0])

    def sparse(self, ids: Sequence[int], weights: np.ndarray) -> dict[int, float]:
        """Return the weight of each token id: the greatest where it stands several times, special ones left out."""
        best: dict[int, float] = {}
        for token, weight in zip(ids, weights.tolist(), strict=True):
            if token not in self._unused and weight > best.get(token, 0):
                best[token] = weight
        return best

    def close(self) -> None:
        """End the threads: the server waits for them."""
        self._pool.shutdown()

    def _padded(self, rows: Sequence[list[int]]) -> tuple[np.ndarray, np.ndarray]:
        longest = max(map(len, rows))
        ids = np.full((len(rows), longest), self._pad, dtype=np.int64)
        mask = np.zeros_like(ids)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        return ids, mask


def _buckets(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Yield positions of rows of similar length, the longest first, at most `tokens` with padding at a time."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    while order:
        size = max(1, tokens // max(1, lengths[order[0]]))
        yield order[:size]
        order = order[size:]


def _onnxruntime(path: Path, variant: dict[str, Any], threads: int, streams: int) -> tuple[Run, str]:
    del variant
    os.putenv("ORT_DISABLE_TELEMETRY", "1")  # else it gets ready to report to its maker, with an id of this machine
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, threads // streams)
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    available = onnxruntime.get_available_providers()
    providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]
    session = onnxruntime.InferenceSession(str(path), options, providers=providers)

    def run(ids: np.ndarray, mask: np.ndarray, names: Sequence[str]) -> list[np.ndarray]:
        found: list[np.ndarray] = session.run(list(names), {"input_ids": ids, "attention_mask": mask})
        return found

    return run, "gpu" if session.get_providers()[0] == "CUDAExecutionProvider" else "cpu"


def _openvino(path: Path, variant: dict[str, Any], threads: int, streams: int) -> tuple[Run, str]:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # as above: it would report at once
    import openvino

    core = openvino.Core()
    if variant["precision"] == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise RuntimeError("this processor has no bfloat16")
    options = {
        "INFERENCE_PRECISION_HINT": variant["precision"],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": streams,
        "ENABLE_CPU_PINNING": False,  # pinned threads of two processes share one core and idle the other
    }
    compiled = core.compile_model(core.read_model(str(path)), "CPU", options)
    own = threading.local()

    def run(ids: np.ndarray, mask: np.ndarray, names: Sequence[str]) -> list[np.ndarray]:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        found = own.request.infer({"input_ids": ids, "attention_mask": mask})
        return [np.array(found[name]) for name in names]

    return run, "cpu"


def read_description(folder: Path) -> dict[str, Any]:
    """Return what `DESCRIPTION` in a version folder says."""
    description: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    return description


def start_encoder(folder: Path, description: dict[str, Any], threads: int, warn: Callable[[str], None]) -> Encoder:
    """Return the first variant that runs here and gives the vectors that it gave when it was checked.

    A variant that was good where it was made need not be good here: an old processor saturates int8, another has
    no bfloat16, OpenVINO may be missing.

    Raises:
        RuntimeError: not even the last one does.
    """
    reasons = []
    for variant in description["variants"]:
        try:
            return _checked_encoder(folder, description, variant, threads)
        except VariantError as exc:
            reasons.append(f"{variant['name']}: {exc}")
            warn(f"embedder {description['digest'][:12]} does not run as {reasons[-1]}")
    raise RuntimeError(f"embedder {description['digest'][:12]}: no variant works here: {'; '.join(reasons)}")


def _checked_encoder(folder: Path, description: dict[str, Any], variant: dict[str, Any], threads: int) -> Encoder:
    try:
        encoder = Encoder(folder, description, variant, threads)
        found = encoder.embed(description["probes"]["texts"])
    except Exception as exc:  # each runtime has its own errors, and a missing one is an ImportError
        raise VariantError(str(exc)) from exc
    cosine = float((found * np.array(description["probes"]["vectors"])).sum(axis=1).min())
    if not cosine >= variant["least_cosine"]:
        raise VariantError(f"cosine {cosine:.5f} to the vectors of its export, below {variant['least_cosine']}")
    return encoder


class Batch:
    """The texts of several requests, tokenised and encoded together; what a request lacks is kept as its error."""

    def __init__(self, encoder: Encoder, description: dict[str, Any]) -> None:
        self._encoder = encoder
        self._heads = {DENSE, *description["outputs"]}
        self._most = int(description["max_bytes"])
        self._texts: list[str] = []
        self._names: set[str] = {DENSE}
        self.tokens = 0

    def add(self, raw: np.ndarray, wanted: set[str]) -> tuple[slice, set[str]]:
        """Take the texts of a request; return where they are and which outputs it gets.

        Raises:
            Refused: what it asks for cannot be given.
        """
        wanted = self._given(wanted)
        texts = [self._text(row, value) for row, value in enumerate(raw.reshape(-1))]
        self._texts += texts
        self._names |= {OUTPUTS[name] for name in wanted if name in OUTPUTS}
        return slice(len(self._texts) - len(texts), len(self._texts)), wanted

    def run(self) -> None:
        """Encode everything that was taken."""
        names = sorted(self._names)
        self._rows = self._encoder.tokenize(self._texts)
        self.tokens = sum(map(len, self._rows))
        self._values = dict(zip(names, self._encoder.encode(self._rows, names), strict=True)) if self._rows else {}

    def outputs(self, part: slice, wanted: set[str]) -> dict[str, np.ndarray]:
        """Return the outputs of one request."""
        outputs = {DENSE: np.stack(self._values[DENSE][part])}
        if wanted & {"sparse_ids", "sparse_weights"}:
            pairs = zip(self._rows[part], self._values[WEIGHTS][part], strict=True)
            found = [self._encoder.sparse(ids, weights) for ids, weights in pairs]
            outputs["sparse_ids"] = _filled([list(row) for row in found], -1, np.int64)
            outputs["sparse_weights"] = _filled([list(row.values()) for row in found], 0, np.float32)
        if "multi_vectors" in wanted:
            vectors = self._values[VECTORS][part]
            outputs["multi_vectors"] = np.zeros(
                (len(vectors), max(map(len, vectors)), vectors[0].shape[1]), dtype=np.float32
            )
            for row, value in enumerate(vectors):
                outputs["multi_vectors"][row, : len(value)] = value
        return {name: value for name, value in outputs.items() if name in wanted}

    def _given(self, wanted: set[str]) -> set[str]:
        """Return what of `wanted` is given; Triton names all outputs for a request that names none."""
        missing = sorted(name for name in wanted if OUTPUTS.get(name, DENSE) not in self._heads)
        if missing and wanted != {DENSE, *OUTPUTS}:
            raise Refused(f"this model has no {', '.join(missing)}: it gives embeddings; ask for those")
        return wanted - set(missing)

    def _text(self, row: int, value: bytes) -> str:
        if len(value) > self._most:
            raise Refused(f"text_input[{row}] has {len(value)} bytes, more than {self._most}: cut it, or chunk it")
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise Refused(f"text_input[{row}] is not UTF-8: {exc.reason} at byte {exc.start}") from exc


def _filled(rows: Sequence[Sequence[float]], filler: float, kind: type) -> np.ndarray:
    values: np.ndarray = np.full((len(rows), max(map(len, rows))), filler, dtype=kind)
    for index, row in enumerate(rows):
        values[index, : len(row)] = row
    return values


class TritonPythonModel:
    """What Triton's Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the version's model.

        One that cannot be loaded tells so to whoever asks it: an exception here would have Triton unload every
        other version too.
        """
        self._triton = importlib.import_module("triton_python_backend_utils")  # exists inside the server only
        folder = Path(args["model_repository"]) / args["model_version"]
        settings = {key: entry["string_value"] for key, entry in json.loads(args["model_config"])["parameters"].items()}
        threads = int(settings["threads"]) or len(os.sched_getaffinity(0))
        self._encoder: Encoder | None = None
        self._reason = ""
        try:
            self._description = read_description(folder)
            self._encoder = start_encoder(folder, self._description, threads, self._triton.Logger.log_warn)
        except (OSError, ValueError, KeyError, RuntimeError) as exc:
            self._reason = f"version {args['model_version']} cannot be served: {exc}"
            self._triton.Logger.log_error(self._reason)
        labels = {"version": args["model_version"], "variant": self._encoder.variant if self._encoder else "none"}
        self._families = {name: self._family(name, meaning) for name, meaning in _COUNTERS.items()}
        self._counts = {name: family.Metric(labels=labels) for name, family in self._families.items()}

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer the requests of a dynamic batch: one batch for the model, an error of its own for a bad one."""
        if self._encoder is None:
            error = self._triton.TritonError
            return [self._triton.InferenceResponse(error=error(self._reason, error.UNAVAILABLE)) for _ in requests]
        batch = Batch(self._encoder, self._description)
        taken = [self._taken(batch, request) for request in requests]
        batch.run()
        refused = sum(isinstance(part, Refused) for part in taken)
        self._count(refused=refused, tokens=batch.tokens, batches=1)
        return [self._response(batch, part) for part in taken]

    def finalize(self) -> None:
        """Let the model go, and its counters before their families."""
        if self._encoder:
            self._encoder.close()
        del self._encoder, self._counts, self._families

    def _taken(self, batch: Batch, request: Any) -> tuple[slice, set[str]] | Exception:
        if request.is_cancelled():
            return Cancelled("cancelled by the client")
        try:
            texts = self._triton.get_input_tensor_by_name(request, "text_input").as_numpy()
            part = batch.add(texts, set(request.requested_output_names()))
        except Refused as exc:
            return exc
        self._count(texts=part[0].stop - part[0].start)
        return part

    def _response(self, batch: Batch, part: tuple[slice, set[str]] | Exception) -> Any:
        error = self._triton.TritonError
        if isinstance(part, Exception):
            code = error.CANCELLED if isinstance(part, Cancelled) else error.INVALID_ARG
            return self._triton.InferenceResponse(error=error(str(part), code))
        outputs = batch.outputs(*part)
        return self._triton.InferenceResponse([self._triton.Tensor(name, value) for name, value in outputs.items()])

    def _family(self, name: str, meaning: str) -> Any:
        """Return a family of counters, which must live as long as its counters do."""
        kind = self._triton.MetricFamily.COUNTER
        return self._triton.MetricFamily(name=f"ragline_embedder_{name}_total", description=meaning, kind=kind)

    def _count(self, **amounts: int) -> None:
        for name, amount in amounts.items():
            if amount:
                self._counts[name].increment(amount)


_COUNTERS = {
    "texts": "Texts embedded",
    "tokens": "Tokens embedded, without padding",
    "batches": "Dynamic batches",
    "refused": "Requests refused: not UTF-8, too long, or for an output that the model does not have",
}
