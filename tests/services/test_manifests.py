"""What the manifests say is what KServe takes, what the services take, and what the images are."""

import argparse
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from ragline.chain import preparation
from ragline.export.triton_repository import MODEL
from ragline.images import reference
from ragline.services.llm.__main__ import parser as llm_parser
from ragline.services.vectorstore.__main__ import parser as vectorstore_parser

SERVING = Path(__file__).parents[2] / "serving"
MANIFESTS = sorted(SERVING.glob("*/*.yaml"))
EMBEDDER = SERVING / "embedder" / "inferenceservice.yaml"
PARSERS = {"ragline.services.vectorstore": vectorstore_parser, "ragline.services.llm": llm_parser}


def containers(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the containers of our own image in a manifest."""
    for part in yaml.safe_load(path.read_text("utf-8"))["spec"].values():
        each_container = (*part.get("initContainers", ()), *part["containers"])
        yield from (each for each in each_container if "ragline" in each["image"])


@pytest.fixture(scope="module")
def validator(request: pytest.FixtureRequest) -> ModuleType:
    """What checks manifests against KServe's schemas and webhooks; it lies beside the checkout."""
    path = request.getfixturevalue("shared") / "tools" / "validate_manifests.py"
    if not path.is_file():
        pytest.skip("needs tools/validate_manifests.py beside the checkout")
    spec = importlib.util.spec_from_file_location("validate_manifests", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch = request.getfixturevalue("monkeypatch_module")
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[pytest.MonkeyPatch]:
    """Changes that last as long as the tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def test_every_manifest_is_what_kserve_takes(validator: ModuleType) -> None:
    """Strict schemas of the CRDs and the rules of the admission webhooks."""
    assert validator.validate_paths([str(path) for path in MANIFESTS]) == []


def test_a_misspelt_field_would_be_noticed(validator: ModuleType) -> None:
    """The check above can fail."""
    text = MANIFESTS[0].read_text("utf-8")
    assert "minReplicas" in text
    assert validator.validate_text(text.replace("minReplicas", "minReplica"))


@pytest.mark.parametrize(
    "path",
    [path for path in MANIFESTS if path != EMBEDDER],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_arguments_are_those_of_the_service(path: Path) -> None:
    """Each service reads its arguments, listens where Kubernetes asks, and is probed under its own name."""
    ours = list(containers(path))
    assert ours
    for container in ours:
        module, *arguments = container["args"]
        options: argparse.Namespace = PARSERS[module]().parse_args(arguments)
        assert (options.host, options.port) == ("0.0.0.0", container["ports"][0]["containerPort"])
        assert container["readinessProbe"]["httpGet"]["path"] == f"/v2/models/{options.model_name}/ready"


def test_the_embedder_serves_what_was_prepared() -> None:
    """Its model is written where it looks for it, and it listens where it is asked."""
    prepares, serves = containers(EMBEDDER)
    store, _, release, repository = prepares["args"]
    assert (prepares["command"][1:], release) == (["-m", preparation.__name__], "current")
    assert store.startswith("s3://")
    mounted = [{each["mountPath"]: each["name"] for each in part["volumeMounts"]} for part in (prepares, serves)]
    assert mounted[0][repository] == mounted[1][repository]
    assert f"--model-repository={repository}" in serves["args"]
    assert f"--http-port={serves['ports'][0]['containerPort']}" in serves["args"]
    assert serves["readinessProbe"]["httpGet"]["path"] == f"/v2/models/{MODEL}/ready"
    asked = {each["args"][3] for each in containers(SERVING / "vectorstore" / "inferenceservice.yaml")}
    service = yaml.safe_load(EMBEDDER.read_text("utf-8"))["metadata"]["name"]
    assert asked == {f"--embedder-url=http://{service}-predictor"}


def test_images_are_those_of_this_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest of another version would start another version's services."""
    monkeypatch.delenv("RAGLINE_IMAGE_REGISTRY", raising=False)
    images = {container["image"] for path in MANIFESTS for container in containers(path)}
    assert images == {reference("local"), reference("serve"), reference("triton")}


def test_no_credential_is_written_in_a_manifest() -> None:
    """Keys come from Secrets."""
    for path in MANIFESTS:
        for container in containers(path):
            plain = {each["name"] for each in container.get("env", ()) if "value" in each}
            assert plain <= {"RAGLINE_CACHE", "STORAGE_URI"}
