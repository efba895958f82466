"""A Triton Inference Server as a process on this machine, bound to 127.0.0.1.

The server is the one that the wheel `nvidia-pytriton` carries, in an environment of its own (images/triton): its
Python backend was built against numpy 1 and reads texts wrongly with numpy 2, which everything else here uses.
`make triton` makes that environment in build/triton. In a cluster NVIDIA's image takes the place of all this.
"""

import json
import logging
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import urllib3

from ragline.errors import RaglineError, SettingError

_log = logging.getLogger(__name__)

EXIT_SECONDS = 3
"""How long a stopping server lets requests finish."""

_ATTEMPTS = 3
_WORD = re.compile(r"[\w./@%+=:,-]+", re.ASCII)
_DESCRIBE = (
    "import json, sys, sysconfig; get = sysconfig.get_config_var; version = '%d.%d' % sys.version_info[:2]; "
    "print(json.dumps([sysconfig.get_path('purelib'), get('LIBDIR'), get('LDLIBRARY'), version]))"
)


@dataclass(frozen=True, slots=True)
class Installation:
    """An environment that holds a Triton server.

    Attributes:
        environment: the virtual environment.
        server: folder of the server in it.
        libraries: folders that hold what the server is linked with, in this order.
        stub: the process of the Python backend, for this version of Python.
    """

    environment: Path
    server: Path
    libraries: tuple[Path, ...]
    stub: Path

    @classmethod
    def find(cls, environment: Path) -> Self:
        """Return the installation in a virtual environment.

        Raises:
            SettingError: there is none, or its Python cannot be used.
        """
        python = environment.resolve() / "bin" / "python"
        if not python.is_file():
            raise SettingError(f"no Triton environment at {environment}: run `make triton`, or name another folder")
        answer = subprocess.run([python, "-c", _DESCRIBE], capture_output=True, text=True, check=True).stdout
        site, libdir, library, version = json.loads(answer)
        server = Path(site) / "pytriton" / "tritonserver"
        stub = server / "python_backend_stubs" / version / "triton_python_backend_stub"
        if not (server / "bin" / "tritonserver").is_file() or not stub.is_file():
            raise SettingError(f"{environment} holds no Triton server for Python {version}: run `make triton`")
        if ".so" not in library:
            raise SettingError(f"the Python of {environment} has no shared library ({library}), which Triton needs")
        # The interpreter's own folder first: another libpython of the same version breaks the modules that need it.
        return cls(environment.resolve(), server, (Path(libdir), Path(site) / "nvidia_pytriton.libs"), stub)

    def backends(self, folder: Path) -> Path:
        """Put the Python backend together in `folder`, where the wheel has it in pieces, and return `folder`."""
        target = folder / "python"
        target.mkdir(parents=True, exist_ok=True)
        parts = self.server / "backends" / "python"
        for file in (parts / "libtriton_python.so", parts / "triton_python_backend_utils.py", self.stub):
            (target / file.name).unlink(missing_ok=True)
            (target / file.name).symlink_to(file)
        return folder

    def variables(self, folder: Path) -> dict[str, str]:
        """Return the whole environment of the server: nothing of ours goes there, no key least of all."""
        return {
            "PATH": f"{self.environment / 'bin'}:/usr/bin:/bin",  # the stub takes its packages from the first python3
            "LD_LIBRARY_PATH": ":".join(map(str, self.libraries)),
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PYTHONNOUSERSITE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TOKENIZERS_PARALLELISM": "false",  # dynamic batches are small; threads would only wake and sleep
        }


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a server listens, on 127.0.0.1."""

    http: int
    grpc: int
    metrics: int

    @property
    def url(self) -> str:
        """Base of the REST API."""
        return f"http://127.0.0.1:{self.http}"

    @property
    def metrics_url(self) -> str:
        """The Prometheus page."""
        return f"http://127.0.0.1:{self.metrics}/metrics"


@dataclass
class TritonServer:
    """A running server; a context manager that stops it.

    Example:
        with TritonServer.start(Path("build/triton"), repository, folder, models=["embedder"]) as server:
            server.wait_ready({"embedder": [version]})

    Attributes:
        addresses: where it listens.
        log: file of what it wrote; that of the run before is kept as `<name>.1`.
        process: the server itself; its Python processes are in the same session.
    """

    addresses: Addresses
    log: Path
    process: "subprocess.Popen[bytes]"
    region: str
    _links: "tempfile.TemporaryDirectory[str]" = field(repr=False)
    _http: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(maxsize=4, retries=False, headers={"Connection": "close"}),
        repr=False,
    )

    @classmethod
    def start(
        cls,
        environment: Path,
        repository: Path,
        folder: Path,
        *,
        models: Sequence[str],
        addresses: Addresses | None = None,
        options: Sequence[str] = (),
        seconds: float = 30.0,
    ) -> Self:
        """Start a server on a model repository, and return when it answers; models may still be loading.

        Args:
            environment: the virtual environment that `make triton` makes.
            repository: the model repository.
            folder: for the log and the backend; made where it is missing.
            models: those to load.
            addresses: ports to listen on; free ones where none are given.
            options: more options of tritonserver.
            seconds: how long to wait.

        Raises:
            SettingError: there is no server in `environment`.
            RaglineError: it does not start; the message holds the end of its log.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            chosen = addresses or _free_addresses()
            server = cls.spawn(environment, repository, folder, models=models, addresses=chosen, options=options)
            try:
                server.wait_live(seconds)
            except RaglineError as exc:
                server.stop()
                taken = addresses is None and "Address already in use" in str(exc)
                if not taken or attempt == _ATTEMPTS:
                    raise
                _log.info("a port of the Triton server was taken meanwhile; trying others")
            else:
                return server
        raise AssertionError  # the last attempt returns or raises

    @classmethod
    def spawn(
        cls,
        environment: Path,
        repository: Path,
        folder: Path,
        *,
        models: Sequence[str],
        addresses: Addresses,
        options: Sequence[str] = (),
    ) -> Self:
        """Start a server as `start` does, and return at once.

        Raises:
            SettingError: there is no server in `environment`.
        """
        installation = Installation.find(environment)
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "triton.log"
        if log.exists():
            log.replace(log.with_name(log.name + ".1"))
        region = f"ragline_{addresses.http}_"
        links = tempfile.TemporaryDirectory(prefix="ragline-triton-", ignore_cleanup_errors=True)
        backends = _plain(installation.backends(folder / "backends"), Path(links.name) / "backends")
        plain = _plain(repository, Path(links.name) / "repository")
        command = _command(installation.server, plain, backends, models, addresses, region)
        with log.open("ab") as file:
            process = subprocess.Popen(
                [*command, *options],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=installation.variables(folder),
                cwd=folder,
                start_new_session=True,
            )
        return cls(addresses, log, process, region, links)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self.process.poll() is None

    def states(self) -> dict[tuple[str, int], tuple[str, str]]:
        """Return state ("READY", "LOADING", "UNAVAILABLE" ...) and reason of each model and version."""
        rows: list[dict[str, Any]] = json.loads(self._post("/v2/repository/index"))
        return {
            (row["name"], int(row.get("version") or 0)): (row.get("state", "UNAVAILABLE"), row.get("reason", ""))
            for row in rows
        }

    def wait_ready(self, versions: Mapping[str, Sequence[int]], *, seconds: float = 120.0) -> None:
        """Return when these versions of these models take requests; other versions may fail.

        Raises:
            RaglineError: one cannot be loaded (with Triton's reason), or not in time, or the server ended.
        """
        wanted = [(model, version) for model, numbers in versions.items() for version in numbers]
        for _ in self._while_running(seconds, "to load " + ", ".join(f"{name}/{number}" for name, number in wanted)):
            states = self.states()
            for model, number in wanted:
                state, reason = states.get((model, number), ("", ""))
                if state == "UNAVAILABLE" and reason != "unloaded":
                    raise RaglineError(
                        f"Triton cannot load {model} version {number}: {reason.strip() or 'see its log'}"
                    )
            if all(states.get(key, ("", ""))[0] == "READY" for key in wanted):
                return

    def load(self, model: str, *, seconds: float = 120.0) -> None:
        """Load what is new in a model's folder; versions that are served already go on being served.

        Raises:
            RaglineError: Triton cannot load it.
        """
        self._post(f"/v2/repository/models/{model}/load", seconds=seconds)

    def metrics(self) -> str:
        """Return the Prometheus page."""
        return self._http.request("GET", self.addresses.metrics_url, timeout=5.0).data.decode()

    def stop(self) -> None:
        """Stop the server and all its processes; requests get a few seconds to finish."""
        self._http.clear()  # the server waits for open connections
        if self.running:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(EXIT_SECONDS + 3)
            except subprocess.TimeoutExpired:
                _log.warning("the Triton server does not stop by itself; killing it")
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._links.cleanup()
        for left in Path("/dev/shm").glob(self.region + "*"):  # what a killed stub leaves behind
            left.unlink(missing_ok=True)

    def wait_live(self, seconds: float) -> None:
        """Return when the server answers; models may still be loading.

        Raises:
            RaglineError: it ended, or took too long.
        """
        for _ in self._while_running(seconds, "to answer"):
            try:
                if self._http.request("GET", f"{self.addresses.url}/v2/health/live", timeout=1.0).status == 200:
                    return
            except urllib3.exceptions.HTTPError:
                continue

    def _while_running(self, seconds: float, purpose: str) -> Iterator[None]:
        """Yield every few moments; raise when the process ends or the time is over."""
        deadline = time.monotonic() + seconds
        while True:
            if not self.running:
                raise RaglineError(f"the Triton server ended with status {self.process.returncode}: {self._tail()}")
            yield
            if time.monotonic() > deadline:
                raise RaglineError(f"the Triton server took more than {seconds:g} s {purpose}: see {self.log}")
            time.sleep(0.05)

    def _tail(self) -> str:
        """Return the lines of the log that tell of errors, the last ones where none does."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line for line in lines if line.startswith("E") or line.lower().startswith("error")]
        return " | ".join((errors or lines)[-3:]) or "it wrote nothing"

    def _post(self, path: str, *, seconds: float = 10.0) -> bytes:
        try:
            answer = self._http.request("POST", self.addresses.url + path, body=b"{}", timeout=seconds)
        except urllib3.exceptions.HTTPError as exc:
            raise RaglineError(f"the Triton server at {self.addresses.url} does not answer ({exc})") from exc
        if answer.status != 200:
            raise RaglineError(f"Triton: {path} gave {answer.status}: {answer.data.decode(errors='replace')[:500]}")
        return answer.data


def _command(
    server: Path, repository: Path, backends: Path, models: Sequence[str], addresses: Addresses, region: str
) -> list[str]:
    """Return the command line; models are loaded one by one, so that a broken one leaves the others serving."""
    here = "127.0.0.1"
    return [
        str(server / "bin" / "tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={backends}",
        f"--backend-config=python,shm-region-prefix-name={region}",
        "--model-control-mode=explicit",
        *(f"--load-model={model}" for model in models),
        "--disable-auto-complete-config",
        "--exit-on-error=false",
        "--strict-readiness=false",
        f"--exit-timeout-secs={EXIT_SECONDS}",
        "--allow-gpu-metrics=false",
        f"--http-address={here}",
        f"--http-port={addresses.http}",
        f"--grpc-address={here}",
        f"--grpc-port={addresses.grpc}",
        f"--metrics-address={here}",
        f"--metrics-port={addresses.metrics}",
    ]


def _plain(folder: Path, link: Path) -> Path:
    """Return a path of a folder that a shell takes as one word: the Python backend gives it to one.

    Raises:
        SettingError: there is no such path.
    """
    folder = folder.resolve()
    if _WORD.fullmatch(str(folder)):
        return folder
    if not _WORD.fullmatch(str(link)):
        raise SettingError(f"Triton cannot use {folder}, nor {link}: set TMPDIR to a path without spaces")
    link.symlink_to(folder)
    return link


def _free_addresses() -> Addresses:
    """Return three ports that are free now."""
    with socket.socket() as one, socket.socket() as two, socket.socket() as three:
        sockets = (one, two, three)
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return Addresses(*(each.getsockname()[1] for each in sockets))
