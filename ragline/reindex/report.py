"""The page that a person reads after a run: what changed, how long it took, what could not be read."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_STYLE = """
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #8884;vertical-align:top;word-break:break-word}
.tiles{display:flex;flex-wrap:wrap;gap:.75rem}.tile{border:1px solid #8884;border-radius:.5rem;padding:.5rem 1rem}
.tile b{display:block;font-size:1.4rem}svg{width:100%;height:auto}svg rect{fill:#3b7dd8}svg text{fill:currentColor;font-size:12px}
"""


def render_report(summary: Mapping[str, Any], problems: Sequence[Mapping[str, str]]) -> str:
    """Return a self-contained HTML page.

    Args:
        summary: of the run, with `changes`, `tokens`, `checks` and `digests` (`ragline.reindex.summary`).
        problems: source, reason and detail of what could not be read.
    """
    documents = summary["documents"]
    parts = [
        f"<h1>Release {_text(summary['release'])} of index {_text(summary['name'])} is live</h1>",
        f"<p>{_verdict(summary)}</p>",
        _tiles({**documents, "chunks": summary["chunks"], "embedded": summary["embedded"]}),
        _section("Seconds per step", _bars([(step, seconds) for step, seconds in summary["seconds"].items()])),
        _section("Chunk sizes, in tokens", _bars([(f"{low}-{high}", n) for low, high, n in summary["tokens"]["histogram"]])),
        _section("Could not be read", _table((p["source"], p["reason"], p["detail"]) for p in problems)),
        *(_section(kind.capitalize(), _table(map(_row, entries))) for kind, entries in summary["changes"].items()),
        _section("Checks", _table({**summary["checks"], **summary["calibration"]}.items())),
        _section("Made from", _table([("documents", summary["documents_uri"]), *summary["digests"].items()])),
    ]
    title = f"ragline: {_text(summary['name'])}"
    return f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>{''.join(parts)}"


def _verdict(summary: Mapping[str, Any]) -> str:
    documents = summary["documents"]
    counts = ", ".join(f"{count} {kind}" for kind, count in documents.items() if kind != "unreadable" and count)
    unread = f" {documents['unreadable']} could not be read." if documents["unreadable"] else ""
    return _text(f"{counts or 'No documents'} since the release before; {summary['embedded']} texts embedded.{unread}")


def _row(entry: Any) -> tuple[Any, ...]:
    return tuple(entry) if isinstance(entry, list | tuple) else (entry,)


def _tiles(values: Mapping[str, Any]) -> str:
    tiles = "".join(f"<div class=tile><b>{value}</b>{_text(name)}</div>" for name, value in values.items())
    return f"<div class=tiles>{tiles}</div>"


def _bars(values: Sequence[tuple[str, float]]) -> str:
    highest = max((value for _, value in values), default=0) or 1
    bars = "".join(
        f"<text x=0 y={22 * row + 15}>{_text(name)}</text>"
        f"<rect x=90 y={22 * row + 3} width={460 * value / highest:.1f} height=16></rect>"
        f"<text x={96 + 460 * value / highest:.1f} y={22 * row + 15}>{value:g}</text>"
        for row, (name, value) in enumerate(values)
    )
    return f"<svg viewBox='0 0 640 {22 * len(values) + 4}' role=img>{bars}</svg>"


def _table(rows: Iterable[Iterable[Any]]) -> str:
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{body}</table>" if body else ""


def _section(title: str, body: str) -> str:
    return f"<h2>{_text(title)}</h2>{body}" if body else ""


def _text(value: Any) -> str:
    """Escape a value; control characters and undecodable bytes of file names are shown, not sent."""
    text = str(value).encode("utf-8", "backslashreplace").decode()
    return html.escape("".join(c if c.isprintable() else repr(c)[1:-1] for c in text))
