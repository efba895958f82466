"""HTTP that outlasts the transient faults of an S3 server.

Repeating single requests, and not whole operations, lets a large upload get through a bad network: only
the part that failed is sent again.
"""

import io
import logging
import random
import ssl
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

_log = logging.getLogger(__name__)

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 5.0
_BUSY = {429, 500, 502, 503, 504}
_COLLISION = b"<Code>ConditionalRequestConflict"
_DAMAGED_ON_THE_WAY = (b"BadDigest", b"IncompleteBody", b"RequestTimeout", b"XAmzContentSHA256Mismatch")

# OpenSSL reports a connection that was cut in these ways; all other TLS errors will come again.
_CUT_TLS = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError, TimeoutError)


class Patience:
    """Waiting times that double, with jitter, until `seconds` have passed since the first attempt.

    Example:
        >>> patience = Patience(0)
        >>> patience.wait()
        False
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.renew()

    def renew(self) -> None:
        """Start anew, because there was progress."""
        self._end = time.monotonic() + self._seconds
        self._delay = _FIRST_DELAY

    def wait(self) -> bool:
        """Sleep until the next attempt is due; return False at once if that would be too late."""
        delay = self._delay * random.uniform(0.5, 1.0)
        if time.monotonic() + delay > self._end:
            return False
        time.sleep(delay)
        self._delay = min(2 * self._delay, _LONGEST_DELAY)
        return True


class PatientPool(urllib3.PoolManager):
    """A pool of connections that repeats a request after a transient fault.

    Args:
        busy_seconds: how long to repeat while the server answers that it cannot (5xx, SlowDown).
        fault_seconds: how long to repeat while there is no answer (refused, reset, timed out).
        connect_timeout: seconds until a connection must stand, and until a block must have been taken.
        read_timeout: seconds until the server must have sent something.
        put_headers: added to each PUT, after it was signed: S3 takes conditions that are not signed.
        options: as for `urllib3.PoolManager`.
    """

    def __init__(
        self,
        *,
        busy_seconds: float,
        fault_seconds: float,
        connect_timeout: float,
        read_timeout: float,
        put_headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        # More threads than connections is fine: the surplus ones are closed after use.
        super().__init__(
            timeout=urllib3.Timeout(connect=connect_timeout, read=read_timeout),
            maxsize=16,
            blocksize=1 << 16,
            **options,
        )
        self._busy_seconds = busy_seconds
        self._fault_seconds = fault_seconds
        self._put_headers = put_headers or {}

    def urlopen(  # type: ignore[override]  # minio passes keywords only
        self, method: str, url: str, *, body: bytes | None = None, **options: Any
    ) -> urllib3.BaseHTTPResponse:
        """Send the request, again after each transient fault; return the last answer or raise the last fault."""
        if method == "PUT":
            options["headers"] = {**options["headers"], **self._put_headers}
        busy, faulty = Patience(self._busy_seconds), Patience(self._fault_seconds)
        while True:
            # Sent as bytes, the whole body would have to pass within one connect timeout: the time limit of
            # a socket counts for one sendall().
            stream = io.BytesIO(body) if body else body
            try:
                response = super().urlopen(method, url, False, body=stream, retries=False, **options)
            except HTTPError as exc:
                if not is_transient(exc) or not faulty.wait():
                    raise
                _warn(method, url, type(exc).__name__)
                continue
            if not _asks_to_repeat(method, response) or not busy.wait():
                return response
            response.drain_conn()
            _warn(method, url, f"HTTP {response.status}")


def is_transient(fault: HTTPError) -> bool:
    """Tell whether the same request may succeed later."""
    if isinstance(fault, SSLError):
        return bool(fault.args) and isinstance(fault.args[0], _CUT_TLS)
    return isinstance(fault, NewConnectionError | ConnectTimeoutError | ReadTimeoutError | ProtocolError)


def _asks_to_repeat(method: str, response: urllib3.BaseHTTPResponse) -> bool:
    if response.status == 400 and method in {"PUT", "POST"}:
        return any(b"<Code>" + code in response.data for code in _DAMAGED_ON_THE_WAY)
    if response.status == 409:
        return _COLLISION in response.data  # two conditional writes at once: neither was decided
    if response.status == 200 and method == "POST":
        # Completing a multipart upload can fail after the status line is sent.
        return b"<Error>" in response.data
    return response.status in _BUSY


def _warn(method: str, url: str, reason: str) -> None:
    parts = urllib.parse.urlsplit(url)
    _log.warning("%s %s%s: %s; trying again", method, parts.netloc, parts.path, reason)
