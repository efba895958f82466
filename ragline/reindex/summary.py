"""Close a run: its summary for scripts, its report for people, both kept beside the releases."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ragline.object_store import open_store
from ragline.reindex.plan import Changes, read_plan
from ragline.reindex.report import render_report
from ragline.release import Index, Manifest
from ragline.tables import read_rows

_SHOWN = 50
_BINS = 16


def report_run(
    unreadable: Path,
    chunks: Path,
    plan: Path,
    report: Path,
    *,
    store_uri: str,
    name: str,
    run: str,
    release: str,
    embedded: int,
    seconds: Mapping[str, float],
) -> str:
    """Write the report of a run, and return its summary as JSON.

    Args:
        unreadable: JSON Lines of the snapshot.
        chunks: Parquet of the chunks.
        plan: JSON of the plan.
        report: HTML file to write.
        store_uri: where the run's report is kept: indexes/<name>/runs/<run>/.
        name: of the index.
        run: name of the run.
        release: that was published.
        embedded: number of texts embedded.
        seconds: how long each step took.
    """
    index, planned = Index(open_store(store_uri), name), read_plan(plan)
    manifest = index.manifest(release)
    problems = [json.loads(line) for line in unreadable.read_text(encoding="utf-8").splitlines()]
    summary: dict[str, Any] = {
        "name": name,
        "run": run,
        "release": release,
        "previous_release": planned.previous,
        "documents": {**_counts(planned.changes), "unreadable": len(problems)},
        "chunks": manifest.counts["chunks"],
        "embedded": embedded,
        "seconds": dict(seconds),
    }
    page = render_report({**summary, **_details(manifest, planned.changes, chunks, store_uri)}, problems)
    report.write_text(page, encoding="utf-8")
    summary["unreadable"] = problems[:_SHOWN]
    text = json.dumps(summary, ensure_ascii=False)
    index.write_run(run, {"report.html": page.encode(), "summary.json": text.encode()})
    return text


def _counts(changes: Changes) -> dict[str, int]:
    return {
        "added": len(changes.added),
        "changed": len(changes.changed),
        "moved": len(changes.moved),
        "removed": len(changes.removed),
        "unchanged": changes.unchanged,
    }


def _details(manifest: Manifest, changes: Changes, chunks: Path, store_uri: str) -> dict[str, Any]:
    lists = {key: value[:_SHOWN] for key, value in asdict(changes).items() if key != "unchanged"}
    return {
        "changes": lists,
        "tokens": _histogram([row["tokens"] for row in read_rows(chunks, ["tokens"])]),
        "store_uri": store_uri,
        "documents_uri": manifest.documents_uri,
        "embedder": manifest.embedder,
        "checks": manifest.checks,
        "calibration": manifest.calibration,
        "digests": manifest.digests,
        "size_bytes": sum(file["bytes"] for file in manifest.files.values()),
        "created": manifest.created,
        "version": manifest.version,
    }


def _histogram(tokens: list[int]) -> dict[str, Any]:
    width = max(1, -(-(max(tokens, default=0) + 1) // _BINS))
    counts = [0] * _BINS
    for count in tokens:
        counts[count // width] += 1
    bins = [[number * width, (number + 1) * width, count] for number, count in enumerate(counts)]
    return {"histogram": bins, "mean": sum(tokens) / max(1, len(tokens))}
