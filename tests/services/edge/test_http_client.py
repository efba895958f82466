"""Calls of one service by another, against real servers."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from ragline.errors import ServiceError, SettingError
from ragline.services.edge.caller import Caller
from ragline.services.edge.http_client import ServiceClient

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve all paths with one handler; give the URL."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await web.SockSite(runner, listener, ssl_context=tls).start()
        try:
            yield f"http{'s' if tls else ''}://localhost:{listener.getsockname()[1]}"
        finally:
            await runner.cleanup()


@asynccontextmanager
async def calling(handler: Handler, **options: Any) -> AsyncIterator[ServiceClient]:
    """Serve with a handler, and give a client of it."""
    async with serving(handler) as url:
        client = ServiceClient("other", url, **options)
        try:
            yield client
        finally:
            await client.close()


def caller(seconds: float = 5.0) -> Caller:
    """Return somebody with a little time."""
    return Caller("a1", "Bearer of-the-caller", deadline=time.monotonic() + seconds)


def failure_of(call: Coroutine[Any, Any, Any]) -> tuple[int, str, float]:
    """Return what a call fails with."""
    with pytest.raises(ServiceError) as caught:
        asyncio.run(call)
    return caught.value.status, str(caught.value), caught.value.retry_after


async def _post(handler: Handler, *, retry: bool = False, seconds: float = 5.0, **options: Any) -> Any:
    async with calling(handler, **options) as client:
        return await client.post("/path", {"a": "ü"}, caller(seconds), retry=retry)


async def _get(url: str) -> Any:
    client = ServiceClient("other", url)
    try:
        return await client.get("/")
    finally:
        await client.close()


async def echo(request: web.Request) -> web.Response:
    """Answer with what came."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    return web.json_response({"path": request.path, "body": await request.json(), "headers": headers})


def test_post() -> None:
    """A call carries the body as JSON, and the caller's identity and time."""
    reply = asyncio.run(_post(echo))
    headers = reply["headers"]
    assert (reply["path"], reply["body"]) == ("/path", {"a": "ü"})
    assert (headers["x-request-id"], headers["authorization"]) == ("a1", "Bearer of-the-caller")
    assert 4000 < int(headers["x-request-timeout-ms"]) < 5000
    assert "cookie" not in headers


def test_own_token_replaces_the_callers() -> None:
    """A backend with a key of its own never sees what the caller has sent."""
    assert asyncio.run(_post(echo, token="own"))["headers"]["authorization"] == "Bearer own"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"error": "no such\\nmodel", "request_id": "a1"}', "other: no such model"),
        ('{"error": {"message": "too long", "type": "x"}}', "other: too long"),
        ('{"detail": "wrong key"}', "other: wrong key"),
        ('{"detail": [{"loc": ["body"], "msg": "wrong"}]}', 'other: [{"loc": ["body"], "msg": "wrong"}]'),
        ("plain text", "other: plain text"),
        ("", "other: 400 Bad Request"),
        ("x" * 5000, "other: " + "x" * 500),
    ],
)
def test_messages_of_others(body: str, message: str) -> None:
    """What the other service says is found in every form that services use."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=400, text=body)

    assert failure_of(_post(answer)) == (400, message, 0)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [(each, each) for each in (400, 401, 403, 404, 413, 429, 503, 504)]
    + [(408, 504), (422, 400), (405, 502), (500, 502), (302, 502), (204, 502)],
)
def test_statuses_keep_their_meaning(theirs: int, ours: int) -> None:
    """What means something to the caller passes; the rest is the other service's own trouble."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=theirs, headers={"Retry-After": "7", "Location": "/elsewhere"})

    status, _, retry_after = failure_of(_post(answer))
    assert (status, retry_after) == (ours, 7)


def test_not_json() -> None:
    """A page of a proxy is no answer."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="<html>")

    status, message, _ = failure_of(_post(answer))
    assert status == 502
    assert message.endswith("/path answered something that is not JSON")


def test_nobody_there() -> None:
    """A service that is not running is named with its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    status, message, _ = failure_of(_get(url))
    assert (status, message) == (503, f"other at {url} cannot be reached: Connection refused")


def test_unknown_host() -> None:
    """So is one whose name nobody knows."""
    status, message, _ = failure_of(_get("http://nowhere.invalid"))
    assert status == 503
    assert message.startswith("other at http://nowhere.invalid cannot be reached: ")


def test_time_is_over() -> None:
    """A call lasts no longer than the caller allows."""

    async def answer(_: web.Request) -> web.Response:
        await asyncio.sleep(10)
        return web.Response()

    began = time.monotonic()
    status, message, _ = failure_of(_post(answer, seconds=0.3))
    assert (status, message) == (504, "other did not answer within the 0.3 s that were left")
    assert time.monotonic() - began < 2


def _failing(times: int, *, status: int = 503, headers: dict[str, str] | None = None) -> tuple[Handler, list[str]]:
    """Return a handler that fails so many times; status 0 closes the connection. And its list of calls."""
    calls: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        calls.append(request.path)
        if len(calls) > times:
            return web.json_response({"ok": True})
        if not status:
            assert request.transport
            request.transport.abort()
        return web.Response(status=status or 200, headers=headers)

    return answer, calls


@pytest.mark.parametrize("status", [503, 0])
def test_retry(status: int) -> None:
    """A lost connection and a 503 are tried once more, where that is safe."""
    handler, calls = _failing(1, status=status)
    assert asyncio.run(_post(handler, retry=True)) == {"ok": True}
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("retry", "status", "headers"),
    [(False, 503, {}), (True, 503, {"Retry-After": "1"}), (True, 429, {}), (True, 500, {})],
)
def test_no_retry(retry: bool, status: int, headers: dict[str, str]) -> None:
    """Nothing is tried again unasked, against the other's wish, or where it would fail again."""
    handler, calls = _failing(1, status=status, headers=headers)
    failure_of(_post(handler, retry=retry))
    assert len(calls) == 1


def test_retries_have_a_budget() -> None:
    """A service in trouble gets a tenth more requests at most, beside a small reserve."""
    handler, calls = _failing(1000)

    async def many() -> None:
        async with calling(handler) as client:
            for _ in range(40):
                with pytest.raises(ServiceError, match="503"):
                    await client.post("/", {}, caller(), retry=True)

    asyncio.run(many())
    assert 43 <= len(calls) <= 45


def test_no_cookie_is_kept() -> None:
    """One caller's session never goes out with another caller's request."""

    async def answer(request: web.Request) -> web.Response:
        response = web.json_response(dict(request.cookies))
        response.set_cookie("session", "of-somebody")
        return response

    async def twice() -> Any:
        async with calling(answer) as client:
            await client.post("/", {}, caller())
            return await client.post("/", {}, caller())

    assert asyncio.run(twice()) == {}


def test_stream() -> None:
    """Parts arrive while the other service is still writing; leaving the block closes the connection."""
    closed = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"data: part\n\n")
                await asyncio.sleep(0.02)
        except ConnectionError:
            closed.set()
            raise

    async def first() -> bytes:
        async with calling(answer) as client:
            async with client.stream("/", {}, caller()) as response:
                part = await response.content.readline()
            await asyncio.wait_for(closed.wait(), 5)
            return part

    assert asyncio.run(first()) == b"data: part\n"


def test_stream_that_breaks_off() -> None:
    """A connection that is lost on the way is a failure of the other service."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"data: part\n\n")
        assert request.transport
        request.transport.abort()
        return response

    async def all_of_it() -> bytes:
        async with calling(answer) as client, client.stream("/", {}, caller()) as response:
            return await response.read()

    status, message, _ = failure_of(all_of_it())
    assert status == 503
    assert message.endswith("closed the connection before it had answered")


def test_certificates_are_verified(tmp_path: Path) -> None:
    """A private authority is trusted once it is named, and not before."""
    authority, bundle = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    async def get(ca_bundle: Path | None) -> Any:
        async with serving(echo_path, context) as url:
            client = ServiceClient("other", url, ca_bundle=ca_bundle)
            try:
                return await client.get("/secure")
            finally:
                await client.close()

    status, message, _ = failure_of(get(None))
    assert status == 503
    assert message.endswith("is not trusted; set RAGLINE_CA_BUNDLE to the PEM file of the authority that signed it")
    assert asyncio.run(get(bundle)) == "/secure"


async def echo_path(request: web.Request) -> web.Response:
    """Answer with the path."""
    return web.json_response(request.path)


def test_malformed_bundle(tmp_path: Path) -> None:
    """A file without certificates is noticed when a service starts."""
    bundle = tmp_path / "ca.pem"
    bundle.write_text("nothing")
    with pytest.raises(SettingError, match=r"RAGLINE_CA_BUNDLE is '.*ca.pem': expected a PEM file with certificates"):
        ServiceClient("other", "https://localhost", ca_bundle=bundle)
