"""Settings: read from the environment, typed, and silent about secrets."""

from pathlib import Path

import pytest

from ragline.errors import CredentialsError, SettingError
from ragline.settings import VARIABLES, S3Settings, Settings

SECRET = "secret/of+this+test"


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment with keys and nothing else."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    return monkeypatch


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any variable, the store is a folder here and the cache one in the home folder."""
    monkeypatch.setenv("HOME", "/srv/someone")
    settings = Settings.from_environment()
    assert (settings.store, settings.cache) == (".ragline", Path("/srv/someone/.cache/ragline"))
    assert settings.threads >= 1


def test_values_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each RAGLINE_ variable sets its field."""
    for name, value in {"STORE": "s3://bucket/prefix", "CACHE": "~/cache", "THREADS": " 3\n"}.items():
        monkeypatch.setenv(f"RAGLINE_{name}", value)
    monkeypatch.setenv("HOME", "/srv/someone")
    assert Settings.from_environment() == Settings("s3://bucket/prefix", Path("/srv/someone/cache"), 3)


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "²"])
def test_malformed_thread_count(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """The error names the variable, its value and what is expected."""
    monkeypatch.setenv("RAGLINE_THREADS", value)
    with pytest.raises(SettingError, match=f"RAGLINE_THREADS is '{value}': expected a whole number of at least 1"):
        Settings.from_environment()


def test_every_variable_is_described_once() -> None:
    """The table has one line for each variable, with a meaning."""
    names = [variable.name for variable in VARIABLES]
    assert len(names) == len(set(names))
    assert all(variable.meaning for variable in VARIABLES)


def test_only_settings_reads_the_environment() -> None:
    """No other module of the library looks into os.environ."""
    library = Path(__file__).resolve().parents[1] / "ragline"
    readers = {path.name for path in library.rglob("*.py") if {"os.environ", "os.getenv"} & _words(path)}
    assert readers == {"settings.py"}


def _words(path: Path) -> set[str]:
    return {word for word in ("os.environ", "os.getenv") if word in path.read_text("utf-8")}


def test_aws_without_endpoint(keys: pytest.MonkeyPatch) -> None:
    """Without an endpoint it is AWS, over https, and the region is asked."""
    assert S3Settings.from_environment() == S3Settings("s3.amazonaws.com", True, "KEY", SECRET)


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({"AWS_ENDPOINT_URL": "http://minio:9000"}, "http://minio:9000"),
        ({"AWS_ENDPOINT_URL": "https://minio.example/"}, "https://minio.example"),
        ({"AWS_ENDPOINT_URL": "minio:9000"}, "https://minio:9000"),
        ({"S3_ENDPOINT": "minio:9000", "S3_USE_HTTPS": "0"}, "http://minio:9000"),
        ({"S3_ENDPOINT": "minio:9000", "S3_USE_HTTPS": "True"}, "https://minio:9000"),
        ({"S3_ENDPOINT": "http://minio:9000", "S3_USE_HTTPS": "1"}, "http://minio:9000"),
        ({"AWS_ENDPOINT_URL": "http://first:1", "S3_ENDPOINT": "second:2"}, "http://first:1"),
        ({"AWS_ENDPOINT_URL": "http://[::1]:9000"}, "http://[::1]:9000"),
        ({"AWS_ENDPOINT_URL": "http://minio:9000", "S3_VERIFY_SSL": "0"}, "http://minio:9000"),
    ],
)
def test_endpoint(keys: pytest.MonkeyPatch, variables: dict[str, str], url: str) -> None:
    """The endpoint is read in each form in which KServe and boto3 write it."""
    for name, value in variables.items():
        keys.setenv(name, value)
    assert S3Settings.from_environment().url == url


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"AWS_ENDPOINT_URL": "ftp://minio"}, "AWS_ENDPOINT_URL is 'ftp://minio': expected http"),
        (
            {"AWS_ENDPOINT_URL": "http://minio/path"},
            "AWS_ENDPOINT_URL is 'http://minio/path': expected .*without a path",
        ),
        ({"S3_ENDPOINT": "minio:port"}, "S3_ENDPOINT is 'minio:port': expected"),
        ({"S3_ENDPOINT": "https://"}, "S3_ENDPOINT is 'https://': expected"),
        ({"S3_USE_HTTPS": "maybe"}, "S3_USE_HTTPS is 'maybe': expected 1, 0, true or false"),
        ({"S3_VERIFY_SSL": "0"}, "S3_VERIFY_SSL is '0': certificates are always verified.*AWS_CA_BUNDLE"),
        ({"AWS_CA_BUNDLE": "/no/such.pem"}, "AWS_CA_BUNDLE is '/no/such.pem': expected an existing PEM file"),
        ({"RAGLINE_STORE_RETRY_SECONDS": "nan"}, "RAGLINE_STORE_RETRY_SECONDS is 'nan': expected seconds"),
    ],
)
def test_malformed_s3_variable(keys: pytest.MonkeyPatch, variables: dict[str, str], message: str) -> None:
    """The error names the variable, its value and what is expected."""
    for name, value in variables.items():
        keys.setenv(name, value)
    with pytest.raises(SettingError, match=message):
        S3Settings.from_environment()


def test_credentials_in_the_endpoint_are_refused_unseen(keys: pytest.MonkeyPatch) -> None:
    """The message names the variable but not its value."""
    keys.setenv("AWS_ENDPOINT_URL", f"https://KEY:{SECRET}@minio")
    with pytest.raises(SettingError, match="AWS_ENDPOINT_URL holds credentials") as caught:
        S3Settings.from_environment()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_missing_key(keys: pytest.MonkeyPatch, name: str) -> None:
    """The error names the variable that is missing."""
    keys.setenv(name, "")
    with pytest.raises(CredentialsError, match=f"{name} is not set"):
        S3Settings.from_environment()


def test_white_space_around_keys(keys: pytest.MonkeyPatch) -> None:
    """A new line at the end, as `echo` leaves it in a Secret, does not belong to the key; one inside is refused."""
    keys.setenv("AWS_SECRET_ACCESS_KEY", SECRET + "\n")
    assert S3Settings.from_environment().secret_key == SECRET
    keys.setenv("AWS_SECRET_ACCESS_KEY", SECRET + "\nX-Header: 1")
    with pytest.raises(CredentialsError, match="AWS_SECRET_ACCESS_KEY holds white space") as caught:
        S3Settings.from_environment()
    assert SECRET not in str(caught.value)


def test_region_and_token(keys: pytest.MonkeyPatch) -> None:
    """The region that KServe injects precedes the one of the machine; the token is passed on."""
    for name, value in {"AWS_REGION": "eu-west-1", "AWS_SESSION_TOKEN": "TOKEN"}.items():
        keys.setenv(name, value)
    assert S3Settings.from_environment().region == "eu-west-1"
    keys.setenv("AWS_DEFAULT_REGION", "us-west-2")
    settings = S3Settings.from_environment()
    assert (settings.region, settings.session_token) == ("us-west-2", "TOKEN")


def test_repr_hides_the_keys() -> None:
    """Neither the keys nor the token are shown."""
    shown = repr(S3Settings("minio:9000", True, "KEY", SECRET, "TOKEN"))
    assert shown == "S3Settings(host='minio:9000', secure=True, region=None, ca_bundle=None, retry_seconds=30.0)"
