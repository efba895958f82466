"""One service is kept running: what it says while it starts, when it dies, and when it cannot start at all."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ragline.chain.board import Board
from ragline.chain.keeper import Keeper
from ragline.chain.ports import Ports
from ragline.chain.processes import identity, is_running
from ragline.chain.service import PythonService
from ragline.chain.state import ChainState, Place, ServiceState

ROOT = Path(__file__).resolve().parents[3]

Keep = Callable[..., Keeper]


@pytest.fixture
def keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keep]:
    """Start a keeper of a stand-in; it is stopped at the end."""
    monkeypatch.chdir(ROOT)
    kept: list[Keeper] = []

    def start(*arguments: str) -> Keeper:
        port = Ports.following(0).llm
        url, log = f"http://127.0.0.1:{port}", tmp_path / "stand-in.log"
        words = ["--port", str(port), *arguments]
        service = PythonService("stand-in", url, log, "tests.services.up.stand_in", words, "/ready")
        state = ChainState("store", "default", "extractive", {}, (ServiceState("stand-in", url, str(log)),))
        place = Place(tmp_path / "chain")
        place.make()
        kept.append(Keeper(service, Board(state, place, lambda _: None), threading.Event()))
        kept[-1].start()
        return kept[-1]

    yield start
    for keeper in kept:
        keeper.stopping.set()
        keeper.close()


def state_of(keeper: Keeper) -> ServiceState:
    """Return what is known of the service."""
    (state,) = keeper.board.state.services
    return state


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for something to hold."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "took too long"
        time.sleep(0.02)


def test_a_service_says_what_it_waits_for_until_it_is_ready(keep: Keep) -> None:
    """The reason of a 503 is the detail; ready only when it says so itself."""
    keeper = keep("--delay", "1")
    until(lambda: state_of(keeper).detail == "loads its index")
    assert state_of(keeper).state == "starting"
    assert keeper.is_up.wait(5)
    assert (state_of(keeper).state, state_of(keeper).detail) == ("ready", "")


def test_a_killed_service_is_started_again(keep: Keep) -> None:
    """Another process, counted, ready again."""
    keeper = keep()
    assert keeper.is_up.wait(5)
    first = state_of(keeper)
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: state_of(keeper).restarts == 1 and state_of(keeper).state == "ready")
    assert state_of(keeper).pid != first.pid
    assert not keeper.board.failed.is_set()


def test_a_service_that_hangs_is_started_again(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lives and answers nothing: that is told, and after a while another process takes its place."""
    monkeypatch.setattr("ragline.chain.keeper.HUNG_SECONDS", 0.5)
    monkeypatch.setattr("ragline.chain.service.STOP_SECONDS", 0.2)
    monkeypatch.setattr("ragline.chain.service._LOOK_SECONDS", 0.3)
    keeper = keep()
    assert keeper.is_up.wait(5)
    first = state_of(keeper)
    os.kill(first.pid, signal.SIGSTOP)
    until(lambda: state_of(keeper).state == "not ready")
    assert state_of(keeper).detail == "does not answer"
    until(lambda: state_of(keeper).restarts == 1 and state_of(keeper).state == "ready")
    assert identity(first.pid) == ""


def test_a_service_that_ends_before_it_was_ready_fails_the_chain_with_its_log(keep: Keep) -> None:
    """Once is enough, and the message has the end of what it wrote."""
    keeper = keep("--status", "2")
    assert keeper.board.failed.wait(5)
    state = keeper.board.state
    assert (state.phase, state.kind) == ("failed", "RaglineError")
    assert state.problem.startswith("stand-in ended with status 2; the end of ")
    assert state.problem.endswith(":\n  a stand-in begins\n  its index is of wood")


def test_a_service_is_stopped_with_all_that_it_started(keep: Keep) -> None:
    """After `close` there is no process, and the state says so."""
    keeper = keep()
    assert keeper.is_up.wait(5)
    pid = state_of(keeper).pid
    known = identity(pid)
    keeper.stopping.set()
    keeper.close()
    assert not is_running(pid, known)
    assert (state_of(keeper).state, state_of(keeper).pid) == ("stopped", 0)
