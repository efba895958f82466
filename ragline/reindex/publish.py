"""Publish a checked index as a release and make it current."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ragline.object_store import open_store
from ragline.reindex.origin import Origin
from ragline.reindex.plan import Plan
from ragline.release import DOCUMENTS, EXACT, Index, Manifest, describe_files, now
from ragline.tables import count_rows

_log = logging.getLogger(__name__)


def publish_release(index: Path, checks: Path, plan: Path, *, store_uri: str, name: str, run: str, deleted: int) -> str:
    """Store the release, then move the pointer to it; return its name.

    The same index again finds its release there and only moves the pointer.

    Args:
        index: folder of `build_index`.
        checks: JSON of `check_index`.
        plan: of the run; the pointer moves only if it is still the one that the run was planned against.
        store_uri: where releases are.
        name: of the index.
        run: that publishes.
        deleted: of `ragline.reindex.build.Built`.

    Raises:
        ConflictError: another run has published meanwhile; its release serves on.
    """
    releases, planned = Index(open_store(store_uri), name), Plan.read(plan)
    origin = planned.origin
    made = _manifest(index, json.loads(checks.read_text(encoding="utf-8")), origin, deleted)
    if releases.has(origin.release) and not planned.rebuild:
        _log.info("release %s is there already: the same documents, chunks and model", origin.release)
    else:
        releases.add(made, index)
    releases.point(made, run, planned=planned.pointer)
    if not releases.has(origin.release):  # an old one, which was being collected: `gc` and we each look after we write
        releases.add(made, index)
    _log.info("release %s of index %s is live in %s", origin.release, name, releases.store.uri)
    return origin.release


def _manifest(index: Path, measures: Mapping[str, Any], origin: Origin, deleted: int) -> Manifest:
    return Manifest(
        release=origin.release,
        digests=origin.digests,
        embedder=origin.embedder,
        counts={
            "documents": count_rows(index / DOCUMENTS),
            "chunks": int(measures["checks"]["chunks"]),
            "dimensions": int(np.load(index / EXACT, mmap_mode="r").shape[1]),
            "deleted": deleted,
        },
        chunking={"size": origin.size, "overlap": origin.overlap},
        documents_uri=origin.documents_uri,
        calibration=measures["calibration"],
        checks=measures["checks"],
        files=describe_files(index),
        created=now(),
    )
