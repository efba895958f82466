"""The exported heads of BGE-M3 give what FlagEmbedding gives."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragline.embedding.model import EmbeddingModel, read_model
from ragline.export.checks import cosines
from tests.export.conftest import TEXTS
from tests.export.test_onnx import encoder

pytestmark = pytest.mark.slow


@pytest.mark.filterwarnings("ignore")  # of FlagEmbedding and what it imports
def test_three_heads_agree_with_flagembedding(m3: EmbeddingModel, tmp_path: Path) -> None:
    """Dense, sparse and multi-vector, with the same special tokens left out."""
    flag: Any = pytest.importorskip("FlagEmbedding", reason="the reference: pip install 'ragline[train]'")
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path / "m3"
    shutil.copytree(m3.folder, folder)
    special = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_file=str(m3.tokenizer), model_max_length=32, **special)
    tokenizer.save_pretrained(folder)
    texts = [text for text in TEXTS if text]
    reference = flag.BGEM3FlagModel(str(folder), use_fp16=False, devices="cpu", passage_max_length=32)
    expected = reference.encode_single_device(
        texts, max_length=32, return_dense=True, return_sparse=True, return_colbert_vecs=True
    )
    (tmp_path / "out").mkdir()
    runner = encoder(read_model("m3", folder), tmp_path / "out")
    rows = runner.tokenize(texts)
    dense, weights, vectors = runner.encode(rows, ("embeddings", "token_weights", "multi_vectors"))
    assert cosines(np.stack(dense), expected["dense_vecs"]).min() >= 0.99999
    for row, ids in enumerate(rows):
        sparse = {str(token): weight for token, weight in runner.sparse(ids, weights[row]).items()}
        assert sparse == pytest.approx(
            {key: float(value) for key, value in expected["lexical_weights"][row].items()}, abs=1e-4
        )
        np.testing.assert_allclose(vectors[row], expected["colbert_vecs"][row], atol=1e-4)
