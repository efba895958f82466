"""The front door around applications that misbehave; whole services are in test_kserve_server.py."""

import asyncio
import json
import logging
from typing import Any

import pytest

from ragline.errors import ServiceError
from ragline.services.edge import request_body
from ragline.services.edge.asgi import App, Message, Receive, Scope, Send
from ragline.services.edge.front_door import FrontDoor
from ragline.services.edge.received import received

PATH = "/v1/models/tiny:predict"
ROUTES = [f"POST {PATH}", "GET /v1/models/{name}", "POST /openai/v1/chat/completions"]


class Client:
    """Sends one request to an application, in parts, and keeps what comes back."""

    def __init__(self, *parts: bytes, leaves_after: float = 60.0, pause: float = 0.0) -> None:
        self.sent: list[Message] = []
        self._parts = list(parts)
        self._leaves_after = leaves_after
        self._pause = pause

    async def receive(self) -> Message:
        """Give the next part; after the last one, leave when it is time."""
        if self._parts:
            await asyncio.sleep(self._pause)
            return {"type": "http.request", "body": self._parts.pop(0), "more_body": bool(self._parts)}
        await asyncio.sleep(self._leaves_after)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Keep a part of the response."""
        self.sent.append(message)

    @property
    def status(self) -> int:
        """The status that came back; 0 for none."""
        return int(self.sent[0]["status"]) if self.sent else 0

    @property
    def headers(self) -> dict[str, str]:
        """The headers that came back."""
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def json(self) -> Any:
        """The body that came back."""
        return json.loads(b"".join(message.get("body", b"") for message in self.sent[1:]))


def request(app: App, client: Client, path: str = PATH, method: str = "POST", **headers: str) -> Client:
    """Send a request through a front door; header names have _ for -."""
    pairs = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": pairs}
    door = FrontDoor(app, "tiny", ROUTES, max_bytes=100, longest=0.5)
    asyncio.run(asyncio.wait_for(door(scope, client.receive, client.send), 10))
    return client


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what an application gets."""
    message = await receive()
    body = {
        "headers": {name.decode(): value.decode() for name, value in scope["headers"]},
        "body": message["body"].decode(),
        "parsed": received().body,
        "request_id": received().caller.request_id,
    }
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


def failing(failure: BaseException) -> App:
    """Return an application that fails."""

    async def fail(*_: object) -> None:
        raise failure

    return fail


def test_application_gets_what_was_checked() -> None:
    """Headers are normal, the body is whole and parsed, and the response has the request's id."""
    headers = {"content_type": "Application/JSON; charset=UTF-8", "ce_id": "1", "ce_type": "x", "x_request_id": "a1"}
    client = request(echo, Client(b'{"a":', b" 1}"), **headers, traceparent="nonsense", authorization="Bearer t")
    reply = client.json
    milliseconds = int(reply["headers"].pop("x-request-timeout-ms"))
    assert reply == {
        "headers": {"authorization": "Bearer t", "content-type": "application/json", "x-request-id": "a1"},
        "body": '{"a": 1}',
        "parsed": {"a": 1},
        "request_id": "a1",
    }
    assert 0 < milliseconds <= 500
    assert client.headers == {"x-request-id": "a1"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is empty: expected a JSON object"),
        (b'{"a": \xff}', "the body is not UTF-8: byte 6 (0xff) cannot stand there"),
        (b"{]", "the body is not JSON: unexpected character, expected an object key or '}': line 1 column 2 (char 1)"),
        (b"[1]", "the body is a list: expected a JSON object"),
        (b"null", "the body is null: expected a JSON object"),
    ],
)
def test_malformed_bodies(body: bytes, message: str) -> None:
    """The message says what is wrong, and where; it does not quote."""
    client = request(echo, Client(body))
    assert client.status == 400
    assert client.json["error"].startswith(message.split(":")[0])
    assert "\n" not in client.json["error"]


@pytest.mark.parametrize("parts", [(b"x" * 101,), (b"x" * 60,) * 2, (b"x" * 50,) * 1000])
def test_large_bodies(parts: tuple[bytes, ...]) -> None:
    """A body over the limit is refused, however it comes, and not kept."""
    client = request(echo, Client(*parts))
    assert (client.status, client.json["error"]) == (413, "the body is longer than 100 bytes: send less at once")


def test_large_body_that_is_announced() -> None:
    """One that says so itself is not even read."""
    client = request(echo, Client(pause=60), content_length="1000000")
    assert (client.status, client.headers["connection"]) == (413, "close")


def test_slow_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that does not get to the end of its body does not hold a place for ever."""
    monkeypatch.setattr(request_body, "BODY_SECONDS", 0.05)
    client = request(echo, Client(b"{", b"}", pause=0.2))
    assert (client.status, client.json["error"]) == (408, "the body did not arrive in time")


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"content_type": "text/plain"}, "content-type is 'text/plain': expected application/json"),
        ({"content_type": "application/json; charset=latin-1"}, "charset is 'latin-1': JSON is UTF-8"),
        ({"content_encoding": "gzip"}, "content-encoding is not supported: send the body as it is"),
    ],
)
def test_other_kinds_of_bodies(headers: dict[str, str], message: str) -> None:
    """Only JSON as it is comes in."""
    client = request(echo, Client(b"{}"), **headers)
    assert (client.status, client.json["error"]) == (415, message)


@pytest.mark.parametrize("path", ["/", "/v2/repository/models/tiny/unload", "/v1/models/a/b", "/docs", PATH + "/"])
def test_closed_paths(path: str) -> None:
    """What is not declared does not exist, whatever the application has there."""
    client = request(echo, Client(b"{}"), path)
    message = f"nothing is served at {path!r}: GET /openapi.json lists all paths"
    assert (client.status, client.json["error"]) == (404, message)


def test_wrong_method() -> None:
    """The answer says which methods there are."""
    client = request(echo, Client(), "/v1/models/tiny", "DELETE")
    message = "DELETE is not possible at /v1/models/{name}: use GET"
    assert (client.status, client.json["error"], client.headers["allow"]) == (405, message, "GET")


def test_two_identities() -> None:
    """A request has one Authorization, so that no two parts of a service see different ones."""
    scope_headers = [(b"authorization", b"a"), (b"authorization", b"b")]
    client = Client(b"{}")
    scope = {"type": "http", "method": "POST", "path": PATH, "headers": scope_headers}
    asyncio.run(FrontDoor(echo, "tiny", ROUTES)(scope, client.receive, client.send))
    assert (client.status, client.json["error"]) == (400, "there are several Authorization headers: send one")


@pytest.mark.parametrize(
    ("failure", "status", "message"),
    [
        (ServiceError("busy", 429, retry_after=2), 429, "busy"),
        (TimeoutError(), 504, "the request took longer than it was given; request id a1"),
        (KeyError("secret"), 500, "internal error; request id a1"),
    ],
)
def test_application_fails(failure: Exception, status: int, message: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever an application raises becomes one line, in OpenAI's form on OpenAI's paths."""
    client = request(failing(failure), Client(b"{}"), "/openai/v1/chat/completions", x_request_id="a1")
    assert (client.status, client.json["error"]["message"]) == (status, message)
    assert client.headers.get("retry-after") == ("2" if status == 429 else None)
    assert ("internal error" in caplog.text) == (status == 500)


def test_application_fails_on_the_way() -> None:
    """A response that is under way breaks off; nothing is added to it that would look like its end."""

    async def fail(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise KeyError

    client = request(fail, Client(b"{}"))
    assert [message.get("body") for message in client.sent] == [None, b"half"]


def _waiting(ended: list[str], *, begin: bool = False) -> App:
    """Return an application that waits too long, perhaps after the beginning of its response; notes how it ended."""

    async def wait(_: Scope, __: Receive, send: Send) -> None:
        if begin:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            await asyncio.sleep(1.5)
            ended.append("finished")
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    return wait


def test_deadline() -> None:
    """An application that does not look at the time is ended, and the caller gets an answer."""
    ended: list[str] = []
    client = request(_waiting(ended), Client(b"{}"), x_request_timeout_ms="100")
    assert (client.status, client.json["error"], ended) == (
        504,
        "the time that the caller allowed is over",
        ["cancelled"],
    )


def test_response_under_way_is_not_ended() -> None:
    """The deadline is for the beginning of a response: what streams may take longer."""
    ended: list[str] = []
    assert request(_waiting(ended, begin=True), Client(b"{}"), x_request_timeout_ms="100").status == 200
    assert ended == ["finished"]


@pytest.mark.parametrize("begin", [False, True])
def test_client_leaves(begin: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody works for a caller that is not there any more."""
    ended: list[str] = []
    with caplog.at_level(logging.INFO):
        request(_waiting(ended, begin=begin), Client(b"{}", leaves_after=0.05))
    assert ended == ["cancelled"]
    assert [vars(record)["about"]["status"] for record in caplog.records] == [499]


class Quitter(Client):
    """Leaves in the middle of its body."""

    async def receive(self) -> Message:
        """Give one part, and leave."""
        return await super().receive() if len(self._parts) == 2 else {"type": "http.disconnect"}


def test_client_leaves_while_it_sends() -> None:
    """Half a request is none."""
    assert request(echo, Quitter(b"{", b"}")).sent == []


def test_access_log(caplog: pytest.LogCaptureFixture) -> None:
    """One line for a request, without anything that was in it."""
    with caplog.at_level(logging.INFO):
        request(echo, Client(b'{"input": "secret"}'), authorization="Bearer secret")
    (record,) = caplog.records
    about = dict(vars(record)["about"])
    assert about.pop("ms") >= 0
    assert about.pop("bytes") > 0
    assert about == {"service": "tiny", "method": "POST", "route": PATH, "status": 200}
    assert "secret" not in str(vars(record))


def test_server_events_pass() -> None:
    """The start of the server is the application's own affair."""
    seen: list[str] = []

    async def app(scope: Scope, _: Receive, __: Send) -> None:
        seen.append(scope["type"])

    client = Client()
    asyncio.run(FrontDoor(app, "tiny", [])({"type": "lifespan"}, client.receive, client.send))
    assert seen == ["lifespan"]
