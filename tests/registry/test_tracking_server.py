"""Requests to something that is no MLflow server, or no server at all: one clear error within seconds."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from ragline.embedding.model import find_model
from ragline.errors import (
    CertificateError,
    CredentialsError,
    RaglineError,
    SettingError,
    StoreError,
    StoreUnavailableError,
)
from ragline.registry.tracking_server import TrackingServer
from ragline.settings import RegistrySettings

SECRET = "made-up-password"


@contextmanager
def answering(
    status: int, body: bytes, *headers: tuple[str, str], context: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Run a server that gives every request the same answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for header in (*headers, ("Content-Length", str(len(body)))):
                self.send_header(*header)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"{'https' if context else 'http'}://localhost:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def silent(*, listening: bool) -> Iterator[str]:
    """Hold a port that refuses connections, or one that accepts them and never answers."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        if listening:
            holder.listen()
        yield f"http://127.0.0.1:{holder.getsockname()[1]}"


def ask(url: str, **settings: Any) -> object:
    """Ask for something."""
    return TrackingServer(RegistrySettings(url, **settings)).find(
        "registered-models/get", "read model 'docs'", name="d"
    )


@pytest.mark.parametrize("listening", [False, True])
def test_a_server_that_does_not_answer(listening: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for it: the variable is named within seconds."""
    begun = time.monotonic()
    with silent(listening=listening) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        message = (
            f"cannot read models:/docs@champion at {url}: no answer .*is the MLflow server up.*MLFLOW_TRACKING_URI"
        )
        with pytest.raises(StoreUnavailableError, match=message):
            find_model("models:/docs@champion")
    assert time.monotonic() - begun < 8


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (
            200,
            b"<html>Please log in</html>",
            StoreError,
            "the answer is not of MLflow: MLFLOW_TRACKING_URI names another",
        ),
        (200, b"[]", StoreError, "the answer is not of MLflow"),
        (302, b"", StoreError, r"sends us elsewhere \(HTTP 302\): set MLFLOW_TRACKING_URI to the address itself"),
        (404, b"<html>not found</html>", StoreError, "HTTP 404: <html>not found</html>"),
        (400, b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "no\\nsuch"}', StoreError, "HTTP 400: no such$"),
        (500, b"", StoreUnavailableError, "HTTP 500: no reason is given"),
        (503, b"busy", StoreUnavailableError, "HTTP 503: busy"),
        (401, SECRET.encode(), CredentialsError, "MLFLOW_TRACKING_USERNAME or MLFLOW_TRACKING_PASSWORD is wrong"),
        (403, SECRET.encode(), CredentialsError, "user 'me' of MLFLOW_TRACKING_USERNAME has not the permission"),
        (418, b"your password is " + SECRET.encode(), StoreError, r"HTTP 418: your password is \.\.\.$"),
    ],
)
def test_an_answer_that_is_none(status: int, body: bytes, kind: type[StoreError], message: str) -> None:
    """What is wrong, and with which variable; a redirect, which would take the credentials along, is not followed."""
    headers = [("Location", "http://127.0.0.1:1/login")] if status == 302 else []
    with (
        answering(status, body, *headers) as url,
        pytest.raises(kind, match=f"cannot read model 'docs' at .*{message}") as caught,
    ):
        ask(url, username="me", password=SECRET)
    assert type(caught.value) is kind
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "settings", "message"),
    [
        (401, {}, "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"),
        (403, {}, "who comes without credentials has not the permission"),
        (401, {"token": SECRET}, "MLFLOW_TRACKING_TOKEN is wrong or has expired"),
        (403, {"token": SECRET}, "the bearer of MLFLOW_TRACKING_TOKEN has not the permission"),
    ],
)
def test_refusals_name_the_credentials_in_use(status: int, settings: dict[str, str], message: str) -> None:
    """A token, or none at all; MLflow's own basic-auth app answers a token with HTTP 500."""
    with answering(status, b"") as url, pytest.raises(CredentialsError, match=message):
        ask(url, **settings)


@pytest.mark.parametrize(
    "body",
    [
        b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Registered Model with name=d not found"}',
        b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "Registered model alias champion not found."}',
    ],
)
@pytest.mark.parametrize("status", [400, 404])
def test_what_is_not_there(status: int, body: bytes) -> None:
    """MLflow says it in two ways."""
    with answering(status, body) as url:
        assert ask(url) is None


def test_a_server_of_a_private_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is trusted when its authority is named, and not before."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with answering(200, b"{}", context=context) as url:
        with pytest.raises(CertificateError, match=r"not trusted .*set MLFLOW_TRACKING_SERVER_CERT_PATH to the PEM"):
            ask(url)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{url}/")
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(tmp_path / "ca.pem"))
        settings = RegistrySettings.from_environment()
        assert TrackingServer(settings).find("registered-models/get", "read", name="d") == {}
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(SettingError, match=r"MLFLOW_TRACKING_SERVER_CERT_PATH is .*expected a PEM file"):
        TrackingServer(settings)


@pytest.mark.parametrize(
    ("variables", "kind", "message"),
    [
        ({"URI": ""}, SettingError, "MLFLOW_TRACKING_URI is not set"),
        ({"URI": "sqlite:///mlflow.db"}, SettingError, "MLFLOW_TRACKING_URI is 'sqlite:.*expected http://host:port"),
        ({"URI": "mlflow:5000"}, SettingError, "MLFLOW_TRACKING_URI is 'mlflow:5000': expected http://host:port"),
        ({"URI": f"http://me:{SECRET}@mlflow"}, SettingError, "MLFLOW_TRACKING_URI holds credentials"),
        ({"INSECURE_TLS": "true"}, SettingError, "MLFLOW_TRACKING_INSECURE_TLS is 'true': certificates are always"),
        ({"USERNAME": "me"}, CredentialsError, "MLFLOW_TRACKING_PASSWORD is not set"),
        ({"PASSWORD": SECRET}, CredentialsError, "MLFLOW_TRACKING_USERNAME is not set"),
        ({"TOKEN": f"{SECRET} {SECRET}"}, CredentialsError, "MLFLOW_TRACKING_TOKEN holds white space"),
        (
            {"SERVER_CERT_PATH": "/no.pem"},
            SettingError,
            "MLFLOW_TRACKING_SERVER_CERT_PATH is '/no.pem': expected an ex",
        ),
    ],
)
def test_malformed_variables(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], kind: type[RaglineError], message: str
) -> None:
    """Named, with what is expected; secrets stay unseen."""
    for name, value in ({"URI": "https://mlflow"} | variables).items():
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    with pytest.raises(kind, match=message) as caught:
        RegistrySettings.from_environment()
    assert SECRET not in str(caught.value)


def test_settings_of_a_server_below_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user precedes a token; repr shows neither secret."""
    variables = {
        "URI": "HTTP://gateway:80/mlflow/",
        "USERNAME": "me",
        "PASSWORD": f"{SECRET}\n",
        "TOKEN": "made-up-token",
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    settings = RegistrySettings.from_environment()
    assert settings == RegistrySettings("http://gateway:80/mlflow", "me", SECRET)
    assert SECRET not in repr(settings)
    assert "made-up" not in repr(RegistrySettings("http://mlflow", token="made-up-token"))
