"""What keeps `ragline up` from starting is one clear line, and leaves nothing behind."""

import socket
from pathlib import Path

import pytest

from ragline.cli import main

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RAGLINE_TRITON", str(tmp_path / "no triton"))


def test_no_store_and_no_release(tmp_path: Path, capsys: Captured) -> None:
    """As every other command says it, with the same exit status."""
    assert main(["up", "--store", str(tmp_path / "none"), "--port", "0"]) == 2
    assert "does not exist: give an existing folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["up", "--store", str(tmp_path / "empty"), "--port", "0"]) == 2
    err = capsys.readouterr().err
    assert "nothing has been published; run: ragline index DOCS" in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_no_triton_environment_and_a_taken_port(indexed: Path, capsys: Captured) -> None:
    """What to run; who has the port, and what to do. `status` remembers it, `down` forgets it."""
    store = ["--store", str(indexed / "the store")]
    assert main(["up", *store, "--port", "0"]) == 2
    assert "run `make triton`" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = min(taken.getsockname()[1], 65_000)
        assert main(["up", *store, "--port", str(port)]) == 2
        assert f"port {port} (llm) is taken by process" in capsys.readouterr().err
    assert main(["status", *store]) == 1
    assert "the last start failed: port" in capsys.readouterr().out
    assert main(["down", *store]) == 0
    assert main(["status", *store]) == 1
    assert capsys.readouterr().out.endswith("index 'default' is not up\n")
