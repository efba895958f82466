"""Image references follow the package's version and the registry of the environment."""

from pathlib import Path
from typing import get_args

import pytest

from ragline import __version__
from ragline.errors import SettingError
from ragline.images import Image, reference

IMAGES = Path(__file__).parent.parent / "images"


def test_reference_is_registry_name_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a setting, the images are the published ones of this version."""
    monkeypatch.delenv("RAGLINE_IMAGE_REGISTRY", raising=False)
    assert reference("local") == f"ghcr.io/ragline/ragline-local:{__version__}"


@pytest.mark.parametrize(
    ("registry", "expected"),
    [
        ("registry.example:5000/team/", "registry.example:5000/team/ragline-local:"),
        (" localhost:5000 \n", "localhost:5000/ragline-local:"),
        ("", "ghcr.io/ragline/ragline-local:"),
    ],
)
def test_registry_comes_from_the_environment(registry: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """RAGLINE_IMAGE_REGISTRY replaces the registry, never the tag."""
    monkeypatch.setenv("RAGLINE_IMAGE_REGISTRY", registry)
    assert reference("local") == expected + __version__


@pytest.mark.parametrize("registry", ["https://registry.example", "registry.example/Team", "registry.example/a:1"])
def test_malformed_registry_is_refused(registry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Docker would refuse on the cluster is refused when compiling."""
    monkeypatch.setenv("RAGLINE_IMAGE_REGISTRY", registry)
    with pytest.raises(SettingError, match=r"RAGLINE_IMAGE_REGISTRY is .* expected host"):
        reference("local")


def test_every_dockerfile_has_a_reference() -> None:
    """A component can name exactly the images that are built."""
    assert {path.parent.name for path in IMAGES.glob("*/Dockerfile")} == set(get_args(Image))
