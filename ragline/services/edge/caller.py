"""Who asks, and until when: what travels with one request through every hop, and never through shared state."""

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from ragline.errors import ServiceError

HOP_SECONDS = 0.010
"""Kept from what the next service is given, so that its 504 arrives before this service's own."""

LONGEST_SECONDS = 60.0

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}")
_AUTHORIZATION = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,16384})?|")
_MILLISECONDS = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Caller:
    """One request's identity and deadline.

    | field | from the header |
    | --- | --- |
    | request_id | x-request-id, else a new one |
    | authorization | authorization; not in repr |
    | traceparent, tracestate | of the same names, where they are well-formed |
    | deadline | x-request-timeout-ms, as a time of `time.monotonic()` |

    Example:
        >>> caller = Caller.from_headers({"x-request-id": "a1", "x-request-timeout-ms": "2000"})
        >>> caller.request_id, caller.remaining() < 2
        ('a1', True)
    """

    request_id: str
    authorization: str = field(default="", repr=False)
    traceparent: str = ""
    tracestate: str = ""
    deadline: float = float("inf")

    @classmethod
    def from_headers(cls, headers: Mapping[str, str], *, longest: float = LONGEST_SECONDS) -> Self:
        """Read a request's headers.

        Args:
            headers: with names in lower case.
            longest: seconds that a request may take, whatever it asks for.

        Raises:
            ServiceError: 400, the time allowed is not a number of milliseconds, or the Authorization no text in ASCII.
        """
        authorization = headers.get("authorization", "")
        if not _AUTHORIZATION.fullmatch(authorization):
            raise ServiceError("the Authorization header is too long or holds characters outside ASCII", 400)
        traceparent = headers.get("traceparent", "")
        traced = _TRACEPARENT.fullmatch(traceparent) is not None
        tracestate = headers.get("tracestate", "") if traced else ""
        return cls(
            request_id=request_id_of(headers),
            authorization=authorization,
            traceparent=traceparent if traced else "",
            tracestate=tracestate if _TRACESTATE.fullmatch(tracestate) else "",
            deadline=time.monotonic() + min(longest, _seconds_of(headers.get("x-request-timeout-ms", ""), longest)),
        )

    @property
    def trace_id(self) -> str:
        """The trace that this request is part of; "" where there is none."""
        return self.traceparent[3:35]

    def remaining(self) -> float:
        """Return the seconds until the deadline.

        Raises:
            ServiceError: 504, it is over.
        """
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            raise ServiceError("the time that the caller allowed is over", 504)
        return seconds

    def headers(self) -> dict[str, str]:
        """Return the headers for the next service of this chain.

        Raises:
            ServiceError: 504, there is no time left for another hop.
        """
        headers = {"x-request-id": self.request_id}
        if self.deadline != float("inf"):
            headers["x-request-timeout-ms"] = str(self._milliseconds())
        optional = ("authorization", "traceparent", "tracestate")
        return headers | {name: value for name in optional if (value := getattr(self, name))}

    def anonymous(self) -> Self:
        """Return the same request without its Authorization, for a backend that is not of this chain."""
        return replace(self, authorization="")

    def _milliseconds(self) -> int:
        milliseconds = int((self.remaining() - HOP_SECONDS) * 1000)
        if milliseconds < 1:
            raise ServiceError("the time that the caller allowed is over", 504)
        return milliseconds


def request_id_of(headers: Mapping[str, str]) -> str:
    """Return a request's own id where it can stand in a log and a header, else a new one."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _seconds_of(value: str, longest: float) -> float:
    if not value:
        return longest
    if not _MILLISECONDS.fullmatch(value):
        raise ServiceError(f"x-request-timeout-ms is {value[:40]!r}: expected a whole number of milliseconds", 400)
    return int(value) / 1000
