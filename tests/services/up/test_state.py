"""Options, ports, processes, and the file of a chain."""

import os
import socket
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ragline.chain.options import ChainOptions
from ragline.chain.ports import Ports
from ragline.chain.processes import cut_log, end_group, identity, is_running, tail
from ragline.chain.state import ChainState, Place, ServiceState
from ragline.errors import SettingError

STATE = ChainState("/store", "docs", "extractive", {}, (ServiceState("llm", "http://127.0.0.1:1", "llm.log"),))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"plan": "openai"}, "--plan openai needs --llm-url"),
        ({"llm_url": "http://host:1"}, "name a plan with --plan"),
        ({"plan": "openai", "llm_url": "host:1"}, r"expected http\(s\)://host:port"),
        ({"plan": "openai", "llm_url": "http://me:secret@host:1"}, "RAGLINE_LLM_API_KEY"),
        ({"small_llm": True, "plan": "extractive"}, "leave out --plan"),
        ({"port": 70_000}, "--port 70000"),
        ({"seconds": 0.0}, "--seconds 0"),
    ],
    ids=str,
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, object], says: str) -> None:
    """At once, with what to change; a password is not repeated."""
    with pytest.raises(SettingError, match=says) as raised:
        ChainOptions("/store", **options)  # type: ignore[arg-type]
    assert "secret" not in str(raised.value)


def test_a_chain_that_is_up_fits_what_was_not_asked_otherwise() -> None:
    """Options left at their default never differ; --port 0 takes whatever there is."""
    there = ChainOptions("/store", plan="openai", llm_url="http://host:1", port=9000)
    assert not ChainOptions("/store").asks_for_other_than(there)
    assert not replace(there, port=0, seconds=5).asks_for_other_than(there)
    assert ChainOptions("/store", port=9100).asks_for_other_than(there)
    assert ChainOptions("/store", small_llm=True).asks_for_other_than(there)
    assert ChainOptions.from_json(there.to_json()) == there


def test_a_taken_port_is_named_with_who_has_it() -> None:
    """The message says which service, which process, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingError) as raised:
            replace(Ports.following(0), vectorstore=port).check()
    assert f"port {port} (vectorstore) is taken by process {os.getpid()} (" in str(raised.value)
    assert "--port" in str(raised.value)


def test_ports_follow_each_other_or_are_any_that_are_free() -> None:
    """In a fixed order, without a gap."""
    assert Ports.following(8400) == Ports(8400, 8401, 8402, 8403, 8404, 8405)
    found = Ports.following(0)
    found.check()
    assert len({found.llm, found.vectorstore, found.embedder, found.embedder_grpc, found.embedder_metrics}) == 5


def test_the_state_is_read_by_its_owner_alone(tmp_path: Path) -> None:
    """Mode 0600 in a folder of mode 0700; what was written is read."""
    place = Place.of(tmp_path, "/store", "docs")
    place.make()
    place.write(STATE)
    assert place.read() == STATE
    (file,) = (tmp_path / "chain").glob("*.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700
    file.write_text('{"format": 99}')
    assert place.read() is None


def test_one_supervisor_owns_a_place(tmp_path: Path) -> None:
    """A second one is told so; the state counts only while its supervisor runs."""
    place = Place.of(tmp_path, "/store", "docs")
    with place.owned() as first, place.owned() as second:
        assert (first, second) == (True, False)
        place.write(replace(STATE, pid=os.getpid()))
        assert place.supervisor() == os.getpid()
        assert place.running() == replace(STATE, pid=os.getpid())
    assert (place.supervisor(), place.running()) == (0, None)


def test_only_the_process_that_was_meant_is_ended() -> None:
    """Its number alone is not enough: another identity is another process."""
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        known = identity(process.pid)
        assert not end_group(process.pid, known + "1")
        assert not end_group(process.pid, "")
        assert is_running(process.pid, known)
        assert end_group(process.pid, known)
        assert not is_running(process.pid, known)


def test_a_log_is_cut_before_it_fills_the_disk(tmp_path: Path) -> None:
    """What it held is in `.1`; who appends goes on in a small file."""
    log = tmp_path / "a.log"
    with log.open("ab", buffering=0) as file:
        file.write(b"x" * 34_000_000)
        cut_log(log)
        file.write(b"\n".join(b"line %d" % number for number in range(9)))
        assert tail(log, 2) == "line 7\n  line 8"
    assert log.stat().st_size < 1000
    assert log.with_name("a.log.1").stat().st_size == 34_000_000
    assert tail(tmp_path / "none") == "it wrote nothing"
