"""Short HTTP requests of threads to one server over pooled connections, with as little work for each as can be.

A question waits for its embedding before anything else is done for it, and a request of half a kilobyte costs urllib3
a millisecond of processor time, of which most goes into reading the headers of the answer. Only what such requests need
is here: no redirects, no cookies, no proxies, one answer held in memory.
"""

import errno
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ragline.errors import ServiceError, SettingError

CONNECT_SECONDS = 2.0
IDLE_SECONDS = 30.0
"""After which a connection is not used again: what stands between may have forgotten it."""

_LONGEST_LINE = 1 << 16
_RECEIVED = 1 << 16


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpPool:
    """Connections to one server; safe to share between threads.

    Args:
        name: how messages call the server.
        url: http(s)://host:port, perhaps with a path.
        ca_bundle: PEM file of authorities that are trusted besides the system's.
        idle: at most so many connections are kept.

    Example:
        >>> pool = HttpPool("embedder", "http://127.0.0.1:8000")
        >>> pool.request("GET", "/v2/health/ready").status  # doctest: +SKIP
        200
    """

    def __init__(self, name: str, url: str, *, ca_bundle: Path | None = None, idle: int = 16) -> None:
        self.name = name
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise SettingError(f"{name}: {url!r} is not a URL; expected http://HOST:PORT or https://HOST:PORT")
        self._host, self._prefix = parts.hostname, parts.path
        self._port = port or (443 if parts.scheme == "https" else 80)
        self._address = parts.netloc.rpartition("@")[2]
        self._tls = _trust(ca_bundle) if parts.scheme == "https" else None
        self._most = idle
        self._idle: list[tuple[float, socket.socket]] = []  # the one used last comes last
        self._lock = threading.Lock()
        weakref.finalize(self, _close, self._idle, self._lock)

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        seconds: float = 30.0,
    ) -> Reply:
        """Send a request that may be sent twice, and return the answer.

        It is sent twice only where a kept connection turns out to have been closed by the server meanwhile.

        Raises:
            ServiceError: 503 the server cannot be reached, 504 it takes too long, 400 a header cannot be sent.
        """
        data = self._encoded(method, path, body, headers or {})
        deadline = time.monotonic() + seconds
        try:
            kept = self._take()
            if kept:
                try:
                    return self._exchange(kept, data, deadline)
                except ConnectionError:
                    self.close()  # the others are of the same age: the server was started anew
            return self._exchange(self._connect(deadline), data, deadline)
        except TimeoutError as exc:
            raise ServiceError(f"{self.name} at {self.url} did not answer within {seconds:.1f} s", 504) from exc
        except ssl.SSLCertVerificationError as exc:
            raise ServiceError(
                f"{self.name} at {self.url}: its certificate is not trusted ({exc.verify_message}); set "
                "RAGLINE_CA_BUNDLE to the PEM file of the authority that signed it"
            ) from exc
        except ValueError as exc:
            raise ServiceError(f"{self.name} at {self.url} does not speak HTTP ({exc})", 502) from exc
        except OSError as exc:
            reason = exc.strerror or type(exc).__name__
            raise ServiceError(f"{self.name} at {self.url} cannot be reached: {reason}; is the server up?") from exc

    def close(self) -> None:
        """Close the connections that are not in use; the pool may be used again."""
        _close(self._idle, self._lock)

    def _encoded(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        lines = [f"{method} {self._prefix}{path} HTTP/1.1", f"Host: {self._address}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if any("\r" in line or "\n" in line for line in lines):
            raise ServiceError(f"{self.name}: the value of a header holds a line break", 400)
        try:
            return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + body  # in one packet
        except UnicodeEncodeError as exc:
            raise ServiceError(f"{self.name}: the value of a header holds characters outside Latin-1", 400) from exc

    def _exchange(self, connection: socket.socket, data: bytes, deadline: float) -> Reply:
        stays = False
        try:
            connection.settimeout(_left(deadline))
            connection.sendall(data)
            reply, stays = _Answer(connection).read()
            return reply
        finally:
            if stays:
                self._keep(connection)
            else:
                connection.close()

    def _connect(self, deadline: float) -> socket.socket:
        try:
            connection = socket.create_connection((self._host, self._port), min(CONNECT_SECONDS, _left(deadline)))
        except TimeoutError as exc:
            _left(deadline)
            raise ConnectionError(errno.ETIMEDOUT, "it accepts no connection") from exc
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is None:
            return connection
        try:
            return self._tls.wrap_socket(connection, server_hostname=self._host)
        except BaseException:
            connection.close()
            raise

    def _take(self) -> socket.socket | None:
        with self._lock:
            since, connection = self._idle.pop() if self._idle else (0.0, None)
        if connection and time.monotonic() - since > IDLE_SECONDS:
            connection.close()
            self.close()  # those below it are older
            return None
        return connection

    def _keep(self, connection: socket.socket) -> None:
        with self._lock:
            if len(self._idle) < self._most:
                self._idle.append((time.monotonic(), connection))
                return
        connection.close()


class _Answer:
    """Reads one HTTP/1.1 answer from a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._data = bytearray()

    def read(self) -> tuple[Reply, bool]:
        """Return the answer, and whether the connection can be used again.

        Raises:
            ConnectionError: it was closed before the answer was whole.
            ValueError: this is not HTTP.
        """
        first, *lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        protocol, _, rest = first.partition(" ")
        if not protocol.startswith("HTTP/1."):
            raise ValueError(first[:40])
        status = int(rest[:3])
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        is_framed = True
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body = b"".join(self._chunks())
        elif "content-length" in headers:
            body = self._exactly(int(headers["content-length"]))
        else:
            body, is_framed = self._rest(), False
        stays = is_framed and protocol == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        return Reply(status, headers, body), stays and not self._data

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._until(b"\r\n").partition(b";")[0], 16):
            yield self._exactly(size)
            self._until(b"\r\n")
        while self._until(b"\r\n"):
            pass  # trailers

    def _until(self, mark: bytes) -> bytes:
        while (end := self._data.find(mark)) < 0:
            if len(self._data) > _LONGEST_LINE:
                raise ValueError(f"no end of line within {_LONGEST_LINE:,} bytes")
            self._more()
        found = bytes(self._data[:end])
        del self._data[: end + len(mark)]
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._data) < size:
            self._more()
        found = bytes(self._data[:size])
        del self._data[:size]
        return found

    def _rest(self) -> bytes:
        with suppress(ConnectionError):
            while True:
                self._more()
        return bytes(self._data)

    def _more(self) -> None:
        data = self._connection.recv(_RECEIVED)
        if not data:
            raise ConnectionError(errno.ECONNRESET, "it closed the connection before it had answered")
        self._data += data


def _close(idle: list[tuple[float, socket.socket]], lock: threading.Lock) -> None:
    with lock:
        connections = [connection for _, connection in idle]
        idle.clear()
    for connection in connections:
        connection.close()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _trust(ca_bundle: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_bundle:
        try:
            context.load_verify_locations(cafile=ca_bundle)
        except (OSError, ssl.SSLError) as exc:
            raise SettingError(
                f"RAGLINE_CA_BUNDLE is {str(ca_bundle)!r}: expected a PEM file with certificates"
            ) from exc
    return context
