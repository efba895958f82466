"""The embedder of a chain: a Triton server whose repository follows the releases of an index."""

import json
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragline import errors
from ragline.chain.ports import Ports
from ragline.chain.processes import tail
from ragline.chain.service import UNREACHABLE, how_it_ended
from ragline.errors import RaglineError
from ragline.triton_server import Addresses, Installation, TritonServer

MODEL = "embedder"
_KEPT = 2
"""Models that stay loaded: that of the current release, and the one before, to go back to."""

_POLL = 0.1


@dataclass(frozen=True, slots=True)
class Prepared:
    """A version that is in the repository.

    Attributes:
        release: that it was prepared for.
        digest: of the model.
        version: its number in Triton.
        made: where it comes from: "exported now", "exported before" or "from the store".
    """

    release: str
    digest: str
    version: int
    made: str


@dataclass
class EmbedderService:
    """Keeps a Triton server, and puts the models of releases into its repository.

    Attributes:
        environment: the virtual environment of Triton.
        store: URI of the object store.
        index: name of the index.
        repository: the model repository; made anew.
        folder: for the log and the backend of the server.
        ports: of the chain.
        stopping: ends what takes long.
    """

    environment: Path
    store: str
    index: str
    repository: Path
    folder: Path
    ports: Ports
    stopping: threading.Event
    name: str = "embedder"
    current: Prepared | None = None
    _server: TritonServer | None = None
    _loaded: list[Prepared] = field(default_factory=list)
    _change: threading.Lock = field(default_factory=threading.Lock)  # held while the repository changes

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._addresses.url

    @property
    def log(self) -> Path:
        """What Triton writes."""
        return self.folder / "triton.log"

    @property
    def _addresses(self) -> Addresses:
        return Addresses(self.ports.embedder, self.ports.embedder_grpc, self.ports.embedder_metrics)

    def check(self) -> None:
        """Prove that there is a Triton server, and empty the repository.

        Raises:
            SettingError: there is none.
        """
        Installation.find(self.environment)
        shutil.rmtree(self.repository, ignore_errors=True)

    def prepare(self, release: str) -> Prepared:
        """Put the model of a release into the repository, and return its version.

        Raises:
            RaglineError: it cannot be had, or not be exported.
        """
        with self._change:
            prepared = self._run_preparation(release)
            self._loaded = [each for each in self._loaded if each.digest != prepared.digest] + [prepared]
            self.current = self.current or prepared
            return prepared

    def load(self, prepared: Prepared) -> None:
        """Have the running server take what was prepared; versions that nobody needs any more go.

        Raises:
            RaglineError: Triton cannot load it, or is being started.
        """
        with self._change:
            if self._server is None:
                raise RaglineError("Triton is not started yet")
            is_new = self._server.states().get((MODEL, prepared.version), ("", ""))[0] != "READY"
            for old in self._loaded[:-_KEPT]:
                shutil.rmtree(self.repository / MODEL / str(old.version), ignore_errors=True)
            self._loaded = self._loaded[-_KEPT:]
            if is_new:  # else it is that of the release before, and loading would only disturb
                self._server.load(MODEL)
            self._server.wait_ready({MODEL: [prepared.version]})
            self.current = prepared

    def start(self) -> int:
        """Start the server on what is in the repository, and return its process number."""
        with self._change:
            self._server = TritonServer.spawn(
                self.environment, self.repository, self.folder, models=[MODEL], addresses=self._addresses
            )
            return self._server.process.pid

    def ended(self) -> str:
        """Return how the server ended; "" while it runs."""
        status = self._server.process.poll() if self._server else 0
        return "" if status is None else how_it_ended(self.name, status, self.log)

    def fault(self) -> bool:
        """Tell whether it ended by itself."""
        return self._server is not None and (self._server.process.poll() or 0) >= 0

    def problem(self) -> str:
        """Return why the current version takes no requests; "" if it does.

        Raises:
            RaglineError: Triton says that it cannot be loaded.
        """
        if self._server is None or self.current is None:
            return "is being prepared"
        try:
            states = self._server.states()
        except RaglineError:
            return UNREACHABLE
        state, reason = states.get((MODEL, self.current.version), ("", ""))
        if state == "UNAVAILABLE" and reason != "unloaded":
            raise RaglineError(f"Triton cannot load {MODEL} version {self.current.version}: {reason.strip()}")
        return "" if state == "READY" else "loads the model"

    def stop(self) -> None:
        """Stop the server."""
        if self._server:
            self._server.stop()

    def _run_preparation(self, release: str) -> Prepared:
        """Prepare in a process of its own: it needs much memory for a short time, and can be ended."""
        arguments = [self.store, self.index, release, str(self.repository.absolute())]
        log = self.folder / "preparation.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "ragline.chain.preparation", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=file,
                start_new_session=True,
            )
        output = self._output_of(process)
        with suppress(ValueError, IndexError):
            value: dict[str, Any] = json.loads(output.splitlines()[-1])
            if "error" in value:
                raise error_of(value["error"], value["message"])
            return Prepared(**value)
        raise RaglineError(
            f"the embedder of release {release} cannot be prepared: status {process.returncode}; the end of {log}:\n  "
            f"{tail(log)}"
        )

    def _output_of(self, process: "subprocess.Popen[bytes]") -> str:
        """Return what a process prints, which is little; end it when the chain is stopped."""
        while process.poll() is None:
            if self.stopping.wait(_POLL):
                process.kill()
        assert process.stdout
        with process.stdout as pipe:
            return pipe.read().decode(errors="replace")


def error_of(kind: str, message: str) -> RaglineError:
    """Return an error of another process as what it was."""
    found = getattr(errors, kind, RaglineError)
    known = isinstance(found, type) and issubclass(found, RaglineError)
    return found(message) if known else RaglineError(message)
