"""The settings of the services."""

from pathlib import Path

import pytest

from ragline.errors import SettingError
from ragline.settings import ServiceSettings


def test_defaults() -> None:
    """Without any variable: the system's authorities, no texts in logs, no traces."""
    assert ServiceSettings.from_environment() == ServiceSettings(Path("build/triton"), None, "INFO", False, "")


def test_values_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each variable sets its field."""
    bundle = tmp_path / "ca.pem"
    bundle.write_text("")
    values = {
        "RAGLINE_TRITON": "/srv/triton",
        "RAGLINE_CA_BUNDLE": str(bundle),
        "RAGLINE_LOG_LEVEL": "warning",
        "RAGLINE_LOG_TEXTS": "1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    expected = ServiceSettings(Path("/srv/triton"), bundle, "WARNING", True, "http://collector:4318")
    assert ServiceSettings.from_environment() == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("RAGLINE_CA_BUNDLE", "/missing.pem", "an existing PEM file"),
        ("RAGLINE_LOG_LEVEL", "loud", "debug, info, warning or error"),
        ("RAGLINE_LOG_TEXTS", "perhaps", "1, 0, true or false"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "http://host:port or https://host:port"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://collector", "http://host:port or https://host:port"),
    ],
)
def test_malformed_values(monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str) -> None:
    """The error names the variable, its value and what is expected."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError) as caught:
        ServiceSettings.from_environment()
    assert str(caught.value) == f"{name} is {value!r}: expected {expected}"


def test_credentials_in_the_collectors_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have a variable of their own, and are not shown."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://user:secret@collector:4318")
    with pytest.raises(SettingError, match="OTEL_EXPORTER_OTLP_HEADERS") as caught:
        ServiceSettings.from_environment()
    assert "secret" not in str(caught.value)
