"""A real MLflow server on this machine: SQLite, artifacts in S3, users with passwords (MLflow's basic-auth app)."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import urllib3
from urllib3.exceptions import HTTPError

from ragline.registry.tracking_server import TrackingServer
from ragline.settings import RegistrySettings
from tests.seaweed import free_ports

ADMIN, READER = ("admin", "made-up-password-of-admin"), ("reader", "made-up-password-of-reader")
_START_SECONDS = 180
_AUTH = """\
[mlflow]
default_permission = READ
database_uri = sqlite:///{folder}/users.db
admin_username = {user}
admin_password = {password}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 3600
"""


@dataclass
class MlflowServer:
    """A running server; `url` is its address. The user READER may read everything and write nothing of others.

    Example:
        >>> with MlflowServer.start(Path("folder"), "s3://bucket/mlflow", s3_environment) as server:  # doctest: +SKIP
        ...     server.tracking().find("registered-models/get", "read", name="docs")
    """

    url: str
    process: subprocess.Popen[bytes]
    folder: Path

    @classmethod
    def start(cls, folder: Path, artifacts: str, environment: Mapping[str, str]) -> Self:
        """Start a server that keeps its databases in `folder`, and wait until it answers."""
        [port] = free_ports(1)
        (folder / "auth.ini").write_text(_AUTH.format(folder=folder, user=ADMIN[0], password=ADMIN[1]))
        command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--workers", "1"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--artifacts-destination", artifacts]
        command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "made-up-key-of-the-tests",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            **environment,
        }
        with (folder / "mlflow.log").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=folder, env=variables, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        server = cls(f"http://127.0.0.1:{port}", process, folder)
        server._wait()
        user, password = READER
        server.tracking().change("POST", "users/create", "make a user", username=user, password=password)
        return server

    def settings(self, user: tuple[str, str] = ADMIN) -> RegistrySettings:
        """Return the settings of a user."""
        return RegistrySettings(self.url, *user)

    def tracking(self, user: tuple[str, str] = ADMIN) -> TrackingServer:
        """Return the interface, as a user sees it."""
        return TrackingServer(self.settings(user))

    def environment(self, user: tuple[str, str] = ADMIN) -> dict[str, str]:
        """Return the variables with which ragline finds this server."""
        return {
            "MLFLOW_TRACKING_URI": self.url,
            "MLFLOW_TRACKING_USERNAME": user[0],
            "MLFLOW_TRACKING_PASSWORD": user[1],
        }

    def _wait(self) -> None:
        end = time.monotonic() + _START_SECONDS
        while True:
            try:
                if urllib3.request("GET", f"{self.url}/health", retries=False, timeout=5).status == 200:
                    return
            except HTTPError:
                pass
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                log = (self.folder / "mlflow.log").read_text("utf-8", "replace")
                raise RuntimeError(f"mlflow server did not start:\n{log[-3000:]}")
            time.sleep(0.2)

    def stop(self) -> None:
        """End the server and its worker at once: its data are not kept."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
