"""What one release has that another has not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ragline.reindex.changes import Changes, compare
from ragline.release import Index, Manifest


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two releases differ.

    Attributes:
        before: the manifest that is compared from.
        after: the manifest that is compared to.
        changes: of the documents.
        settings: what else they are made with, where it differs: (before, after) by name.
    """

    before: Manifest
    after: Manifest
    changes: Changes
    settings: Mapping[str, tuple[Any, Any]]


def compare_releases(index: Index, before: str, after: str) -> Comparison:
    """Compare two releases by name; only their lists of documents are fetched.

    Raises:
        NoReleaseError: there is no such release.
        DamagedReleaseError: a list of documents is missing or not what its manifest says.
    """
    one, other = index.manifest(before), index.manifest(after)
    old, new = _settings(one), _settings(other)
    return Comparison(
        before=one,
        after=other,
        changes=compare(index.documents(one), index.documents(other)),
        settings={name: (old[name], new[name]) for name in old if old[name] != new[name]},
    )


def _settings(manifest: Manifest) -> dict[str, Any]:
    return {
        "embedder": manifest.embedder,
        "model": manifest.digests["model"],
        "chunk size": manifest.chunking["size"],
        "chunk overlap": manifest.chunking["overlap"],
        "chunks": manifest.counts["chunks"],
        "documents uri": manifest.documents_uri,
        "ragline": manifest.version,
    }
