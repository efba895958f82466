"""A chain exports the embedder of a release without PyTorch, and compares it with the vectors of the release."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ragline.embedding.embedder import Embedder
from ragline.embedding.model import read_model
from ragline.embedding.torch_backend import TorchBackend
from ragline.errors import GateError
from ragline.export.exported import export_model
from tests.export.conftest import PAIRS, TEXTS, tiny_bert

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from pathlib import Path
import numpy as np
from ragline.export.exported import export_model
from tests.export.conftest import PAIRS, TEXTS
folder, repository, vectors = map(Path, sys.argv[1:])
exported = export_model(folder, PAIRS, repository, variants=[], known=(TEXTS, np.load(vectors)))
print(exported.served, exported.agreement > 0.9999)
"""


def test_an_export_needs_no_pytorch_where_vectors_are_known(tmp_path: Path) -> None:
    """It is compared with those vectors; other ones refuse it, and nothing is exported."""
    folder = tiny_bert(tmp_path / "model")
    model = read_model("tiny", folder)
    vectors = Embedder(model, TorchBackend(model)).embed(TEXTS)
    np.save(tmp_path / "vectors.npy", vectors)
    paths = [str(path) for path in (folder, tmp_path / "repository", tmp_path / "vectors.npy")]
    command = [sys.executable, "-c", WITHOUT_TORCH, *paths]
    found = subprocess.run(command, cwd=Path(__file__).parents[3], check=True, capture_output=True, text=True)
    assert found.stdout == "('fp32',) True\n"
    with pytest.raises(GateError, match="does not give the vectors of the index"):
        export_model(folder, PAIRS, tmp_path / "other", variants=[], known=(TEXTS, vectors[::-1]))
    assert list((tmp_path / "other").rglob("model.onnx")) == []
