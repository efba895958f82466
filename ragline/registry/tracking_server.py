"""An MLflow server's REST interface: its answers, its refusals and its silence as errors that say what to do."""

import json
import re
import ssl
from collections.abc import Mapping
from typing import Any

import certifi
import urllib3
from urllib3.exceptions import HTTPError, SSLError

from ragline.errors import CertificateError, CredentialsError, SettingError, StoreError, StoreUnavailableError
from ragline.settings import RegistrySettings

_API = "/api/2.0/mlflow/"
_CONNECT_SECONDS, _READ_SECONDS = 3.0, 5.0
_ABSENT = {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"}
_NO_ALIAS = re.compile(r"alias .* not found")
_BUSY = {429, 503}
_LONGEST = 300


class TrackingServer:
    """Sends requests to an MLflow server; no answer within seconds is an error, so that nothing waits for it.

    Example:
        >>> TrackingServer(settings).find("registered-models/get", "read model 'docs'", name="docs")  # doctest: +SKIP
        {'registered_model': {'name': 'docs', ...}}
    """

    def __init__(self, settings: RegistrySettings) -> None:
        self.url = settings.url
        self._settings = settings
        trust: dict[str, Any] = {"ssl_context": _trust(settings)} if settings.url.startswith("https") else {}
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS), headers=_headers(settings), **trust
        )

    def find(self, path: str, doing: str, **parameters: Any) -> dict[str, Any] | None:
        """Ask for something that may not be there.

        Args:
            path: below the interface's prefix.
            doing: what for, and with which permission; for messages.
            parameters: of the request.

        Returns:
            The answer; None if there is no such thing.

        Raises:
            CredentialsError: the user is not known, or has no permission.
            StoreUnavailableError: there is no answer.
            StoreError: the server refuses, or is no MLflow server.
        """
        response = self._send("GET", f"{_API}{path}", doing, {"fields": parameters})
        return None if _is_absent(response) else self._answer(response, doing)

    def change(self, method: str, path: str, doing: str, **parameters: Any) -> dict[str, Any]:
        """Change something; arguments and errors as `find`."""
        return self._answer(self._send(method, f"{_API}{path}", doing, {"json": parameters}), doing)

    def put(self, path: str, doing: str, data: bytes) -> None:
        """Store an artifact through the server, below its root; errors as `find`."""
        response = self._send("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{path}", doing, {"body": data})
        self._check(response, doing)

    def _send(self, method: str, path: str, doing: str, options: dict[str, Any]) -> urllib3.BaseHTTPResponse:
        # Repeated only when the server says that it is busy: then nothing was done.
        retries = urllib3.Retry(2, connect=0, read=0, other=0, redirect=0, status_forcelist=_BUSY, backoff_factor=0.2)
        retries = retries.new(allowed_methods=None, raise_on_redirect=False, raise_on_status=False)
        try:
            return self._pool.request(method, self.url + path, redirect=False, retries=retries, **options)
        except HTTPError as exc:
            raise self._silence(exc, doing) from exc

    def _silence(self, exc: HTTPError, doing: str) -> StoreError:
        cause = getattr(exc, "reason", None) or exc
        inner = cause.args[0] if isinstance(cause, SSLError) and cause.args else None
        failed = f"cannot {doing} at {self.url}"
        if isinstance(inner, ssl.SSLCertVerificationError):
            return CertificateError(
                f"{failed}: the certificate is not trusted ({inner.verify_message}): set "
                "MLFLOW_TRACKING_SERVER_CERT_PATH to the PEM file of its authority, or correct MLFLOW_TRACKING_URI"
            )
        return StoreUnavailableError(
            f"{failed}: no answer ({_reason(cause)}): is the MLflow server up? check MLFLOW_TRACKING_URI"
        )

    def _answer(self, response: urllib3.BaseHTTPResponse, doing: str) -> dict[str, Any]:
        self._check(response, doing)
        value = _json(response)
        if value is None:
            raise StoreError(
                f"cannot {doing} at {self.url}: the answer is not of MLflow: MLFLOW_TRACKING_URI names another server, "
                "or one that wants a login first"
            )
        return value

    def _check(self, response: urllib3.BaseHTTPResponse, doing: str) -> None:
        status, failed = response.status, f"cannot {doing} at {self.url}"
        if status == 401 or status == 403:
            raise CredentialsError(f"{failed}: {self._refusal(status)} (HTTP {status})")
        if 300 <= status < 400:
            raise StoreError(
                f"{failed}: the server sends us elsewhere (HTTP {status}): set MLFLOW_TRACKING_URI to the address "
                "itself, and MLFLOW_TRACKING_TOKEN if it wants a login"
            )
        if status >= 400:
            kind = StoreUnavailableError if status >= 500 or status == 429 else StoreError
            raise kind(f"{failed}: HTTP {status}: {self._said(response)}")

    def _refusal(self, status: int) -> str:
        settings = self._settings
        if settings.username:
            who = f"user {settings.username!r} of MLFLOW_TRACKING_USERNAME"
            wrong = "MLFLOW_TRACKING_USERNAME or MLFLOW_TRACKING_PASSWORD is wrong"
        elif settings.token:
            who, wrong = "the bearer of MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_TOKEN is wrong or has expired"
        else:
            who = "who comes without credentials"
            wrong = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        return wrong if status == 401 else f"{who} has not the permission"

    def _said(self, response: urllib3.BaseHTTPResponse) -> str:
        value = _json(response)
        said = str(value.get("message", "")) if value else response.data.decode("utf-8", "replace")
        for secret in (self._settings.password, self._settings.token):
            said = said.replace(secret, "...") if secret else said
        return _one_line(said) or "no reason is given"


def _headers(settings: RegistrySettings) -> Mapping[str, str]:
    if settings.username:
        return urllib3.make_headers(basic_auth=f"{settings.username}:{settings.password}")
    return {"authorization": f"Bearer {settings.token}"} if settings.token else {}


def _trust(settings: RegistrySettings) -> ssl.SSLContext:
    if settings.ca_bundle is None:
        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())  # slim images have no authorities of their own
        return context
    try:
        return ssl.create_default_context(cafile=str(settings.ca_bundle))
    except (ssl.SSLError, OSError) as exc:
        name = "MLFLOW_TRACKING_SERVER_CERT_PATH"
        raise SettingError(f"{name} is {str(settings.ca_bundle)!r}: expected a PEM file ({exc})") from exc


def _json(response: urllib3.BaseHTTPResponse) -> dict[str, Any] | None:
    try:
        value = json.loads(response.data)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _is_absent(response: urllib3.BaseHTTPResponse) -> bool:
    if response.status not in {400, 404}:
        return False
    said = _json(response) or {}
    # A missing alias is a malformed parameter to MLflow.
    return said.get("error_code") in _ABSENT or bool(_NO_ALIAS.search(str(said.get("message", ""))))


def _reason(cause: BaseException) -> str:
    """Return what happened, without the address of a Python object that urllib3 puts first."""
    return _one_line(str(cause).rpartition(">: ")[2] or type(cause).__name__)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST]
