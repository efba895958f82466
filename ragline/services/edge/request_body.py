"""The body of a POST: read once, within limits, and let in only as a JSON object in UTF-8."""

import asyncio
from collections.abc import Mapping
from email.message import Message
from typing import Any

import orjson

from ragline.errors import ServiceError
from ragline.services.edge.asgi import Receive

BODY_SECONDS = 30.0
"""How long a caller may take to send a body."""

_DRAINED = 16
"""A body is read on, and thrown away, up to so many times the limit: a caller that still sends misses the answer."""


class Gone(Exception):
    """The caller closed the connection."""


async def read_body(receive: Receive, headers: Mapping[str, str], *, longest: int, seconds: float) -> bytes:
    """Return a request's body.

    Args:
        receive: gives the parts.
        headers: of the request.
        longest: bytes that are accepted.
        seconds: for all of it.

    Raises:
        ServiceError: 413, it is longer; 408, it took longer.
        Gone: the caller went away.
    """
    try:
        async with asyncio.timeout(min(seconds, BODY_SECONDS)):
            return await _parts(receive, longest, _announced(headers))
    except TimeoutError as error:
        raise ServiceError("the body did not arrive in time", 408) from error


async def _parts(receive: Receive, longest: int, announced: int) -> bytes:
    if announced > longest * _DRAINED:
        raise _too_large(longest)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        body = await _more(receive, bytearray(body), longest)
    elif message["type"] == "http.disconnect":
        raise Gone
    if len(body) > longest:
        raise _too_large(longest)
    return body


async def _more(receive: Receive, body: bytearray, longest: int) -> bytes:
    size, more = len(body), True
    while more and size <= longest * _DRAINED:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        part = message.get("body", b"")
        size, more = size + len(part), message.get("more_body", False)
        if size <= longest:
            body += part
    if size > longest:
        raise _too_large(longest)
    return bytes(body)


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a body is.

    Raises:
        ServiceError: 400, it is none; the message says where.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ServiceError(_wrong(body, error), 400) from None  # the error holds the whole body
    if not isinstance(found, dict):
        raise ServiceError(f"the body is {_NAMES.get(type(found), 'null')}: expected a JSON object", 400)
    return found


_NAMES = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false"}


def check_content_type(headers: Mapping[str, str]) -> None:
    """Let JSON in, with any parameters, and a request that does not say what it is.

    Raises:
        ServiceError: 415, it says that it is something else.
    """
    given = headers.get("content-type", "")
    if given and given != "application/json":
        message = Message()
        message["content-type"] = given
        charset = message.get_param("charset", "utf-8")
        if message.get_content_type() != "application/json":
            kind = given.partition(";")[0].strip()[:60]
            raise ServiceError(f"content-type is {kind!r}: expected application/json", 415)
        if str(charset).lower() not in {"utf-8", "utf8", "us-ascii"}:
            raise ServiceError(f"charset is {str(charset)[:40]!r}: JSON is UTF-8", 415)
    if headers.get("content-encoding", "identity") != "identity":
        raise ServiceError("content-encoding is not supported: send the body as it is", 415)


def _announced(headers: Mapping[str, str]) -> int:
    value = headers.get("content-length", "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 20 else 0


def _too_large(longest: int) -> ServiceError:
    return ServiceError(f"the body is longer than {longest} bytes: send less at once", 413)


def _wrong(body: bytes, error: orjson.JSONDecodeError) -> str:
    if not body.strip():
        return "the body is empty: expected a JSON object"
    try:
        body.decode()
    except UnicodeDecodeError as unreadable:
        return f"the body is not UTF-8: byte {unreadable.start} ({body[unreadable.start]:#04x}) cannot stand there"
    return f"the body is not JSON: {error.msg}"
