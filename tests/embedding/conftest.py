"""Embedding models for tests: the embedded default, and a tiny one of BGE-M3's architecture."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import Unigram
from tokenizers.normalizers import NFKC
from tokenizers.pre_tokenizers import Metaspace
from tokenizers.processors import TemplateProcessing

from ragline.embedding.embedder import Embedder
from ragline.embedding.model import DEFAULT

TINY = {
    "model_type": "xlm-roberta",
    "vocab_size": 40,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 34,
    "type_vocab_size": 1,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "layer_norm_eps": 1e-5,
    "hidden_act": "gelu",
}


@pytest.fixture(scope="session")
def default() -> Embedder:
    """The embedder of the embedded default, on the CPU."""
    return Embedder.named(DEFAULT)


@dataclass(frozen=True)
class Tiny:
    """A tiny model of random weights, as a folder for each format of weights, and as transformers runs it."""

    safetensors: Path
    pickled: Path
    reference: Any


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """An XLM-RoBERTa encoder with CLS pooling, made by transformers."""
    torch = pytest.importorskip("torch", reason="makes the reference model: pip install 'ragline[train]'")
    folders = [tiny_model(tmp_path_factory.mktemp(name)) for name in ("safetensors", "pickled")]
    reference = _tiny_encoder(7, 34)
    (folders[1] / "model.safetensors").unlink()
    torch.save(reference.state_dict(), folders[1] / "pytorch_model.bin")
    return Tiny(folders[0], folders[1], reference)


def tiny_model(folder: Path, *, seed: int = 7, positions: int = 34) -> Path:
    """Write a tiny model of random weights to a folder, and return the folder."""
    _tiny_encoder(seed, positions).save_pretrained(folder)
    tokenizer().save(str(folder / "tokenizer.json"))
    write_json(folder / "1_Pooling" / "config.json", {"pooling_mode_cls_token": True})
    return folder


def _tiny_encoder(seed: int, positions: int) -> Any:
    torch = pytest.importorskip("torch", reason="makes the reference model: pip install 'ragline[train]'")
    transformers = pytest.importorskip("transformers", reason="makes the reference model: pip install 'ragline[train]'")
    torch.manual_seed(seed)
    config = transformers.XLMRobertaConfig(**TINY | {"max_position_embeddings": positions}, initializer_range=0.5)
    return transformers.XLMRobertaModel(config, add_pooling_layer=False).eval()


def tokenizer() -> Tokenizer:
    """Return a tokenizer of XLM-RoBERTa's kind that knows the letters."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = [*"▁abcdefghijklmnopqrstuvwxyz", "▁the", "▁release", "▁roll", "ing", "▁back"]
    tokenizer = Tokenizer(
        Unigram([*((piece, 0.0) for piece in special), *((piece, -1.0) for piece in pieces)], unk_id=3)
    )
    tokenizer.normalizer = NFKC()
    tokenizer.pre_tokenizer = Metaspace()
    tokenizer.post_processor = TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return tokenizer


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a file of a model folder."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the cosine of each pair of rows."""
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    result: np.ndarray = (left * right).sum(axis=1) / lengths
    return result
