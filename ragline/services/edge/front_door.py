"""What stands before every service: nothing comes in that is not well-formed, and nothing goes out without an id.

A request passes it once. The door knows the open paths, reads the body, gives the request an id, a deadline and a place
in a trace, and stops the work when the caller leaves or the time is over. A response streams through; a failure becomes
one line of JSON.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus

from opentelemetry.trace import Span, SpanKind

from ragline.errors import ServiceError
from ragline.services.edge.asgi import App, Message, Receive, Scope, Send
from ragline.services.edge.caller import LONGEST_SECONDS, Caller, request_id_of
from ragline.services.edge.failures import MethodError, Reply, reply_to
from ragline.services.edge.received import Received, current
from ragline.services.edge.request_body import Gone, check_content_type, parse_object, read_body
from ragline.services.edge.routes import Match, RouteTable
from ragline.services.edge.telemetry import REQUEST_SECONDS, REQUESTS, span

_log = logging.getLogger(__name__)

LONGEST_BODY = 1 << 20

_LONGEST_HEADERS = 1 << 16
_GRACE_SECONDS = 0.25
"""What a service may use, after the deadline, to say itself what took so long."""

_CLIENT_GONE = 499
_OURS = {b"x-request-id", b"traceparent", b"tracestate", b"content-type", b"x-request-timeout-ms"}


class FrontDoor:
    """An ASGI application around another one.

    Args:
        app: the application.
        service: its name, for the trace.
        routes: what is open, each as "METHOD /path/{parameter}".
        max_bytes: of a body.
        longest: seconds that a request may take until its response begins.
        quiet: routes whose requests are logged only at level debug: probes and the like.
    """

    def __init__(
        self,
        app: App,
        service: str,
        routes: Sequence[str],
        *,
        max_bytes: int = LONGEST_BODY,
        longest: float = LONGEST_SECONDS,
        quiet: Sequence[str] = (),
    ) -> None:
        self._app = app
        self._service = service
        self._routes = RouteTable(routes)
        self._max_bytes = max_bytes
        self._longest = longest
        self._quiet = frozenset(quiet)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":  # the server's start and end
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = _text_headers(scope)
        match = self._routes.find(scope["path"])
        caller = Caller(request_id_of(headers))
        token = current.set(Received(caller))
        answer = _Answer(send, scope, caller.request_id)
        try:
            await self._let_in(scope, receive, answer, headers, match)
        finally:
            self._note(scope["method"], match.route, answer, time.perf_counter() - began)
            current.reset(token)

    async def _let_in(
        self, scope: Scope, receive: Receive, answer: "_Answer", headers: Mapping[str, str], match: Match
    ) -> None:
        """Check a request, and give it to the application as one span."""
        try:
            _check_target(scope, match)
            _check_headers(scope)
            caller = Caller.from_headers({**headers, "x-request-id": answer.request_id}, longest=self._longest)
            with span(f"{scope['method']} {match.route}", caller, SpanKind.SERVER) as (inner, made):
                _describe(made, self._service, scope["method"], match.route)
                await self._serve(scope, receive, answer, headers, inner)
                if made is not None:
                    made.set_attribute("http.response.status_code", answer.status)
        except Gone:
            answer.status = _CLIENT_GONE
        except Exception as failure:  # noqa: BLE001 - the edge of the process: whatever it is becomes a response
            await answer.fail(failure)

    async def _serve(
        self, scope: Scope, receive: Receive, answer: "_Answer", headers: Mapping[str, str], caller: Caller
    ) -> None:
        if scope["method"] != "POST":
            current.set(Received(caller))
            await self._run(_with_headers(scope, caller), receive, answer, caller, asyncio.Event())
            return
        check_content_type(headers)
        body = await read_body(receive, headers, longest=self._max_bytes, seconds=caller.remaining())
        current.set(Received(caller, parse_object(body)))
        gone = asyncio.Event()
        await self._run(_with_headers(scope, caller), _replay(body, gone), answer, caller, gone, leaving=receive)

    async def _run(
        self,
        scope: Scope,
        receive: Receive,
        answer: "_Answer",
        caller: Caller,
        gone: asyncio.Event,
        *,
        leaving: Receive | None = None,
    ) -> None:
        """Run the application until it is done, the caller is gone or, before its response began, the time is over."""
        loop = asyncio.get_running_loop()
        limit = asyncio.timeout(caller.remaining() + _GRACE_SECONDS)
        watcher = loop.create_task(_watch(leaving, gone, limit, answer)) if leaving else None
        try:
            async with limit:
                answer.limit = limit
                await self._app(scope, receive, answer.send)
        except TimeoutError as error:
            if not limit.expired():
                raise
            if gone.is_set():
                raise Gone from None
            raise ServiceError("the time that the caller allowed is over", 504) from error
        finally:
            answer.limit = None
            if watcher is not None:
                watcher.cancel()

    def _note(self, method: str, route: str, answer: "_Answer", seconds: float) -> None:
        """Count and log a request."""
        label, status = route or "other", answer.status or int(HTTPStatus.SERVICE_UNAVAILABLE)  # 0: we are being ended
        REQUESTS.labels(label, str(status)).inc()
        REQUEST_SECONDS.labels(label).observe(seconds)
        level = logging.DEBUG if label in self._quiet else logging.INFO
        if _log.isEnabledFor(level):
            about = {
                "service": self._service,
                "method": method,
                "route": label,
                "status": status,
                "ms": round(seconds * 1000, 2),
                "bytes": answer.bytes,
            }
            _log.log(level, "request", extra={"about": about})


class _Answer:
    """The response to one request, as it leaves.

    Attributes:
        request_id: of the request; every response carries it.
        status: that was sent; 0 before.
        bytes: of the body, so far.
        complete: whether the last byte is sent.
        limit: what ends the application at the deadline; lifted once a response begins.
    """

    def __init__(self, send: Send, scope: Scope, request_id: str) -> None:
        self.request_id = request_id
        self.status = 0
        self.bytes = 0
        self.complete = False
        self.limit: asyncio.Timeout | None = None
        self._send = send
        self._path: str = scope["path"]

    async def send(self, message: Message) -> None:
        """Pass a part of the response on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), (b"x-request-id", self.request_id.encode())]
            message = {**message, "headers": headers}
            if self.limit is not None and not self.limit.expired():
                with suppress(RuntimeError):  # it is ending just now
                    self.limit.reschedule(None)
        elif message["type"] == "http.response.body":
            self.bytes += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)
        await self._send(message)

    async def fail(self, failure: Exception) -> None:
        """Answer with a failure; where a response is under way already, it just breaks off."""
        if self.complete:  # by the application's own handler
            return
        reply = reply_to(failure, self._path, self.request_id)
        if not self.status:
            await self._reply(reply)

    async def _reply(self, reply: Reply) -> None:
        headers = [(name.encode(), value.encode()) for name, value in reply.headers.items()]
        headers.append((b"content-length", str(len(reply.body)).encode()))
        if reply.status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
            headers.append((b"connection", b"close"))  # the rest of the body may still be coming
        await self.send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": reply.body})


async def _watch(receive: Receive, gone: asyncio.Event, limit: asyncio.Timeout, answer: _Answer) -> None:
    """Wait until the caller leaves, and end the application then."""
    while (await receive())["type"] != "http.disconnect":
        pass
    gone.set()
    if not answer.complete:
        with suppress(RuntimeError):  # it has ended by itself
            limit.reschedule(0)


def _replay(body: bytes, gone: asyncio.Event) -> Receive:
    """Return what gives the application the body that was read, and later that the caller has left."""
    waiting = [body]

    async def receive() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    return receive


def _text_headers(scope: Scope) -> dict[str, str]:
    """Return the headers as texts; of those that come twice, the first."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}


def _with_headers(scope: Scope, caller: Caller) -> Scope:
    """Return the scope for the application: with the headers that were checked here instead of those that came."""
    kept = [(name, value) for name, value in scope["headers"] if name not in _OURS and not name.startswith(b"ce-")]
    own = {
        "content-type": "application/json",
        "x-request-id": caller.request_id,
        "x-request-timeout-ms": str(int(caller.remaining() * 1000)),
        "traceparent": caller.traceparent,
        "tracestate": caller.tracestate,
    }
    kept += [(name.encode(), value.encode()) for name, value in own.items() if value]
    return {**scope, "headers": kept}


def _check_target(scope: Scope, match: Match) -> None:
    if not match.route:
        path = scope["path"][:80]
        raise ServiceError(f"nothing is served at {path!r}: GET /openapi.json lists all paths", 404)
    if scope["method"] not in match.methods:
        allowed = ", ".join(sorted(match.methods))
        raise MethodError(f"{scope['method'][:20]} is not possible at {match.route}: use {allowed}", allowed)


def _check_headers(scope: Scope) -> None:
    if sum(len(name) + len(value) for name, value in scope["headers"]) > _LONGEST_HEADERS:
        raise ServiceError(f"the headers are longer than {_LONGEST_HEADERS} bytes", 431)
    if sum(name == b"authorization" for name, _ in scope["headers"]) > 1:
        raise ServiceError("there are several Authorization headers: send one", 400)


def _describe(made: Span | None, service: str, method: str, route: str) -> None:
    if made is not None:
        made.set_attributes({"ragline.service": service, "http.request.method": method, "http.route": route})
