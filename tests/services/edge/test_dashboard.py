"""The Grafana dashboard: every metric in it is one that something running exports."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from ragline.live import LiveIndex
from ragline.live_metrics import LiveMetrics
from ragline.triton_server import TritonServer
from tests.services.edge.conftest import Chain
from tests.services.edge.processes import ROOT
from tests.services.edge.tiny_service import PREDICT

_NAME = re.compile(r"\b(?:ragline|nv|process)_[a-z_]+\b")
_SAMPLE = re.compile(r"^([a-z_:]+)(?:\{| )", re.MULTILINE)
_IDENTITY = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        inputs = [pb_utils.get_input_tensor_by_name(request, "IN").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUT", each)]) for each in inputs]
"""
_CONFIG = """
name: "identity" backend: "python" max_batch_size: 8
input [{name: "IN" data_type: TYPE_FP32 dims: [1]}] output [{name: "OUT" data_type: TYPE_FP32 dims: [1]}]
instance_group [{kind: KIND_CPU}] dynamic_batching {}
"""


def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    loaded: dict[str, Any] = json.loads((ROOT / "serving" / "dashboards" / "ragline.json").read_text("utf-8"))
    return loaded


def metrics() -> set[str]:
    """Return the metrics that the dashboard's panels show."""
    targets = [target for panel in dashboard()["panels"] for target in panel.get("targets", [])]
    return {name for target in targets for name in _NAME.findall(target["expr"])}


def exported(text: str) -> set[str]:
    """Return the names of the samples on a metrics page."""
    return set(_SAMPLE.findall(text))


@pytest.fixture
def index_metrics(tmp_path: Path) -> Iterator[set[str]]:
    """The metrics of an index that is watched."""
    with LiveIndex(str(tmp_path / "store"), "default", tmp_path / "cache") as live:
        registry = CollectorRegistry()
        registry.register(LiveMetrics(live))
        yield exported(generate_latest(registry).decode())


def test_services_export_what_is_shown(chain: Chain, index_metrics: set[str]) -> None:
    """Each metric of ours that a panel shows is on the page of a running service, and no metric of ours is left out."""
    httpx.post(chain.front.url + PREDICT, json={"instances": [{"do": "hop", "inner": {"do": "echo"}}]})
    page = exported(httpx.get(f"{chain.front.url}/metrics").text)
    shown = {name for name in metrics() if not name.startswith("nv_")}
    assert shown - page - index_metrics == set()
    assert _families(page | index_metrics) - _families(shown) == set()


def _families(names: set[str]) -> set[str]:
    """Return what the histograms, counters and gauges of ours are called."""
    ours = {name for name in names if name.startswith("ragline_") and not name.endswith("_created")}
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in ours}


def test_triton_exports_what_is_shown(tmp_path: Path) -> None:
    """So does Triton, once it has answered a request."""
    environment = ROOT / "build" / "triton"
    if not (environment / "bin" / "python").is_file():
        pytest.skip("needs a Triton server in build/triton: make triton")
    model = tmp_path / "models" / "identity"
    (model / "1").mkdir(parents=True)
    (model / "1" / "model.py").write_text(_IDENTITY)
    (model / "config.pbtxt").write_text(_CONFIG)
    tensor = {"name": "IN", "shape": [1, 1], "datatype": "FP32", "data": [1.0]}
    with TritonServer.start(environment, tmp_path / "models", tmp_path / "triton", models=["identity"]) as server:
        server.wait_ready({"identity": [1]})
        url = f"{server.addresses.url}/v2/models/identity/infer"
        assert httpx.post(url, json={"inputs": [tensor]}).status_code == 200
        page = exported(server.metrics())
    shown = {name for name in metrics() if name.startswith("nv_")}
    assert shown
    assert shown - page == set()


def test_every_stage_is_shown() -> None:
    """A panel shows each stage that services measure."""
    text = json.dumps(dashboard())
    stages = ("embed", "search", "quote", "retrieve", "prompt", "first_token", "generate", "support", "queue")
    assert [stage for stage in stages if stage not in text] == []


def test_panels_are_complete() -> None:
    """Each panel says what it shows, and lies beside the others."""
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert [panel["title"] for panel in panels if panel["type"] != "row" and not panel["description"]] == []
