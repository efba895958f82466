"""An index to serve, and the command line as a person runs it: as processes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ragline.settings import VARIABLES

ROOT = Path(__file__).resolve().parents[3]
SECRET = "a-key-that-nobody-may-see"


@dataclass
class Shell:
    """Runs ragline on a store.

    Attributes:
        store: folder.
        cache: folder.
        variables: of the environment, besides those that every process has.
    """

    store: Path
    cache: Path
    variables: dict[str, str] = field(default_factory=dict)

    def spawn(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command."""
        ours = {variable.name for variable in VARIABLES}
        environment = {name: value for name, value in os.environ.items() if name not in ours}
        environment |= {"RAGLINE_STORE": str(self.store), "RAGLINE_CACHE": str(self.cache), "RAGLINE_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "ragline", *arguments],
            cwd=ROOT,
            env={**environment, **self.variables},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command; gives exit status, stdout, stderr."""
        with self.spawn(*arguments) as process:
            out, err = process.communicate(timeout=180)
        return process.returncode, out, err

    def json(self, *arguments: str) -> Any:
        """Return what a command prints with --json."""
        status, out, err = self.run(*arguments, "--json")
        assert out, (status, err)
        return json.loads(out)

    def pids(self) -> dict[str, int]:
        """Return the process of each service."""
        return {each["name"]: each["pid"] for each in self.json("status")["services"]}


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with an index of two documents."""
    folder = tmp_path_factory.mktemp("indexed")
    write_documents(folder / "docs", colour="green")
    shell = Shell(folder / "the store", folder / "the cache")
    status, _, err = shell.run("index", str(folder / "docs"))
    assert status == 0, err
    return folder


@pytest.fixture(scope="module")
def shell(indexed: Path) -> Iterator[Shell]:
    """A shell whose environment holds a secret; nothing that it started is left."""
    if not (ROOT / "build" / "triton" / "bin" / "python").is_file():
        pytest.skip("needs a Triton server in build/triton: make triton")
    shell = Shell(
        indexed / "the store", indexed / "the cache", {"AWS_SECRET_ACCESS_KEY": SECRET, "RAGLINE_LLM_API_KEY": SECRET}
    )
    yield shell
    shell.run("down")


def write_documents(folder: Path, *, colour: str) -> None:
    """Write two documents."""
    folder.mkdir(exist_ok=True)
    (folder / "lighthouse.md").write_text(f"# The lighthouse\n\nThe lighthouse of Brenholm was painted {colour}.\n")
    (folder / "ferry.md").write_text("# The ferry\n\nThe ferry to Brenholm leaves at seven in the morning.\n")
