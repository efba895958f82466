"""A Triton model repository of embedders: one model, `embedder`, with a version for each model digest.

    <repository>/embedder/config.pbtxt          the same for every model
    <repository>/embedder/<version>/model.py    ragline.export.triton_model
                                    embedder.json, tokenizer.json, model.onnx [, model.int8.onnx]

A version's number is made from the digest, so a client that knows the digest of a release knows which version to ask,
and the folders of several models can be put side by side without a register.
"""

import importlib.resources
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from ragline.embedding.model import EmbeddingModel
from ragline.embedding.triton_client import version_of as version_of
from ragline.errors import ModelError
from ragline.export.onnx import HEADS, heads_of
from ragline.export.triton_model import DESCRIPTION
from ragline.export.variants import RECIPES, Variant

MODEL = "embedder"
"""Name of the model in Triton."""

SCHEMA = 1
"""Of a version's `embedder.json`."""

PROBES = (
    "What is this about?",
    "How do I go back to the release before?",
    "Ein Satz mit Umlauten: Änderungen übernehmen.",
    "A longer text, so that the check sees more than a handful of tokens, and padding beside it. " * 3,
)
"""Texts that a version embeds when it starts, to see whether it gives the vectors that it gave at its export."""

FP32_COSINE = 0.9999
"""Least cosine of float32 to itself on another machine."""

_UNKNOWN = ("<unk>", "[UNK]")


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What the server may use, the same for every version.

    Attributes:
        threads: of each version; 0 for as many as there are processors.
        max_batch: texts of one request, and of one dynamic batch.
        max_queue: requests that wait for a version, one more is refused at once (503); 0 for no limit, and the
            services keep their own in front. With a limit, and more so with time-outs of the queue, the server lets one
            request in a hundred wait for half a second, and slows down over time
            (https://github.com/triton-inference-server/server/issues/8870).
    """

    threads: int = 0
    max_batch: int = 64
    max_queue: int = 0


def describe(model: EmbeddingModel) -> dict[str, Any]:
    """Return what the server needs to know of a model, but for its variants and probes."""
    config = model.config
    pad = int(config.get("pad_token_id") or 0)
    return {
        "schema": SCHEMA,
        "digest": model.digest,
        "dimensions": model.dimensions,
        "max_tokens": model.max_tokens,
        # A text beyond the limit of tokens is cut; one far beyond is a mistake, and costs time before it is cut.
        "max_bytes": max(16_384, 32 * model.max_tokens),
        "pad_id": pad,
        "special_ids": sorted(_special_ids(model) | {pad}),
        "outputs": [HEADS[head].output for head in heads_of(model)],
    }


def write_version(
    folder: Path, model: EmbeddingModel, variants: Sequence[Variant], probes: Sequence[Sequence[float]], limit: float
) -> None:
    """Write what belongs beside the ONNX files of a version folder.

    Args:
        folder: has the ONNX files of `variants` already.
        model: what was exported.
        variants: those to serve, the preferred one first.
        probes: the float32 vectors of `PROBES`.
        limit: least cosine, when it starts, of a variant other than float32.
    """
    served: list[dict[str, Any]] = [
        RECIPES[variant.name]
        | {
            "name": variant.name,
            "file": variant.file,
            "least_cosine": FP32_COSINE if variant.name == "fp32" else limit,
        }
        for variant in variants
    ]
    vectors = [[round(value, 7) for value in row] for row in probes]
    description = describe(model) | {"variants": served, "probes": {"texts": list(PROBES), "vectors": vectors}}
    (folder / DESCRIPTION).write_text(json.dumps(description), encoding="utf-8")
    shutil.copyfile(model.tokenizer, folder / "tokenizer.json")
    source = importlib.resources.files("ragline.export").joinpath("triton_model.py").read_text(encoding="utf-8")
    (folder / "model.py").write_text(source, encoding="utf-8")


def write_config(repository: Path, options: ServerOptions | None = None) -> Path:
    """Write `embedder/config.pbtxt`; it does not depend on the models."""
    options = options or ServerOptions()
    path = repository / MODEL / "config.pbtxt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        _CONFIG.format(
            model=MODEL,
            max_batch=options.max_batch,
            policy=f"default_queue_policy {{ max_queue_size: {options.max_queue} }}" if options.max_queue else "",
            threads=options.threads,
        ),
        encoding="utf-8",
    )
    return path


def join_repositories(repositories: Iterable[Path], joined: Path, options: ServerOptions | None = None) -> list[int]:
    """Put the versions of several repositories into one, and return their numbers.

    Files are linked where the file system can, else copied; versions that are there already stay, so a running
    server may be given another model.

    Raises:
        ModelError: a repository has no version of the embedder.
    """
    versions: list[int] = []
    for repository in repositories:
        folders = [path.parent for path in sorted((repository / MODEL).glob(f"*/{DESCRIPTION}"))]
        if not folders:
            raise ModelError(f"{repository} holds no version of {MODEL!r}; export a model to it first")
        for folder in folders:
            _put(folder, joined / MODEL / folder.name)
            versions.append(int(folder.name))
    write_config(joined, options)
    return versions


def _put(folder: Path, target: Path) -> None:
    if target.is_dir():
        return
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(folder, partial, copy_function=_link, ignore=shutil.ignore_patterns("__pycache__"))
    try:
        partial.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.rmtree(partial)  # another process was faster; the files are the same


def _link(source: str, target: str) -> None:
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _special_ids(model: EmbeddingModel) -> set[int]:
    """Return the ids that get no sparse weight: FlagEmbedding leaves out beginning, end, padding and unknown."""
    tokenizer = Tokenizer.from_file(str(model.tokenizer))
    named = {model.config.get(f"{kind}_token_id") for kind in ("bos", "eos", "pad")}
    return {int(token) for token in named | {tokenizer.token_to_id(text) for text in _UNKNOWN} if token is not None}


_CONFIG = """\
# Written by ragline: every version folder beside this file is served (its number is made from the model's digest).
name: "{model}"
backend: "python"
max_batch_size: {max_batch}
version_policy {{ all {{ }} }}
input [ {{ name: "text_input" data_type: TYPE_STRING dims: [ 1 ] }} ]
output [
  {{ name: "embeddings" data_type: TYPE_FP32 dims: [ -1 ] }},
  {{ name: "sparse_ids" data_type: TYPE_INT64 dims: [ -1 ] }},
  {{ name: "sparse_weights" data_type: TYPE_FP32 dims: [ -1 ] }},
  {{ name: "multi_vectors" data_type: TYPE_FP32 dims: [ -1, -1 ] }}
]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
# No delay: while one batch runs the next one gathers, and an idle server answers at once.
dynamic_batching {{ {policy} }}
parameters {{ key: "threads" value {{ string_value: "{threads}" }} }}
"""
