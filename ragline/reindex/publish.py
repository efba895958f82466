"""Publish a checked index as a release and make it current."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ragline import digests
from ragline.embedding.model import find_model
from ragline.object_store import open_store
from ragline.reindex.build import EXACT
from ragline.release import DOCUMENTS, INDEX_VERSION, Index, Manifest, describe_files, now
from ragline.tables import count_rows

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Origin:
    """What an index was made from; together this names the release.

    Attributes:
        corpus: digest of the snapshot.
        chunks: digest of the chunks.
        model: digest of the embedder.
        size: chunk size in tokens.
        overlap: chunk overlap in tokens.
        documents_uri: where the documents were.
        embedder: the embedder's name.
    """

    corpus: str
    chunks: str
    model: str
    size: int
    overlap: int
    documents_uri: str
    embedder: str

    @property
    def digest(self) -> str:
        """Digest of the index: equal for equal documents, chunks and model, on any machine."""
        return digests.of_json([INDEX_VERSION, self.corpus, self.chunks, self.model])


def publish_release(index: Path, checks: Path, *, store_uri: str, name: str, run: str, origin: Origin) -> str:
    """Store the release, then move the pointer to it; return its name.

    The same index again finds its release there and only moves the pointer, if need be.

    Args:
        index: folder of `build_index`.
        checks: JSON of `check_index`.
        store_uri: where releases are.
        name: of the index.
        run: that publishes.
        origin: what the index was made from.
    """
    store = open_store(store_uri)
    releases = Index(store, name)
    release = origin.digest[:16]
    if releases.has(release):
        manifest = releases.manifest(release)
        _log.info("release %s is there already: the same documents, chunks and model", release)
    else:
        manifest = _manifest(index, json.loads(checks.read_text(encoding="utf-8")), origin, release)
        releases.add(manifest, index)
    releases.point(manifest, run)
    _log.info("release %s of index %s is live in %s", release, name, store.uri)
    return release


def _manifest(index: Path, measures: Mapping[str, Any], origin: Origin, release: str) -> Manifest:
    files = describe_files(index)
    files.pop(EXACT)
    facts = asdict(origin)
    return Manifest(
        release=release,
        digests={"index": origin.digest, **{key: facts[key] for key in ("corpus", "chunks", "model")}},
        embedder=origin.embedder,
        counts={
            "documents": count_rows(index / DOCUMENTS),
            "chunks": int(measures["checks"]["chunks"]),
            "dimensions": find_model(origin.embedder).dimensions,
        },
        chunking={"size": origin.size, "overlap": origin.overlap},
        documents_uri=origin.documents_uri,
        calibration=measures["calibration"],
        checks=measures["checks"],
        files=files,
        created=now(),
    )
