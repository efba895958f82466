"""Fixtures of the plans' tests: a tokenizer with a chat template, documents, servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ragline.triton_server import TritonServer
from tests.services.plans.openai_server import OpenAiServer
from tests.services.plans.tokenizer_folder import write_tokenizer
from tests.services.plans.triton_repositories import write_ensemble, write_llmapi

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small tokenizer with a chat template."""
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def openai_server() -> Iterator[OpenAiServer]:
    """A server of OpenAI's API that does what the test says."""
    with OpenAiServer() as server:
        yield server


@pytest.fixture(scope="session")
def triton_environment() -> Path:
    """The environment that `make triton` makes; the test is skipped where it is not."""
    environment = ROOT / "build" / "triton"
    if not (environment / "bin" / "python").is_file():
        pytest.skip("needs a Triton server in build/triton: make triton")
    return environment


@pytest.fixture(scope="session")
def triton(triton_environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A real Triton with the ensemble, with two of older versions, and with the model of the llmapi as `llmapi`."""
    folder = tmp_path_factory.mktemp("triton")
    repository = folder / "models"
    without = ("stream", "exclude_input_in_output", "seed", "stop_words", "bad_words")
    models = [
        *write_ensemble(repository),
        *write_ensemble(repository, suffix="-whole", without=without, decoupled=False),
        *write_ensemble(repository, suffix="-two", without=["exclude_input_in_output"], detokenizers=2),
        *write_llmapi(repository, name="llmapi"),
    ]
    with TritonServer.start(triton_environment, repository, folder, models=models) as server:
        server.wait_ready({model: [1] for model in models})
        yield server
