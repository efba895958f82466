"""Settings from the environment: each is read once, into a frozen value; nothing else reads `os.environ`.

S3 settings have the names that KServe injects into a pod and that boto3 reads, so that one Secret serves
all. `ragline.variables` lists every variable with its default and meaning.
"""

import os
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from ragline.errors import CredentialsError, SettingError
from ragline.variables import AWS_ENDPOINT, IMAGE_REGISTRY
from ragline.variables import VARIABLES as VARIABLES


@dataclass(frozen=True, slots=True)
class Settings:
    """What every part of ragline needs to know.

    Attributes:
        store: URI of the object store for releases and vectors.
        cache: folder for what can be fetched again.
        threads: how many threads work may use.
    """

    store: str
    cache: Path
    threads: int

    @classmethod
    def from_environment(cls) -> Self:
        """Read the RAGLINE_* variables.

        Raises:
            SettingError: a variable is malformed.
        """
        return cls(
            store=_text("RAGLINE_STORE") or ".ragline",
            cache=Path(_text("RAGLINE_CACHE") or "~/.cache/ragline").expanduser(),
            threads=_count("RAGLINE_THREADS", default=os.cpu_count() or 1),
        )


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """Where the pipelines' images are.

    Attributes:
        registry: host and path, without a protocol and a trailing slash.
    """

    registry: str = IMAGE_REGISTRY

    @classmethod
    def from_environment(cls) -> Self:
        """Read RAGLINE_IMAGE_REGISTRY.

        Raises:
            SettingError: it is not a registry.
        """
        name = "RAGLINE_IMAGE_REGISTRY"
        registry = _text(name).rstrip("/") or IMAGE_REGISTRY
        host, _, path = registry.partition("/")
        if not _is_host(host) or not re.fullmatch(r"([a-z0-9]+([._-]+[a-z0-9]+)*(/|$))*", path):
            raise _malformed(name, registry, "host[:port]/path in lower case, without a protocol and a tag")
        return cls(registry)


@dataclass(frozen=True, slots=True)
class LlmSettings:
    """What a language model's endpoint asks for.

    Attributes:
        key: sent as a bearer token; "" for an endpoint without keys. Not in repr, never in messages.
    """

    key: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls) -> Self:
        """Read RAGLINE_LLM_API_KEY.

        Raises:
            CredentialsError: it holds more than a key.
        """
        return cls(_key("RAGLINE_LLM_API_KEY", required=False))


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What every service of the chain needs to know.

    Attributes:
        triton: the virtual environment that holds a Triton server: RAGLINE_TRITON.
        ca_bundle: authorities trusted besides the system's: RAGLINE_CA_BUNDLE; None for no others.
        log_level: in upper case, as `logging` has it: RAGLINE_LOG_LEVEL.
        log_texts: whether questions and documents may stand in logs: RAGLINE_LOG_TEXTS.
        otlp_endpoint: where spans go, without a slash at its end: OTEL_EXPORTER_OTLP_ENDPOINT; "" for nowhere. The
            exporter of OpenTelemetry reads OTEL_EXPORTER_OTLP_HEADERS and OTEL_EXPORTER_OTLP_CERTIFICATE itself.
    """

    triton: Path = Path("build/triton")
    ca_bundle: Path | None = None
    log_level: str = "INFO"
    log_texts: bool = False
    otlp_endpoint: str = ""

    @classmethod
    def from_environment(cls) -> Self:
        """Read the variables of the services.

        Raises:
            SettingError: a variable is malformed.
        """
        level = _text("RAGLINE_LOG_LEVEL").upper() or "INFO"
        if level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise _malformed("RAGLINE_LOG_LEVEL", level.lower(), "debug, info, warning or error")
        return cls(
            triton=Path(_text("RAGLINE_TRITON") or "build/triton").expanduser(),
            ca_bundle=_pem("RAGLINE_CA_BUNDLE"),
            log_level=level,
            log_texts=_flag("RAGLINE_LOG_TEXTS", default=False),
            otlp_endpoint=_collector(),
        )


@dataclass(frozen=True, slots=True)
class S3Settings:
    """How to reach an S3 server; neither repr nor messages show the keys.

    | field | from |
    | --- | --- |
    | host, secure | AWS_ENDPOINT_URL, else S3_ENDPOINT with S3_USE_HTTPS, else AWS |
    | access_key, secret_key, session_token | AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN |
    | region | AWS_DEFAULT_REGION, else AWS_REGION, else None: the server is asked |
    | ca_bundle | AWS_CA_BUNDLE, else None: the system's authorities |
    | retry_seconds | RAGLINE_STORE_RETRY_SECONDS |
    """

    host: str
    secure: bool
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    region: str | None = None
    ca_bundle: Path | None = None
    retry_seconds: float = 30.0

    @property
    def url(self) -> str:
        """The endpoint with its protocol, for messages."""
        return f"{'https' if self.secure else 'http'}://{self.host}"

    @classmethod
    def from_environment(cls) -> Self:
        """Read the S3 variables.

        Raises:
            SettingError: a variable is malformed.
            CredentialsError: the keys are not set.
        """
        host, secure = _endpoint()
        return cls(
            host=host,
            secure=secure,
            access_key=_key("AWS_ACCESS_KEY_ID"),
            secret_key=_key("AWS_SECRET_ACCESS_KEY"),
            session_token=_key("AWS_SESSION_TOKEN", required=False) or None,
            region=_text("AWS_DEFAULT_REGION") or _text("AWS_REGION") or None,
            ca_bundle=_ca_bundle() if secure else None,
            retry_seconds=_seconds("RAGLINE_STORE_RETRY_SECONDS", default=30.0),
        )


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """How to reach an MLflow server; neither repr nor messages show the password and the token.

    Attributes:
        url: of the server, without a slash at its end: MLFLOW_TRACKING_URI.
        username: MLFLOW_TRACKING_USERNAME; "" for none.
        password: MLFLOW_TRACKING_PASSWORD; "" for none.
        token: MLFLOW_TRACKING_TOKEN, unless there is a user; "" for none.
        ca_bundle: MLFLOW_TRACKING_SERVER_CERT_PATH, else None: the system's authorities.
    """

    url: str
    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    ca_bundle: Path | None = None

    @classmethod
    def from_environment(cls) -> Self:
        """Read the MLFLOW_TRACKING_* variables.

        Raises:
            SettingError: a variable is missing or malformed.
            CredentialsError: there is a user without a password, or the other way round.
        """
        url = _tracking_url()
        if _flag("MLFLOW_TRACKING_INSECURE_TLS", default=False):
            raise SettingError(
                "MLFLOW_TRACKING_INSECURE_TLS is 'true': certificates are always verified; to trust a private "
                "authority, set MLFLOW_TRACKING_SERVER_CERT_PATH to its PEM file"
            )
        username, password = _text("MLFLOW_TRACKING_USERNAME"), _text("MLFLOW_TRACKING_PASSWORD")
        if bool(username) != bool(password):
            missing = "MLFLOW_TRACKING_PASSWORD" if username else "MLFLOW_TRACKING_USERNAME"
            raise CredentialsError(f"{missing} is not set: MLflow needs a user and a password, or neither")
        token = "" if username else _key("MLFLOW_TRACKING_TOKEN", required=False)
        bundle = _pem("MLFLOW_TRACKING_SERVER_CERT_PATH") if url.startswith("https") else None
        return cls(url, username, password, token, bundle)


@contextmanager
def environment_of_mlflow(settings: RegistrySettings) -> Iterator[None]:
    """Have the mlflow package use these settings, send no usage figures, and give up in a minute, not in an hour."""
    values = {
        "MLFLOW_TRACKING_URI": settings.url,
        "MLFLOW_TRACKING_USERNAME": settings.username,
        "MLFLOW_TRACKING_PASSWORD": settings.password,
        "MLFLOW_TRACKING_TOKEN": settings.token,
        "MLFLOW_TRACKING_SERVER_CERT_PATH": str(settings.ca_bundle or ""),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    }
    with _changed({name: value or None for name, value in values.items()}):
        yield


@contextmanager
def environment_of_steps(programs: Path) -> Iterator[None]:
    """Let subprocesses find the programs of a folder before all others, and kfp know that they are steps.

    The variable is the one that Kubeflow sets in pods; with it, a step does not import kfp's compiler and client,
    which take ten times as long as the rest of it.
    """
    path = f"{programs}{os.pathsep}{os.environ.get('PATH') or os.defpath}"
    with _changed({"PATH": path, "_KFP_RUNTIME": "true"}):
        yield


@contextmanager
def environment_of_services() -> Iterator[None]:
    """Let subprocesses use one thread in numeric libraries: they answer several at once, and more would only spin."""
    with _changed({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}):
        yield


@contextmanager
def _changed(values: Mapping[str, str | None]) -> Iterator[None]:
    """Set variables, or remove those that are None, until the block ends."""
    before = {name: os.environ.get(name) for name in values}
    _set(values)
    try:
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _text(name: str) -> str:
    # A Secret made with `echo` ends with a new line; no setting has meaningful white space at its ends.
    return os.environ.get(name, "").strip()


def _malformed(name: str, value: str, expected: str) -> SettingError:
    return SettingError(f"{name} is {value!r}: expected {expected}")


def _count(name: str, *, default: int) -> int:
    value = _text(name)
    if not value:
        return default
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise _malformed(name, value, "a whole number of at least 1")
    return int(value)


def _seconds(name: str, *, default: float) -> float:
    value = _text(name)
    try:
        seconds = float(value) if value else default
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86400:
        raise _malformed(name, value, "seconds between 0 and 86400")
    return seconds


def _flag(name: str, *, default: bool) -> bool:
    value = _text(name)
    choices = {"": default, "1": True, "true": True, "0": False, "false": False}
    if value.lower() not in choices:
        raise _malformed(name, value, "1, 0, true or false")
    return choices[value.lower()]


def _key(name: str, *, required: bool = True) -> str:
    value = _text(name)
    if required and not value:
        raise CredentialsError(f"{name} is not set: S3 needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if not all("!" <= character <= "~" for character in value):
        raise CredentialsError(f"{name} holds white space or characters outside ASCII: set it to the key alone")
    return value


def _endpoint() -> tuple[str, bool]:
    name = "AWS_ENDPOINT_URL" if _text("AWS_ENDPOINT_URL") else "S3_ENDPOINT"
    value = _text(name) or AWS_ENDPOINT
    secure = _flag("S3_USE_HTTPS", default=True)
    if "@" in value:
        raise SettingError(f"{name} holds credentials (before the '@'): set AWS_ACCESS_KEY_ID and the like instead")
    scheme, separator, rest = value.partition("://")
    if separator:
        secure, host = scheme.lower() == "https", rest.rstrip("/")
    else:
        scheme, host = "http", value.rstrip("/")
    if scheme.lower() not in {"http", "https"} or not _is_host(host):
        raise _malformed(name, value, "http://host:port or https://host:port, without a path")
    return host, secure


def _is_host(host: str) -> bool:
    try:
        url = urllib.parse.urlsplit("//" + host)
        return url.netloc == host and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        return False


def _ca_bundle() -> Path | None:
    if not _flag("S3_VERIFY_SSL", default=True):
        raise SettingError(
            "S3_VERIFY_SSL is '0': certificates are always verified; to trust a private authority, "
            "set AWS_CA_BUNDLE to its PEM file"
        )
    return _pem("AWS_CA_BUNDLE")


def _pem(name: str) -> Path | None:
    value = _text(name)
    if not value:
        return None
    if not Path(value).is_file():
        raise _malformed(name, value, "an existing PEM file")
    return Path(value)


def _collector() -> str:
    name = "OTEL_EXPORTER_OTLP_ENDPOINT"
    value = _text(name).rstrip("/")
    if "@" in value:
        raise SettingError(f"{name} holds credentials (before the '@'): set OTEL_EXPORTER_OTLP_HEADERS instead")
    scheme, _, rest = value.partition("://")
    if value and (scheme not in {"http", "https"} or not _is_host(rest.partition("/")[0])):
        raise _malformed(name, value, "http://host:port or https://host:port")
    return value


def _tracking_url() -> str:
    name = "MLFLOW_TRACKING_URI"
    value = _text(name)
    if not value:
        raise SettingError(
            f"{name} is not set: registered models are kept by an MLflow server; set it to http://host:port"
        )
    if "@" in value:
        raise SettingError(
            f"{name} holds credentials (before the '@'): "
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
        )
    scheme, _, rest = value.partition("://")
    if scheme.lower() not in {"http", "https"} or not _is_host(rest.partition("/")[0]) or {"?", "#"} & set(rest):
        raise _malformed(name, value, "http://host:port or https://host:port; a file or a database is no server")
    return f"{scheme.lower()}://{rest.rstrip('/')}"
