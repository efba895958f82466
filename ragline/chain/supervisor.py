"""The process that owns a chain: brings it up, keeps it running, and takes it down when it is told to."""

import logging
import os
import shutil
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

from ragline.chain.board import Board, Listener
from ragline.chain.follower import Follower
from ragline.chain.keeper import Keeper
from ragline.chain.options import ChainOptions
from ragline.chain.ports import Ports
from ragline.chain.processes import end_group, identity
from ragline.chain.proof import prove
from ragline.chain.service import Service
from ragline.chain.services import ORDER, Services
from ragline.chain.state import ChainState, Place, ServiceState
from ragline.errors import RaglineError
from ragline.object_store import open_store
from ragline.release import Index, now

_log = logging.getLogger(__name__)

FAILED, TAKEN = 3, 75
"""Exit status of a supervisor that could not bring its chain up, and of one that finds another at work."""

_POLL, _PAUSE = 0.1, 0.5


class Supervisor:
    """Runs a chain until it is stopped.

    Example:
        >>> Supervisor(options, place, cache, Path("build/triton")).run()  # doctest: +SKIP
    """

    def __init__(self, options: ChainOptions, place: Place, cache: Path, triton: Path) -> None:
        self._options, self._place, self._cache, self._triton = options, place, cache, triton
        self._stopping = threading.Event()
        self._keepers: list[Keeper] = []

    def stop(self) -> None:
        """Take the chain down; may be called from a signal handler."""
        self._stopping.set()

    def run(self, listener: Listener = lambda _: None) -> int:
        """Run until stopped; return an exit status.

        Args:
            listener: is told every change.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())
        with self._place.owned() as owned:
            if not owned:
                return TAKEN
            clean_up(self._place)
            return self._own(listener)

    def _own(self, listener: Listener) -> int:
        options, pid = self._options, os.getpid()
        state = ChainState(options.store, options.name, options.serving_plan, options.to_json(), since=now())
        board = Board(replace(state, pid=pid, identity=identity(pid)), self._place, listener)
        try:
            self._bring_up(board)
        except RaglineError as exc:
            self._give_up(board, exc)
        except Exception as exc:  # noqa: BLE001  the edge: whoever started this waits for a reason
            _log.exception("the chain cannot be brought up")
            self._give_up(board, RaglineError(f"{type(exc).__name__}: {exc}; this is a fault of ragline"))
        while not (self._stopping.wait(_POLL) or board.failed.is_set()):
            pass
        return self._take_down(board)

    def _give_up(self, board: Board, error: RaglineError) -> None:
        if not self._stopping.is_set():  # else it failed because it was stopped
            board.fail(error)

    def _bring_up(self, board: Board) -> None:
        deadline = time.monotonic() + self._options.seconds
        store = open_store(self._options.store)
        store.check()
        index = Index(store, self._options.name)
        release = index.pointer().release
        ports = Ports.following(self._options.port)
        ports.check()
        services = Services.of(self._options, self._triton, self._cache, self._place, ports, self._stopping)
        services.embedder.check()
        board.set(services=tuple(ServiceState(each.name, each.url, str(each.log)) for each in services.all))
        self._keep(board, *services.independent)
        doing = f"prepares the model of release {release}; a new one is exported"
        board.tell(services.embedder.name, state="starting", detail=doing)
        prepared = services.embedder.prepare(release)
        board.tell(services.embedder.name, detail=f"model {prepared.digest[:12]}, {prepared.made}")
        self._keep(board, services.embedder, services.vectorstore)
        self._wait_until_up(board, deadline)
        answered, seconds = self._prove(services, deadline)
        if not self._stopping.is_set():
            board.set(phase="ready", release=answered or release, answered=seconds)
            Follower(index, services.embedder, board, self._stopping, release).start()

    def _keep(self, board: Board, *services: Service) -> None:
        for service in services:
            self._keepers.append(Keeper(service, board, self._stopping))
            self._keepers[-1].start()

    def _wait_until_up(self, board: Board, deadline: float) -> None:
        """Return when every service has become ready, or the chain is being stopped, or failed."""
        while not all(keeper.is_up.is_set() for keeper in self._keepers):
            if self._stopping.wait(_POLL) or board.failed.is_set():
                raise RaglineError("stopped")
            if time.monotonic() > deadline:
                raise self._too_slow(board.state)

    def _too_slow(self, state: ChainState) -> RaglineError:
        late = [each for each in state.services if each.state != "ready"]
        which = "; ".join(f"{each.name} ({each.detail or each.state}; see {each.log})" for each in late)
        return RaglineError(f"not ready after {self._options.seconds:g} s: {which}")

    def _prove(self, services: Services, deadline: float) -> tuple[str, float]:
        while True:
            try:
                return prove(services.llm.url, services.vectorstore.url)
            except RaglineError as exc:
                if self._stopping.wait(_PAUSE) or time.monotonic() > deadline:
                    raise RaglineError(f"every service is ready, but a question is not answered: {exc}") from exc

    def _take_down(self, board: Board) -> int:
        self._stopping.set()
        if not board.failed.is_set():
            board.set(phase="stopping")
        for name in ORDER:  # so that requests under way find what they still need
            for keeper in self._keepers:
                if keeper.service.name == name:
                    keeper.close()
        shutil.rmtree(self._place.repository, ignore_errors=True)
        if board.failed.is_set():
            return FAILED
        self._place.forget()
        return 0


def clean_up(place: Place) -> int:
    """End what a killed supervisor has left, and forget it; return how many processes there were.

    Only for who owns the place.
    """
    state = place.read()
    if state is None:
        return 0
    ended = sum(end_group(each.pid, each.identity) for each in state.services if each.pid)
    for service in state.services:
        port = service.url.rpartition(":")[2]
        for left in Path("/dev/shm").glob(f"ragline_{port}_*"):  # of a Triton server that was killed
            left.unlink(missing_ok=True)
    place.forget()
    return ended
