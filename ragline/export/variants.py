"""Forms of an exported model that cost less than float32, each served only if it finds what float32 finds.

    fp32  ONNX Runtime, the file as exported: always there, and what the others are measured by
    bf16  the same file run by OpenVINO in bfloat16: needs a processor that has it, and no file of its own
    int8  a file of its own, weights rounded per channel, activations while running

An index holds vectors of the model as the pipeline runs it, and a server embeds the questions that are asked of it.
So nDCG is measured twice: with the variant's questions on its own texts, and on those of float32; the worse one counts.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ragline.export.checks import CheckTexts, Limits, cosines, ndcg
from ragline.export.onnx import HEADS, OnnxModel
from ragline.export.triton_model import Encoder, VariantError

INT8_FILE = "model.int8.onnx"

RECIPES: dict[str, dict[str, str]] = {
    "fp32": {"runtime": "onnxruntime", "precision": "f32"},
    "bf16": {"runtime": "openvino", "precision": "bf16"},
    "int8": {"runtime": "onnxruntime", "precision": "int8"},
}
"""How each variant is run."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant and its figures.

    Attributes:
        name: "fp32", "bf16" or "int8".
        file: the ONNX file that it runs.
        accepted: whether it may be served.
        reason: why not.
        mean_cosine: to float32, over questions and texts.
        least_cosine: of the worst of them.
        heads: mean cosine to float32 of each other head.
        ndcg: nDCG@10 on the check texts.
        texts_per_cpu_second: questions and texts, half and half, with tokenising, on one thread.
        bytes: size of its files.
        seconds: wall time that making and checking it took.
    """

    name: str
    file: str
    accepted: bool
    reason: str = ""
    mean_cosine: float = 0.0
    least_cosine: float = 0.0
    heads: dict[str, float] | None = None
    ndcg: float = 0.0
    texts_per_cpu_second: float = 0.0
    bytes: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Vectors:
    queries: np.ndarray
    texts: np.ndarray
    heads: dict[str, list[np.ndarray]]
    rate: float

    @property
    def all(self) -> np.ndarray:
        return np.concatenate([self.queries, self.texts])


class Checker:
    """Measures variants of one exported model by its float32 form, in the code that serves them."""

    def __init__(self, exported: OnnxModel, description: dict[str, Any], check: CheckTexts, limits: Limits) -> None:
        self._exported, self._folder = exported, exported.path.parent
        self._description, self._check, self._limits = description, check, limits
        start = time.perf_counter()
        self._float32 = self._encoder("fp32", exported.path.name)
        self._reference = self._vectors(self._float32)
        self._fp32 = self._measured("fp32", exported.path.name, exported.bytes, self._reference, start)

    def variant(self, name: str) -> Variant:
        """Make and measure a variant; a refused one carries its figures and the reason."""
        start = time.perf_counter()
        if name == "fp32":
            return self._fp32
        file, size = self._exported.path.name, self._exported.bytes
        try:
            if name == "int8":
                file, size = INT8_FILE, _quantise(self._exported, self._folder / INT8_FILE)
            vectors = self._vectors(self._encoder(name, file))
        except VariantError as exc:
            return Variant(name, file, accepted=False, reason=f"cannot be run here: {exc}")
        return self._measured(name, file, size, vectors, start)

    @property
    def vectors(self) -> np.ndarray:
        """Float32 vectors of the questions, then of the texts."""
        return self._reference.all

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 vectors of other texts."""
        return self._float32.embed(texts)

    def _encoder(self, name: str, file: str) -> Encoder:
        recipe = RECIPES[name] | {"name": name, "file": file}
        try:
            return Encoder(self._folder, self._description, recipe, threads=1)
        except Exception as exc:  # each runtime has its own errors, and a missing one is an ImportError
            raise VariantError(str(exc)) from exc

    def _vectors(self, encoder: Encoder) -> _Vectors:
        queries, texts = encoder.embed(self._check.queries), encoder.embed(self._check.texts)
        again = [*self._check.queries[:64], *self._check.texts[:64]]  # warm now: kernels are made for each new shape
        start = time.process_time()
        encoder.embed(again)
        rate = len(again) / max(time.process_time() - start, 1e-9)
        outputs = [HEADS[head].output for head in self._exported.heads]
        rows = encoder.tokenize(self._check.texts[:64])
        heads = dict(zip(outputs, encoder.encode(rows, outputs), strict=True)) if outputs else {}
        return _Vectors(queries, texts, heads, rate)

    def _measured(self, name: str, file: str, size: int, vectors: _Vectors, start: float) -> Variant:
        reference, relevant = self._reference, self._check.relevant
        found = cosines(vectors.all, reference.all)
        own, mixed = (ndcg(vectors.queries, texts, relevant) for texts in (vectors.texts, reference.texts))
        heads = {name: _agreement(values, reference.heads[name]) for name, values in vectors.heads.items()}
        best = ndcg(reference.queries, reference.texts, relevant)
        reason = self._limits.broken(found, min(own, mixed), best) or self._heads_broken(heads)
        return Variant(
            name,
            file,
            accepted=not reason,
            reason=reason,
            mean_cosine=float(found.mean()),
            least_cosine=float(found.min()),
            heads=heads or None,
            ndcg=min(own, mixed),
            texts_per_cpu_second=round(vectors.rate, 1),
            bytes=size,
            seconds=round(time.perf_counter() - start, 3),
        )

    def _heads_broken(self, heads: dict[str, float]) -> str:
        limit = self._limits.mean_cosine
        broken = (f"{name}: mean cosine {value:.5f} is below {limit}" for name, value in heads.items() if value < limit)
        return next(broken, "")


def _agreement(values: list[np.ndarray], reference: list[np.ndarray]) -> float:
    """Return the mean cosine of what a head gives for each text (weights) or each of its tokens (vectors)."""
    left, right = ([np.atleast_2d(value) for value in side] for side in (values, reference))
    if {len(value) for value in left} == {1}:
        pairs = zip(left, right, strict=True)
        kept = [(one, other) for one, other in pairs if np.linalg.norm(other) > 0]  # no weights, no direction
        return float(np.mean([cosines(one, other)[0] for one, other in kept])) if kept else 1.0
    return float(cosines(np.concatenate(left), np.concatenate(right)).mean())


def _quantise(exported: OnnxModel, path: Path) -> int:
    """Write the int8 file, with the products of the dense part per channel; return its size."""
    from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]

    outside = len(exported.files) > 1
    with _quiet():
        quantize_dynamic(
            exported.path,
            path,
            weight_type=QuantType.QInt8,
            per_channel=True,  # per tensor, cosine falls from 0.993 to 0.93
            nodes_to_exclude=list(exported.heads),
            use_external_data_format=outside,
        )
    return sum(file.stat().st_size for file in path.parent.glob(path.name + "*"))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser from advising, on the root logger, a preparation that makes it fail on this graph."""
    root = logging.getLogger()
    root.addFilter(_no_advice)
    try:
        yield
    finally:
        root.removeFilter(_no_advice)


def _no_advice(record: logging.LogRecord) -> bool:
    return "pre-processing" not in record.getMessage()


def preferred(variants: list[Variant]) -> list[Variant]:
    """Return the accepted variants, the fastest first and float32 last."""
    accepted = [variant for variant in variants if variant.accepted]
    return sorted(accepted, key=lambda variant: (variant.name == "fp32", -variant.texts_per_cpu_second))
