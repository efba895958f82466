"""Starts and stops the supervisor of a chain, from another process."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

from ragline.chain.board import Listener
from ragline.chain.embedder import error_of
from ragline.chain.options import ChainOptions
from ragline.chain.processes import identity, is_running, tail
from ragline.chain.state import ChainState, Place
from ragline.chain.supervisor import FAILED, TAKEN, clean_up
from ragline.errors import RaglineError, SettingError

_log = logging.getLogger(__name__)

STOP_SECONDS = 60.0
"""How long a supervisor may take to stop everything."""

_POLL = 0.1


def bring_up(options: ChainOptions, place: Place, listener: Listener) -> ChainState:
    """Bring a chain up, or wait for the one that is coming up, and return its state.

    Args:
        options: of the chain.
        place: of the chain.
        listener: is told every change.

    Raises:
        SettingError: one is up with other options.
        RaglineError: it does not come up; everything is stopped again.
    """
    while True:
        running = place.supervisor()
        started = None if running else _start(options, place)
        state = _wait(place, started.pid if started else running, listener, started)
        if state is None:
            continue
        there = ChainOptions.from_json(state.options)
        if options.asks_for_other_than(there):
            raise SettingError(
                f"index {there.name!r} is up already with other options (plan {there.serving_plan}, {state.url}): "
                "run `ragline down` first"
            )
        return state


def take_down(place: Place) -> bool:
    """Stop a chain, with what a killed supervisor may have left; tell whether there was anything."""
    found = False
    deadline = time.monotonic() + STOP_SECONDS
    while pid := place.supervisor():
        found = True
        known = identity(pid)
        _signal(pid, known, signal.SIGTERM)
        while is_running(pid, known) and time.monotonic() < deadline:
            time.sleep(_POLL)
        _signal(pid, known, signal.SIGKILL)
        time.sleep(_POLL)
    with place.owned() as owned:
        return bool(owned and (clean_up(place) or found)) or found


def _start(options: ChainOptions, place: Place) -> "subprocess.Popen[bytes]":
    place.make()
    with place.log.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "ragline.chain", json.dumps(options.to_json())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _wait(place: Place, pid: int, listener: Listener, process: "subprocess.Popen[bytes] | None") -> ChainState | None:
    """Return the state of a chain when it is ready; None if another supervisor has taken the place of this one.

    Args:
        place: of the chain.
        pid: of its supervisor.
        listener: is told every change.
        process: the supervisor, if we have started it.

    Raises:
        RaglineError: it ended.
    """
    known = identity(pid)
    try:
        while process.poll() is None if process else is_running(pid, known):
            state = place.read()
            if state and state.pid == pid:
                listener(state)
                if state.phase == "ready":
                    return state
            time.sleep(_POLL)
    except KeyboardInterrupt:
        if process:
            _stop_all(place, pid)
        raise
    state = place.read()
    if state and state.pid == pid and state.phase == "failed":
        raise error_of(state.kind, state.problem)
    if process and process.returncode not in (0, TAKEN, FAILED):
        raise RaglineError(f"the supervisor of the chain ended; the end of {place.log}:\n  {tail(place.log)}")
    if state is None and not (process and process.returncode == TAKEN):
        raise RaglineError("the chain was stopped while it was being brought up")
    return None


def _stop_all(place: Place, pid: int) -> None:
    _signal(pid, identity(pid), signal.SIGTERM)
    take_down(place)


def _signal(pid: int, known: str, number: int) -> None:
    with suppress(ProcessLookupError):
        if is_running(pid, known):
            os.kill(pid, number)
