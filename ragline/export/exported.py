"""A model folder as a version of a Triton repository, with every variant's figures."""

import json
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ragline.embedding.embedder import Embedder
from ragline.embedding.model import EmbeddingModel, read_model
from ragline.errors import GateError
from ragline.export.checks import CheckTexts, Limits, cosines
from ragline.export.onnx import export_onnx
from ragline.export.triton_repository import (
    MODEL,
    PROBES,
    ServerOptions,
    describe,
    version_of,
    write_config,
    write_version,
)
from ragline.export.variants import INT8_FILE, RECIPES, Checker, Variant, preferred

AGREEMENT = {"f32": 0.9999, "bf16": 0.998}
"""Least cosine between the exported float32 and transformers, by the precision in which transformers ran."""

COMPARED = 64
"""Texts that transformers embeds for comparison; it is the slowest of all."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What `export_model` made.

    Attributes:
        digest: of the model.
        version: under which Triton serves it.
        dimensions: length of a vector.
        heads: "sparse" and "multi_vector", where the model has them.
        agreement: least cosine of the exported float32 to transformers, or to the vectors that were known.
        variants: all that were asked for, refused ones with the reason.
        served: names of the accepted variants, the preferred one first.
        check: how many questions and texts they were measured with.
        seconds: wall time.
    """

    digest: str
    version: int
    dimensions: int
    heads: tuple[str, ...]
    agreement: float
    variants: tuple[Variant, ...]
    served: tuple[str, ...]
    check: dict[str, int]
    seconds: float

    def to_json(self) -> str:
        """Return everything as JSON."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        variants = tuple(Variant(**variant) for variant in fields.pop("variants"))
        fields |= {"heads": tuple(fields["heads"]), "served": tuple(fields["served"])}
        return cls(variants=variants, **fields)


def export_model(
    folder: Path,
    pairs: Iterable[tuple[str, str]],
    repository: Path,
    *,
    name: str = "",
    variants: Sequence[str] = tuple(RECIPES),
    limits: Limits | None = None,
    options: ServerOptions | None = None,
    most_pairs: int = 500,
    known: tuple[Sequence[str], np.ndarray] | None = None,
) -> Exported:
    """Export a model folder as a version of a Triton repository, with the variants that pass their checks.

    The version appears in the repository when it is complete, and replaces one of the same digest.

    Args:
        folder: the model, as sentence-transformers or FlagEmbedding saves it.
        pairs: questions with the texts that answer them, which the variants are measured with.
        repository: the Triton repository; made where it is missing.
        name: of the model in messages.
        variants: some of "fp32" (always made), "bf16" and "int8".
        limits: what a variant must keep of float32.
        options: what the server may use.
        most_pairs: how many pairs are used, the first ones.
        known: texts, and the vectors that the model made of them for an index, [texts, dimensions], which the export
            must give too; without them it is compared with transformers, and needs PyTorch.

    Raises:
        ModelError: the folder is no model, or one that cannot be exported.
        InputError: no pairs.
        GateError: the exported float32 does not give the vectors of transformers, or those that are known.
    """
    start = time.perf_counter()
    model = read_model(name or folder.name, folder)
    check = CheckTexts.from_pairs(pairs, most=most_pairs)
    limits = limits or Limits()
    version = version_of(model.digest)
    partial = repository / MODEL / f".{version}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        names = ["fp32", *(each for each in variants if each != "fp32")]
        exported = _export(model, check, partial, names, limits, known)
        write_config(repository, options)
        shutil.rmtree(repository / MODEL / str(version), ignore_errors=True)
        partial.rename(repository / MODEL / str(version))
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Exported(**exported, seconds=round(time.perf_counter() - start, 3))


def _export(
    model: EmbeddingModel,
    check: CheckTexts,
    folder: Path,
    names: Sequence[str],
    limits: Limits,
    known: tuple[Sequence[str], np.ndarray] | None,
) -> dict[str, Any]:
    onnx_model = export_onnx(model, folder / "model.onnx")
    shutil.copyfile(model.tokenizer, folder / "tokenizer.json")
    checker = Checker(onnx_model, describe(model), check, limits)
    agreement = _agreement(model, check, checker.vectors) if known is None else _known(model, checker, *known)
    variants = [checker.variant(name) for name in names]
    served = preferred(variants)
    if "int8" not in {variant.name for variant in served}:
        for path in folder.glob(INT8_FILE + "*"):
            path.unlink()
    write_version(folder, model, served, checker.embed(PROBES).tolist(), limits.least_cosine)
    return {
        "digest": model.digest,
        "version": version_of(model.digest),
        "dimensions": model.dimensions,
        "heads": onnx_model.heads,
        "agreement": agreement,
        "variants": tuple(variants),
        "served": tuple(variant.name for variant in served),
        "check": {"queries": len(check.queries), "texts": len(check.texts)},
    }


def _known(model: EmbeddingModel, checker: Checker, texts: Sequence[str], vectors: np.ndarray) -> float:
    """Return the least cosine to the vectors that an index has, which a pipeline may have made in bfloat16."""
    least = float(cosines(checker.embed(texts), vectors).min())
    if not least >= AGREEMENT["bf16"]:
        raise GateError(
            f"embedder {model.name!r}: its ONNX file does not give the vectors of the index: least cosine "
            f"{least:.5f}, expected {AGREEMENT['bf16']}. Nothing was exported; report it with config.json"
        )
    return least


def _agreement(model: EmbeddingModel, check: CheckTexts, vectors: np.ndarray) -> float:
    """Return the least cosine of `vectors` to those of transformers, which shares no code with the export."""
    from ragline.embedding.torch_backend import TorchBackend

    backend = TorchBackend(model)
    texts = [*check.queries, *check.texts]
    chosen = range(0, len(texts), -(-len(texts) // COMPARED))
    expected = Embedder(model, backend).embed([texts[row] for row in chosen])
    least = float(cosines(vectors[list(chosen)], expected).min())
    if not least >= AGREEMENT[backend.precision]:
        raise GateError(
            f"embedder {model.name!r}: its ONNX file does not give its vectors: least cosine to transformers "
            f"{least:.5f}, expected {AGREEMENT[backend.precision]}. Nothing was exported; report it with config.json"
        )
    return least
