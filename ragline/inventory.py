"""What lies in the store below a release, against what its manifest lists; nothing is downloaded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ragline.release import Index, Manifest

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a release, and with which of its files."""

    file: str
    detail: str

    def __str__(self) -> str:
        return f"{self.file} {self.detail}"


def stored_sizes(index: Index, release: str) -> dict[str, int]:
    """Return the size in bytes of everything below a release but its manifest, by path."""
    prefix = index.prefix_of(release)
    sizes = {info.key.removeprefix(prefix): info.size for info in index.store.list(prefix)}
    sizes.pop(MANIFEST, None)
    return sizes


def absences(manifest: Manifest, sizes: Mapping[str, int]) -> Iterator[Problem]:
    """Yield the files that are missing or have another size; this costs one listing, no download."""
    for path, facts in manifest.files.items():
        if path not in sizes:
            yield Problem(path, "is missing")
        elif sizes[path] != facts["bytes"]:
            yield Problem(path, f"has {sizes[path]} bytes, {facts['bytes']} in the manifest")
