"""Close a run: its summary for scripts, its report for people, both kept beside the releases."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ragline.object_store import open_store
from ragline.reindex.changes import Changes
from ragline.reindex.duration import embedding_rate
from ragline.reindex.plan import Plan
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
    embedded: int,
    seconds: Mapping[str, float],
) -> str:
    """Write the report of a run, and return its summary as JSON.

    Args:
        unreadable: JSON Lines of the snapshot.
        chunks: Parquet of the chunks.
        plan: JSON of the plan; what it planned is live.
        report: HTML file to write.
        store_uri: where the run's report is kept: indexes/<name>/runs/<run>/.
        name: of the index.
        run: name of the run.
        embedded: number of texts embedded.
        seconds: how long each step took.
    """
    index, planned = Index(open_store(store_uri), name), Plan.read(plan)
    manifest = index.manifest(planned.origin.release)
    problems = [json.loads(line) for line in unreadable.read_text(encoding="utf-8").splitlines()]
    summary: dict[str, Any] = {
        "name": name,
        "run": run,
        "release": manifest.release,
        "previous_release": planned.previous,
        "documents": {**planned.changes.counts(), "unreadable": len(problems)},
        "chunks": manifest.counts["chunks"],
        "embedded": embedded,
        "seconds": dict(seconds),
        "tokens_per_second": embedding_rate(index, planned.tokens, seconds.get("embed", 0.0)),
    }
    page = render_report({**summary, **_details(manifest, planned.changes, chunks, store_uri)}, problems)
    report.write_text(page, encoding="utf-8")
    summary["unreadable"] = problems[:_SHOWN]
    text = json.dumps(summary, ensure_ascii=False)
    index.write_run(run, {"report.html": page.encode(), "summary.json": text.encode()})
    return text


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
