"""`ragline up` with a real Triton server and the real services: it answers, heals, follows, and leaves nothing."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ragline.chain.processes import identity
from ragline.export.triton_repository import version_of
from tests.export.conftest import tiny_bert
from tests.services.up.conftest import SECRET, Shell, write_documents

pytestmark = pytest.mark.slow

QUESTION = "What colour is the lighthouse of Brenholm?"


def up(shell: Shell, *arguments: str) -> Any:
    """Bring the chain up on free ports, and return what is said of it."""
    return shell.json("up", "--port", "0", *arguments)


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something to hold."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "took too long"
        time.sleep(0.2)


def alive(pids: dict[str, int]) -> list[str]:
    """Return which processes are there."""
    return [name for name, pid in pids.items() if identity(pid)]


def test_up_serves_and_ask_goes_through_it(shell: Shell) -> None:
    """All services are ready, and the answer is the one that is given without a chain."""
    state = up(shell)
    assert (state["phase"], state["ready"], state["plan"]) == ("ready", True, "extractive")
    assert [each["name"] for each in state["services"]] == ["llm", "vectorstore", "embedder"]
    assert {each["state"] for each in state["services"]} == {"ready"}
    through = shell.json("ask", QUESTION)
    alone = shell.json("ask", QUESTION, "--release", state["release"])
    assert through["answer"] == alone["answer"]
    assert "painted green. [1]" in through["answer"]
    assert through["release"] == alone["release"] == state["release"]
    assert [each["source"] for each in through["citations"]] == [each["source"] for each in alone["citations"]]
    status, _, err = shell.run("ask", " ")
    assert (status, err.count("\n")) == (2, 1)
    assert "the question is empty" in err


def test_a_second_up_shows_the_state(shell: Shell) -> None:
    """The same processes, at once; other options are refused and change nothing."""
    up(shell)
    pids = shell.pids()
    begun = time.monotonic()
    status, out, _ = shell.run("up")
    assert status == 0
    assert out.splitlines()[-1].startswith("curl http://127.0.0.1:")
    assert time.monotonic() - begun < 5
    status, _, err = shell.run("up", "--plan", "openai", "--llm-url", "http://127.0.0.1:9")
    assert status == 2
    assert "run `ragline down` first" in err
    assert shell.pids() == pids


def test_no_secret_is_in_a_file_or_a_command_line(shell: Shell) -> None:
    """The children get it in their environment, and it stays there."""
    up(shell)
    files = [path for path in (shell.cache / "chain").rglob("*") if path.is_file() and path.stat().st_size < 1_000_000]
    assert len(files) > 5
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    pids = [*shell.pids().values(), int(next((shell.cache / "chain").glob("*.lock")).read_text())]
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids]
    assert all(lines)
    assert [line for line in lines if SECRET.encode() in line] == []


@pytest.mark.parametrize("service", ["llm", "vectorstore", "embedder"])
def test_a_killed_service_comes_back(shell: Shell, service: str) -> None:
    """It is started again and counted, and the chain answers; the others are the same processes."""
    up(shell)
    before = shell.pids()
    os.kill(before[service], signal.SIGKILL)
    until(lambda: shell.pids()[service] not in (0, before[service]) and shell.json("status")["ready"])
    after = shell.pids()
    assert {name for name in after if after[name] != before[name]} == {service}
    assert {each["name"]: each["restarts"] for each in shell.json("status")["services"]}[service] == 1
    answer = shell.json("ask", QUESTION)
    assert "green" in answer.get("answer", ""), answer


def test_a_new_model_is_followed_and_a_rollback_too(shell: Shell, indexed: Path, tmp_path: Path) -> None:
    """The release of another embedder is served when its version is loaded; the one before stays loaded."""
    first = up(shell)["release"]
    embedder = tiny_bert(tmp_path / "tiny")
    documents = tmp_path / "docs"
    write_documents(documents, colour="yellow")
    second = shell.json("index", str(documents), "--embedder", str(embedder), "--chunk-size", "16")["release"]
    assert second != first
    until(lambda: shell.json("ask", QUESTION)["release"] == second)
    versions = {path.name for path in (shell.cache / "chain").glob("*/repository/embedder/[0-9]*")}
    digests = {row["release"]: row["digests"]["model"] for row in shell.json("releases")}
    assert versions == {str(version_of(digests[name])) for name in (first, second)}
    assert shell.run("rollback")[0] == 0
    until(lambda: shell.json("ask", QUESTION)["release"] == first)
    answer = shell.json("ask", QUESTION)
    assert "green" in answer.get("answer", ""), answer


def test_what_a_killed_supervisor_leaves_is_cleaned_up(shell: Shell) -> None:
    """`status` says so, `ask` works, and the next `up` ends the old processes; so does `down`."""
    up(shell)
    lock = next((shell.cache / "chain").glob("*.lock"))
    before = shell.pids()
    os.kill(int(lock.read_text()), signal.SIGKILL)
    status, out, _ = shell.run("status")
    assert status == 1
    assert "its supervisor was killed" in out
    assert len(alive(before)) == 3
    answer = shell.json("ask", QUESTION)
    assert "green" in answer.get("answer", ""), answer
    up(shell)
    assert alive(before) == []
    after = shell.pids()
    os.kill(int(lock.read_text()), signal.SIGKILL)
    assert shell.json("down") == {"stopped": True}
    assert alive(after) == []


def test_down_stops_everything_and_may_be_repeated(shell: Shell) -> None:
    """No process, no shared memory, no state; a second one finds nothing."""
    up(shell)
    pids = shell.pids()
    port = shell.json("status")["services"][2]["url"].rpartition(":")[2]
    assert shell.json("down") == {"stopped": True}
    assert alive(pids) == []
    assert list(Path("/dev/shm").glob(f"ragline_{port}_*")) == []
    assert shell.json("down") == {"stopped": False}
    assert shell.run("status")[0] == 1


def test_two_at_once_are_one_chain(shell: Shell) -> None:
    """Both say the same, and there is one process for each service."""
    shell.run("down")
    both = [shell.spawn("up", "--port", "0", "--json") for _ in range(2)]
    answers = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    states = [json.loads(out) for out, _ in answers]
    assert states[0]["url"] == states[1]["url"]
    assert shell.json("status")["url"] == states[0]["url"]


def test_down_while_it_comes_up(shell: Shell) -> None:
    """`up` says that it was stopped, and nothing is left."""
    shell.run("down")
    with shell.spawn("up", "--port", "0") as starting:
        until(lambda: len(list((shell.cache / "chain").glob("*.json"))) == 1)
        time.sleep(1.0)
        pids = shell.pids()
        assert shell.json("down") == {"stopped": True}
        _, err = starting.communicate(timeout=60)
    assert starting.returncode == 1
    assert "was stopped while it was being brought up" in err
    assert alive(pids) == []


def test_an_interrupt_stops_what_was_started(shell: Shell) -> None:
    """As Ctrl-C: exit status 130, and nothing is left."""
    shell.run("down")
    with shell.spawn("up", "--port", "0") as starting:
        until(lambda: len(list((shell.cache / "chain").glob("*.json"))) == 1)
        time.sleep(0.5)
        pids = shell.pids()
        starting.send_signal(signal.SIGINT)
        starting.communicate(timeout=60)
    assert starting.returncode == 130
    assert alive(pids) == []
    assert shell.json("down") == {"stopped": False}


def test_the_foreground_stays_until_it_is_stopped(shell: Shell) -> None:
    """The same state, printed as soon as it is up; an interrupt takes everything down."""
    shell.run("down")
    with shell.spawn("up", "--port", "0", "--foreground", "--json") as process:
        assert process.stdout
        assert json.loads(process.stdout.readline())["ready"] is True
        pids = shell.pids()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert alive(pids) == []
