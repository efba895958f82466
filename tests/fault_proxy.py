"""A proxy in front of a real HTTP server that makes chosen requests fail."""

import re
import socket
import socketserver
import ssl
import struct
import threading
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from enum import Enum
from typing import Any, Self


class Fault(Enum):
    """What happens to a request; in the order of how far it comes."""

    NONE = "it passes"
    RESET = "the connection is reset before the server sees the request"
    BUSY = "503 SlowDown is answered; the server does not see the request"
    FAILED = "500 InternalError is answered; the server does not see the request"
    COLLISION = "409 ConditionalRequestConflict is answered; the server does not see the request"
    UNKNOWN = "501 NotImplemented is answered; the server does not see the request"
    STALL = "no answer comes until the proxy is closed; the server does not see the request"
    FLIPPED = "one bit of the request's body is changed on the way"
    LOST_ANSWER = "the server carries the request out, then the connection is reset"
    TRUNCATED = "half of the answer's body arrives"


_ERROR = (
    "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>from the fault proxy</Message></Error>"
)
_ANSWERS = {
    Fault.BUSY: ("503 Service Unavailable", "SlowDown"),
    Fault.FAILED: ("500 Oops", "InternalError"),
    Fault.COLLISION: ("409 Conflict", "ConditionalRequestConflict"),
    Fault.UNKNOWN: ("501 Not Implemented", "NotImplemented"),
}


class FaultProxy(socketserver.ThreadingTCPServer):
    """Forward HTTP requests to `upstream` ("host:port"), except those that are planned to fail.

    The request reaches the server as it was sent, Host header included, so that S3 signatures stay valid.
    With `tls`, the proxy speaks TLS with its clients; headers named in `without` (lower case) do not reach the server.

    Example:
        >>> with FaultProxy("127.0.0.1:8333") as proxy:  # doctest: +SKIP
        ...     proxy.plan(Fault.BUSY, Fault.RESET)  # the next two requests; then all pass again
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, upstream: str, *, tls: ssl.SSLContext | None = None, without: Collection[str] = ()) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        address, _, port = upstream.partition(":")
        self.upstream = (address, int(port))
        self.tls = tls
        self.without = without
        self.requests: list[str] = []
        self.closing = threading.Event()
        self._faults: deque[tuple[Fault, re.Pattern[str]]] = deque()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def host(self) -> str:
        """The proxy's own "host:port"."""
        return f"127.0.0.1:{self.server_address[1]}"

    def plan(self, *faults: Fault, matching: str = "") -> None:
        """Let the next requests fail so, one after the other.

        Args:
            faults: one for each request.
            matching: regular expression that "METHOD /path?query" of these requests contains.
        """
        with self._lock:
            self._faults.extend((fault, re.compile(matching)) for fault in faults)

    def heal(self) -> None:
        """Let all further requests pass."""
        with self._lock:
            self._faults.clear()

    def take(self, request: str) -> Fault:
        """Note the request, and return its fate."""
        with self._lock:
            self.requests.append(request)
            if self._faults and self._faults[0][1].search(request):
                return self._faults.popleft()[0]
            return Fault.NONE

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: clients that give up are what the proxy is made for."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(socketserver.BaseRequestHandler):
    """One request per connection: each answer ends with the connection's close."""

    server: FaultProxy

    def handle(self) -> None:
        if self.server.tls:
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        head, body = self._receive()
        if head:
            self._answer(head, body)

    def finish(self) -> None:
        with suppress(OSError):
            self.request.close()

    def _receive(self) -> tuple[bytes, bytes]:
        received = b""
        while b"\r\n\r\n" not in received:
            block = self.request.recv(1 << 16)
            if not block:
                return b"", b""
            received += block
        head, _, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        blocks, missing = [body], (int(length[1]) if length else 0) - len(body)
        while missing > 0:
            block = self.request.recv(min(missing, 1 << 20))
            if not block:
                return b"", b""
            blocks.append(block)
            missing -= len(block)
        return head, b"".join(blocks)

    def _answer(self, head: bytes, body: bytes) -> None:
        fault = self.server.take(head.split(b" HTTP/")[0].decode("latin-1"))
        if fault is Fault.STALL:
            self.server.closing.wait()
        elif fault in _ANSWERS:
            self.request.sendall(_error(*_ANSWERS[fault]))
        elif fault is Fault.RESET:
            self._reset()
        else:
            if fault is Fault.FLIPPED and body:
                body = bytes([body[0] ^ 1]) + body[1:]
            self._forward(head, body, fault)

    def _forward(self, head: bytes, body: bytes, fault: Fault) -> None:
        with socket.create_connection(self.server.upstream) as upstream:
            # Not among the signed headers; makes the end of the answer its close.
            lines = [line for line in head.split(b"\r\n") if _header(line) not in self.server.without]
            upstream.sendall(b"\r\n".join(lines) + b"\r\nConnection: close\r\n\r\n" + body)
            blocks = iter(lambda: upstream.recv(1 << 20), b"")
            if fault in {Fault.NONE, Fault.FLIPPED}:
                for block in blocks:
                    self.request.sendall(block)
                return
            answer = b"".join(blocks)
        if fault is Fault.TRUNCATED:
            begin, separator, content = answer.partition(b"\r\n\r\n")
            self.request.sendall(begin + separator + content[: len(content) // 2])
        else:
            self._reset()

    def _reset(self) -> None:
        # Closing with a linger time of zero sends RST instead of FIN.
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.request.close()


def _header(line: bytes) -> str:
    return line.partition(b":")[0].decode("latin-1").lower()


def _error(status: str, code: str) -> bytes:
    body = _ERROR.format(code=code)
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\nConnection: close"
    return f"{head}\r\n\r\n{body}".encode()
