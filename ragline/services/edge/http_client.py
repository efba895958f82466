"""Calls of one service by another: pooled connections, verified certificates, the caller's identity and deadline."""

import asyncio
import json
import os
import random
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp

from ragline.errors import ServiceError, SettingError
from ragline.services.edge.caller import Caller
from ragline.services.edge.failures import STATUSES, RemoteError

CONNECT_SECONDS = 5.0
KEEP_ALIVE_SECONDS = 30.0
"""Shorter than a server keeps an idle connection, so that no request is sent on one that is just being closed."""

RETRY_SHARE = 0.1
"""Retries per request, on the average: a service in trouble is not given twice the work."""

_RETRY_BURST = 10.0
_PAUSE = (0.02, 0.08)
_LOOK_SECONDS = 5.0
_LONGEST_MESSAGE = 500
_LONGEST_ERROR = 1 << 16
_OTHERS = {408: 504, 422: 400}
"""What some servers say instead of the statuses of the chain."""


class ServiceClient:
    """A client of one service.

    It belongs to the event loop that uses it first, and keeps nothing of a request: no cookie, no header.

    Args:
        name: how messages call the service.
        url: http(s)://host:port, perhaps with a path.
        ca_bundle: PEM file of authorities that are trusted besides the system's.
        connections: at most so many at once; 0 for no limit.
        token: sent as the bearer token, instead of the caller's Authorization.

    Example:
        >>> client = ServiceClient("vectorstore", "http://127.0.0.1:8401")
        >>> reply = await client.post("/v1/models/vectorstore:predict", body, caller, retry=True)  # doctest: +SKIP
    """

    def __init__(
        self, name: str, url: str, *, ca_bundle: Path | None = None, connections: int = 64, token: str = ""
    ) -> None:
        self.name = name
        self.url = url.rstrip("/")
        self._ssl = _trust(ca_bundle) if url.lower().startswith("https:") else True
        self._connections = connections
        self._token = token
        self._budget = RetryBudget()
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def post(self, path: str, body: object, caller: Caller, *, retry: bool = False) -> Any:
        """Post JSON and return the JSON that comes back.

        Args:
            path: below the service's URL.
            body: what becomes the JSON.
            caller: on whose behalf, and until when.
            retry: whether the request may be made twice: once more after a lost connection or a 503 without
                Retry-After, as long as the budget of retries lasts.

        Raises:
            ServiceError: with the service's own status, or 502, 503, 504.
        """
        self._budget.request()
        try:
            return await self._json("POST", path, body, caller)
        except ServiceError as failure:
            again = failure.status == HTTPStatus.SERVICE_UNAVAILABLE and not failure.retry_after
            if not (retry and again and self._budget.spend()):
                raise
        await asyncio.sleep(random.uniform(*_PAUSE))
        return await self._json("POST", path, body, caller)

    async def get(self, path: str, caller: Caller | None = None) -> Any:
        """Return the JSON at a path; without a caller, within a few seconds and without an identity.

        Raises:
            ServiceError: with the service's own status, or 502, 503, 504.
        """
        return await self._json("GET", path, None, caller)

    @asynccontextmanager
    async def stream(
        self, path: str, body: object, caller: Caller, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Post JSON and give the response, of status 200, while it comes; leaving the block closes the connection.

        Raises:
            ServiceError: with the service's own status, or 502, 503, 504; also from the block, where the connection
                is lost or the caller's time ends in it.
        """
        async with self._request("POST", path, body, caller, headers or {}) as response:
            yield response

    async def close(self) -> None:
        """Close the connections; the client may be used again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _json(self, method: str, path: str, body: object, caller: Caller | None) -> Any:
        async with self._request(method, path, body, caller, {}) as response:
            data = await response.read()
        try:
            return json.loads(data)
        except ValueError as error:
            raise ServiceError(f"{self.name} at {self.url}{path} answered something that is not JSON", 502) from error

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, body: object, caller: Caller | None, more: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = self._headers(caller) | dict(more)
        data = None
        if body is not None:
            data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
            headers["content-type"] = "application/json"
        seconds = caller.remaining() if caller else _LOOK_SECONDS
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=min(seconds, CONNECT_SECONDS))
        session = self._open()
        try:
            response = await session.request(
                method,
                self.url + path,
                data=data,
                headers=headers,
                timeout=timeout,
                ssl=self._ssl,
                allow_redirects=False,
            )
            try:
                if response.status != HTTPStatus.OK:
                    raise await self._failure(response)
                yield response
            finally:
                response.close()  # a connection whose response was read to its end is in the pool already
        except aiohttp.ClientConnectorCertificateError as error:
            raise ServiceError(
                f"{self.name} at {self.url}: its certificate is not trusted; set RAGLINE_CA_BUNDLE to the PEM file of "
                "the authority that signed it"
            ) from error
        except aiohttp.ConnectionTimeoutError as error:
            raise ServiceError(f"{self.name} at {self.url} cannot be reached: it accepts no connection") from error
        except TimeoutError as error:
            raise ServiceError(f"{self.name} did not answer within the {seconds:.1f} s that were left", 504) from error
        except aiohttp.ClientConnectorError as error:
            reason = _reason(error.os_error)
            raise ServiceError(f"{self.name} at {self.url} cannot be reached: {reason}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ServiceError(f"{self.name} at {self.url} closed the connection before it had answered") from error

    def _headers(self, caller: Caller | None) -> dict[str, str]:
        headers = caller.headers() if caller else {}
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        return headers

    async def _failure(self, response: aiohttp.ClientResponse) -> RemoteError:
        """Return the failure that another service's response means."""
        body = await response.content.read(_LONGEST_ERROR)
        status = _OTHERS.get(response.status, response.status)
        message = _message(body) or f"{response.status} {response.reason or ''}".rstrip()
        if status not in STATUSES:
            status = HTTPStatus.BAD_GATEWAY
        return RemoteError(self.name, message, int(status), retry_after=_seconds(response))

    def _open(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._session.closed or self._loop is not loop:
            connector = aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=KEEP_ALIVE_SECONDS)
            # The usual jar would send one caller's cookies with another caller's requests.
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
            self._loop = loop
        return self._session


class RetryBudget:
    """How many retries may be made: a share of the requests, with a small reserve to begin with."""

    def __init__(self) -> None:
        self._left = 1.0

    def request(self) -> None:
        """Count a request."""
        self._left = min(_RETRY_BURST, self._left + RETRY_SHARE)

    def spend(self) -> bool:
        """Take one retry, where there is one left."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


def _trust(ca_bundle: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_bundle is not None:
        try:
            context.load_verify_locations(cafile=ca_bundle)
        except (OSError, ssl.SSLError) as error:
            raise SettingError(
                f"RAGLINE_CA_BUNDLE is {str(ca_bundle)!r}: expected a PEM file with certificates"
            ) from error
    return context


def _reason(error: OSError) -> str:
    if error.errno is not None and error.errno > 0:  # asyncio words it in its own way, and with the address once more
        return os.strerror(error.errno)
    return error.strerror or type(error).__name__


def _message(body: bytes) -> str:
    """Return what a response says of its failure, in the forms of KServe, OpenAI, Triton and FastAPI."""
    try:
        found = json.loads(body)
    except ValueError:
        found = body.decode("utf-8", "replace")
    if isinstance(found, dict):
        found = found.get("error") or found.get("detail") or found.get("message") or ""
    if isinstance(found, dict):
        found = found.get("message") or ""
    text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
    return " ".join(text.split())[:_LONGEST_MESSAGE]


def _seconds(response: aiohttp.ClientResponse) -> float:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 6 else 0.0
