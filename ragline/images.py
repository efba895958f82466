"""Image references: registry + name + version of this package, so that code and image never differ.

Read when a pipeline is compiled. The registry is RAGLINE_IMAGE_REGISTRY (see `ragline.settings`); the tag is not
configurable, because a component's body calls the ragline that its image holds.
"""

from typing import Literal

from ragline import __version__
from ragline.settings import ImageSettings

Image = Literal["local", "serve", "train", "triton"]
"""The folders of images/ that have a Dockerfile."""


def reference(image: Image) -> str:
    """Return the reference of an image, such as `ghcr.io/ragline/ragline-local:0.1.0`.

    Raises:
        SettingError: RAGLINE_IMAGE_REGISTRY is not a registry.
    """
    return f"{ImageSettings.from_environment().registry}/ragline-{image}:{__version__}"
