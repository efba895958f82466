"""The ports of a chain, on 127.0.0.1."""

import socket
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self

from ragline.errors import SettingError

HOST = "127.0.0.1"
_LISTENING = "0A"


@dataclass(frozen=True, slots=True)
class Ports:
    """One port for each thing that listens."""

    llm: int
    vectorstore: int
    embedder: int
    embedder_grpc: int
    embedder_metrics: int
    small_llm: int

    @classmethod
    def following(cls, first: int) -> Self:
        """Return `first` and the ports behind it; with 0, any that are free now."""
        count = len(fields(cls))
        return cls(*(range(first, first + count) if first else _free(count)))

    def check(self) -> None:
        """Prove that all are free.

        Raises:
            SettingError: one is taken; says by whom, and what to do.
        """
        for name, port in asdict(self).items():
            if not _is_free(port):
                raise SettingError(
                    f"port {port} ({name.replace('_', ' ')}) is taken by {_holder(port)}: stop that, or choose others "
                    "with --port (0 takes any that are free)"
                )


def _free(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [int(each.getsockname()[1]) for each in sockets]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections of the run before do not count
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _holder(port: int) -> str:
    """Say which process listens on a port, as far as this user may see that."""
    inodes = {f"socket:[{inode}]" for inode in _listeners(port)}
    for link in Path("/proc").glob("[0-9]*/fd/*") if inodes else ():
        with suppress(OSError):
            if str(link.readlink()) in inodes:
                return f"process {link.parts[2]} ({(Path('/proc') / link.parts[2] / 'comm').read_text().strip()})"
    return "another process"


def _listeners(port: int) -> list[str]:
    """Return the inodes of the sockets that listen on a port."""
    rows: list[list[str]] = []
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            rows += [line.split() for line in (Path("/proc/net") / table).read_text().splitlines()[1:]]
    return [row[9] for row in rows if row[3] == _LISTENING and int(row[1].rpartition(":")[2], 16) == port]
