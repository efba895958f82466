"""The libraries that run models tell their makers nothing."""

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

EMBED = """
from ragline.embedding.embedder import Embedder
Embedder.named("all-MiniLM-L6-v2").embed(["Who paints the lighthouse?"])
"""
SERVE = """
from pathlib import Path
from ragline.export.triton_model import {start}
{start}(Path("model.onnx"), {{"precision": "f32"}}, 1, 1)
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a graph that gives back what it gets."""
    row = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("given", "same")]
    graph = helper.make_graph([helper.make_node("Identity", ["given"], ["same"])], "same", row[:1], row[1:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(made, tmp_path / "model.onnx")
    return tmp_path


@pytest.mark.parametrize(
    "program", [EMBED, SERVE.format(start="_onnxruntime"), SERVE.format(start="_openvino")], ids=["embed", "ort", "ov"]
)
def test_nothing_is_noted_for_a_report(program: str, model: Path) -> None:
    """Both would keep an id of the machine in the home folder, to report with."""
    home = model / "home"
    home.mkdir()
    ends = "import sys; print([name for name in sys.modules if name.startswith('openvino_telemetry.')])"
    variables = {"HOME": str(home), "PATH": "/usr/bin:/bin", "RAGLINE_CACHE": str(model / "cache")}
    command = [sys.executable, "-c", program + ends]
    ran = subprocess.run(command, cwd=model, env=variables, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.strip()) == (0, "[]"), ran.stderr
    assert [path for path in home.rglob("*") if path.is_file()] == []
