"""Requests that nobody should send, at every path that a running service describes."""

import json
import socket
from collections.abc import Container, Iterator, Mapping
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation

ODD_BODIES = {
    "nothing": b"",
    "white space": b" \n ",
    "not JSON": b"hello",
    "half": b'{"instances": [{"input": "a',
    "two objects": b"{}{}",
    "not UTF-8": b'{"instances": [{"input": "\xff\xfe"}]}',
    "UTF-16": '{"instances": []}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "lone surrogate": b'{"instances": [{"input": "\\ud800"}]}',
    "NaN": b'{"instances": [NaN]}',
    "infinity": b'{"instances": [{"input": 1e999}]}',
    "number of many digits": b'{"instances": [' + b"9" * 5000 + b"]}",
    "deep list": b"[" * 100_000,
    "deep object": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "deep instance": b'{"instances": ['
    + b"[" * 900
    + b"]" * 900
    + b"], "
    + b'"messages": '
    + b"[" * 900
    + b"]" * 900
    + b"}",
    "null": b"null",
    "list": b"[]",
    "text": b'"text"',
    "no list": b'{"instances": {"0": {}}, "messages": {"0": {}}}',
    "empty list": b'{"instances": [], "messages": []}',
    "odd entries": b'{"instances": [null, 1, [], "x"], "messages": [null, 1, [], "x"]}',
    "far too many": json.dumps({"instances": [{"input": "x"}] * 5000}).encode(),
    "null characters": b'{"instances": [{"input": "\\u0000"}], "messages": [{"role": "user", "content": "\\u0000"}]}',
    "cloud event": b'{"specversion": "1.0", "id": "1", "source": "a", "type": "b", "time": "c", "data": "text"}',
    "too large": b'{"instances": ["' + b"x" * (3 << 20) + b'"]}',
}
ODD_HEADERS: tuple[dict[str, str], ...] = (
    {"content-type": "application/json; charset=utf-16"},
    {"content-type": "text/plain"},
    {"content-type": ";;;="},
    {"content-type": "application/x-www-form-urlencoded"},
    {"content-type": "application/json", "content-encoding": "gzip"},
    {"content-type": "application/json", "x-request-timeout-ms": "soon"},
    {"content-type": "application/json", "x-request-timeout-ms": "-5"},
    {"content-type": "application/json", "x-request-id": "a b\tc" + "d" * 300},
    {"content-type": "application/json", "traceparent": "00-zz-zz-00", "tracestate": ",,=,"},
    {"content-type": "application/json", "traceparent": "ff-" + "1" * 32 + "-" + "1" * 16 + "-01"},
    {"content-type": "application/json", "authorization": "Bearer \xfc\xff"},
    {"content-type": "application/json", "authorization": "Bearer " + "x" * 20_000},
    {"content-type": "application/json", "ce-id": "1", "ce-source": "a", "ce-type": "b", "ce-specversion": "1.0"},
    {"content-type": "application/json", "expect": "nothing"},
)
ODD_LINES = (
    b"\x00\xff\x00\xff\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET http://x HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /\xff%zz%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 200_000 + b"\r\n\r\n",
)
_SECONDS = 20


def fuzz(base_url: str, *, examples: int = 25, allowed: Container[int] = ()) -> None:
    """Prove that no request makes a service fail.

    Every response has a status below 500 and the request's id; from 400 on it is one line of JSON with that id.

    Args:
        base_url: of the service; its /openapi.json says what there is.
        examples: of well-formed and of malformed requests, for each operation.
        allowed: statuses from 500 on that are right all the same, as 503 of a service whose backend is not there.
    """
    schema = schemathesis.openapi.from_url(f"{base_url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert operations
    with httpx.Client(timeout=_SECONDS) as client:
        for operation in operations:
            _generated(operation, examples, allowed)
            for response, what in _odd_requests(f"{base_url}{operation.path}", operation.method.upper(), client):
                _check(response.status_code, response.headers, response.text, f"{operation.label}: {what}", allowed)
    for line in ODD_LINES:
        _check_raw(base_url, line)


def _generated(operation: APIOperation[Any, Any, Any, Any], examples: int, allowed: Container[int]) -> None:
    """Send what the description allows, and what it forbids."""
    takes_something = operation.body or operation.path_parameters or operation.query
    modes = list(GenerationMode) if operation.body else [GenerationMode.POSITIVE]  # no text is a malformed parameter
    for mode in modes:

        @settings(
            max_examples=examples if takes_something else 1,
            database=None,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate,),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def send(case: Case[Any]) -> None:
            response = case.call(timeout=_SECONDS)
            headers = {name.lower(): values[0] for name, values in response.headers.items()}
            _check(response.status_code, headers, response.text, operation.label, allowed)

        send()


def _odd_requests(url: str, method: str, client: httpx.Client) -> Iterator[tuple[httpx.Response, str]]:
    """Send what no generator thinks of."""
    for verb in {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "NONSENSE"} - {method}:
        yield client.request(verb, url), f"method {verb}"
    if method == "POST":
        for name, body in ODD_BODIES.items():
            yield client.post(url, content=body, headers={"content-type": "application/json"}), name
        for headers in ODD_HEADERS:
            yield client.post(url, content=b'{"instances": [{}]}', headers=_latin(headers)), str(headers)[:80]


def _latin(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


def _check(status: int, headers: Mapping[str, str], text: str, what: str, allowed: Container[int]) -> None:
    where = f"{what}: {status} {text[:300]!r}"
    assert status < 500 or status in allowed, where
    assert headers["x-request-id"], where
    if status >= 400:
        assert headers["content-type"] == "application/json", where
        _check_error(text, headers["x-request-id"], where)


def _check_error(text: str, request_id: str, where: str) -> None:
    assert "\n" not in text, where
    body = json.loads(text)
    message = body["error"]["message"] if isinstance(body["error"], dict) else body["error"]
    assert message, where
    assert len(message) < 1000, where
    assert body["request_id"] == request_id, where


def _check_raw(base_url: str, line: bytes) -> None:
    """Send what is no HTTP, and look at the answer in the same way."""
    address = urlsplit(base_url)
    with socket.create_connection((address.hostname, address.port), timeout=_SECONDS) as connection:
        connection.sendall(line)
        response = HTTPResponse(connection)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        _check(response.status, headers, response.read().decode(), repr(line[:60]), ())
