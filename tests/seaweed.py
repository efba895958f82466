"""A real S3 server on this machine: SeaweedFS (`weed mini`), with made-up keys."""

import io
import socket
import subprocess
import sysconfig
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import minio
import urllib3
from minio.error import MinioException
from urllib3.exceptions import HTTPError

ACCESS_KEY = "RAGLINETESTKEY"
SECRET_KEY = "made-up/Secret+of-the-tests"
_START_SECONDS = 60
_PORTS = (
    *("s3.port", "s3.port.grpc", "s3.port.iceberg", "s3.port.lance", "master.port", "master.port.grpc"),
    *("volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "admin.port", "admin.port.grpc"),
    "metricsPort",
)


@dataclass
class Seaweed:
    """A running server; `host` is its S3 endpoint without a protocol.

    Example:
        >>> with Seaweed.start(Path("folder")) as server:  # doctest: +SKIP
        ...     server.make_bucket("documents")
    """

    host: str
    process: subprocess.Popen[bytes]
    folder: Path
    ports: dict[str, int]

    @classmethod
    def start(cls, folder: Path) -> Self:
        """Start a server that keeps its data in `folder`, and wait until it takes a write."""
        program = Path(sysconfig.get_path("scripts")) / "weed"
        ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        command = [str(program), "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-webdav=false"]
        command += ["-admin.ui=false", "-master.telemetry=false", "-bucket=ready"]
        # Every bucket takes volumes of its own, and by default the free disk says how many there may be.
        command += ["-volume.max=5000"]
        command += [f"-filer.localSocket={folder}/filer.sock", f"-s3.localSocket={folder}/s3.sock"]
        command += [f"-{name}={port}" for name, port in ports.items()]
        keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        with (folder / "weed.log").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=folder, env=keys | {"HOME": str(folder)}, stdout=log, stderr=subprocess.STDOUT
            )
        server = cls(f"127.0.0.1:{ports['s3.port']}", process, folder, ports)
        server._wait()
        return server

    def client(self) -> minio.Minio:
        """Return a client that reports every fault at once."""
        pool = urllib3.PoolManager(retries=False, timeout=10)
        return minio.Minio(self.host, ACCESS_KEY, SECRET_KEY, secure=False, region="us-east-1", http_client=pool)

    def make_bucket(self, name: str) -> None:
        """Make an empty bucket."""
        self.client().make_bucket(name)

    def remove_bucket(self, name: str) -> None:
        """Remove a bucket with all that is in it."""
        self.client().remove_bucket(name)

    def environment(self) -> dict[str, str]:
        """Return the variables with which ragline finds this server."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_ENDPOINT_URL": f"http://{self.host}",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def _wait(self) -> None:
        # An open port is not enough: before the first volume is there, a PUT is answered with 500.
        client, end = self.client(), time.monotonic() + _START_SECONDS
        while True:
            try:
                client.put_object("ready", "ready", io.BytesIO(), 0)
            except (MinioException, HTTPError) as exc:
                if self.process.poll() is not None or time.monotonic() > end:
                    self.stop()
                    log = (self.folder / "weed.log").read_text("utf-8", "replace")
                    raise RuntimeError(f"weed mini did not start: {exc}\n{log[-2000:]}") from exc
                time.sleep(0.1)
            else:
                return

    def stop(self) -> None:
        """End the server at once: its data are not kept."""
        self.process.kill()
        self.process.wait()
        for port in self.ports.values():
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody listens on."""
    # All are held until all are known, so that they differ.
    with ExitStack() as stack:
        holders = [stack.enter_context(socket.socket()) for _ in range(count)]
        for holder in holders:
            holder.bind(("127.0.0.1", 0))
        return [holder.getsockname()[1] for holder in holders]
