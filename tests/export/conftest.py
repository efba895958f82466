"""Tiny models of both architectures, the pairs to check them with, and the environment of a real Triton server."""

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from ragline.embedding.model import EmbeddingModel, read_model
from tests.embedding.conftest import tiny_model, write_json

ROOT = Path(__file__).resolve().parents[2]

PAIRS = [
    ("the release", "roll back the release of abc"),
    ("rolling", "the zebra is rolling back and forth"),
    ("", "a text that answers nothing at all"),
    ("jazz quiz", "jazz " * 40),
    ("vex fox", "quick brown foxes vex the lazy dog"),
]
"""Questions and texts in letters that the tiny tokenizers know."""

TEXTS = [text for pair in PAIRS for text in pair]


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingModel:
    """A BERT encoder with mean pooling and random weights."""
    return read_model("tiny-bert", tiny_bert(tmp_path_factory.mktemp("bert")))


@pytest.fixture(scope="session")
def m3(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingModel:
    """A model of BGE-M3's kind: XLM-RoBERTa, the first token's vector, a sparse and a multi-vector head."""
    torch = pytest.importorskip("torch", reason="makes the models: pip install 'ragline[train]'")
    folder = tiny_model(tmp_path_factory.mktemp("m3"))
    torch.manual_seed(11)
    for file, size in (("sparse_linear.pt", 1), ("colbert_linear.pt", 32)):
        torch.save(torch.nn.Linear(32, size).state_dict(), folder / file)
    return read_model("tiny-m3", folder)


@pytest.fixture(scope="session")
def triton() -> Path:
    """The environment that `make triton` makes; the test is skipped where it is not."""
    environment = ROOT / "build" / "triton"
    if not (environment / "bin" / "python").is_file():
        pytest.skip("needs a Triton server in build/triton: make triton")
    return environment


def tiny_bert(folder: Path, *, seed: int = 3) -> Path:
    """Write a tiny BERT of random weights to a folder, and return the folder."""
    torch = pytest.importorskip("torch", reason="makes the models: pip install 'ragline[train]'")
    transformers: Any = pytest.importorskip("transformers", reason="makes the models: pip install 'ragline[train]'")
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=60,
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=96,
        max_position_embeddings=40,
        initializer_range=0.3,
    )
    transformers.BertModel(config, add_pooling_layer=False).eval().save_pretrained(folder)
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters), "the", "release"]
    tokenizer = Tokenizer(WordPiece({piece: number for number, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = BertNormalizer(), BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "1_Pooling" / "config.json", {"pooling_mode_mean_tokens": True})
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 32})
    return folder
