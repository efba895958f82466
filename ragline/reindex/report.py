"""What a run did, as one HTML page that needs nothing else: no scripts, no fonts, no images from elsewhere.

Names, titles and reasons come from outside: all text passes through `escape`, which shows what cannot be
seen (control characters, overrides of the writing direction) and escapes what HTML would act on.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ragline.html_page import (
    and_more,
    bdi,
    byte_size,
    drawing,
    duration,
    escape,
    facts_table,
    fold,
    listed,
    number,
    page,
    plural,
    section,
    tile_list,
)

_REASON_ROWS = 100
_LABEL, _BAR = 30, 45  # percent of a plot's width
_ROW, _PLOT = 28, 150  # pixels
_TICKS = 4
_GROUPS = (("added", "Added"), ("changed", "Changed"), ("moved", "Moved"), ("removed", "Removed"))
_MEANING = {
    "corpus": "the documents, and how they were read",
    "chunks": "the chunks, in order",
    "model": "the embedder",
    "index": "all of the above; names the release",
}


def render_report(summary: Mapping[str, Any], problems: Sequence[Mapping[str, str]]) -> str:
    """Return the report of a run as an HTML page.

    Args:
        summary: what the run did; what is missing is left out of the page. Keys: name, release,
            previous_release, documents_uri, store_uri, embedder, precision, documents, changes, chunks,
            embedded, tokens, seconds, checks, calibration, digests, size_bytes, created, version.
        problems: what could not be read: source, reason and detail each.
    """
    sections = (
        section("What could not be read", _problems(problems)),
        section("What changed", _changes(summary.get("changes", {}), summary.get("documents", {}))),
        section("Time per step", _bars(summary.get("seconds", {}))),
        section("Size of chunks, in tokens", _histogram(summary.get("tokens", {}))),
        section("Checks before it went live", _facts(summary.get("checks", {}))),
        section("What counts as relevant", _facts(summary.get("calibration", {}))),
        section("Where it comes from", _origin(summary)),
    )
    title = f"Index {summary['name']}" if summary.get("name") else "Index run"
    return page(title, _verdict(summary), _tiles(summary), sections)


def _verdict(summary: Mapping[str, Any]) -> str:
    """Say in one sentence what came out."""
    counts = summary.get("documents", {})
    changed = [(counts[key], key) for key, _ in _GROUPS if counts.get(key)]
    parts = [
        f"{number(count)} {plural(count, 'document') + ' ' if not at else ''}{key}"
        for at, (count, key) in enumerate(changed)
    ]
    documents = listed(parts) if parts else "nothing changed"
    unreadable = counts.get("unreadable", 0)
    left_out = f"; {number(unreadable)} could not be read" if unreadable else ""
    release = summary.get("release")
    live = f"Release <code>{escape(release)}</code> is live" if release else "No release was published"
    if release and release == summary.get("previous_release"):
        live += ", as before"
    return f"{live}: {escape(documents + left_out)}."


def _tiles(summary: Mapping[str, Any]) -> str:
    counts, seconds = summary.get("documents", {}), summary.get("seconds", {})
    indexed = sum(counts.get(key, 0) for key in ("added", "changed", "moved", "unchanged"))
    tiles = {
        "documents": number(indexed) if counts else "",
        "could not be read": number(counts["unreadable"]) if "unreadable" in counts else "",
        "chunks": number(summary["chunks"]) if "chunks" in summary else "",
        "newly embedded": number(summary["embedded"]) if "embedded" in summary else "",
        "time": duration(sum(seconds.values())) if seconds else "",
        "size": byte_size(summary["size_bytes"]) if "size_bytes" in summary else "",
    }
    return tile_list(tiles)


def _problems(problems: Sequence[Mapping[str, str]]) -> str:
    groups: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    for problem in problems:
        groups[problem.get("reason", "")].append(problem)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    return "".join(_reason(reason, group) for reason, group in ordered)


def _reason(reason: str, group: Sequence[Mapping[str, str]]) -> str:
    rows = [(bdi(problem.get("source", "")), escape(problem.get("detail", ""))) for problem in group[:_REASON_ROWS]]
    return fold(reason, len(group), facts_table(rows) + and_more(len(group) - len(rows)))


def _changes(changes: Mapping[str, Sequence[Any]], counts: Mapping[str, int]) -> str:
    parts = []
    for key, heading in _GROUPS:
        items = [_moved(item) if key == "moved" else bdi(item) for item in changes.get(key, ())]
        if items:
            total = max(counts.get(key, 0), len(items))
            rows = "".join(f"<li>{item}</li>" for item in items)
            parts.append(fold(heading, total, f"<ul>{rows}</ul>{and_more(total - len(items))}"))
    return "".join(parts)


def _moved(pair: Sequence[str]) -> str:
    old, new = pair
    return f"{bdi(old)} → {bdi(new)}"


def _bars(seconds: Mapping[str, float]) -> str:
    """Draw a bar for each step; widths in percent, so that text keeps its size on a phone."""
    longest = max(seconds.values(), default=0) or 1
    rows = []
    for index, (step, value) in enumerate(seconds.items()):
        top, width = index * _ROW, max(0.3, _BAR * value / longest)
        rows.append(
            f'<text x="0" y="{top + 18}">{escape(step)}</text>'
            f'<rect x="{_LABEL}%" y="{top + 5}" width="{width:.2f}%" height="{_ROW - 10}" rx="3"/>'
            f'<text x="{_LABEL + width + 1:.2f}%" y="{top + 18}" class="value">{escape(duration(value))}</text>'
        )
    described = ", ".join(f"{step} {duration(value)}" for step, value in seconds.items())
    return drawing(len(rows) * _ROW, f"Time per step: {described}", rows)


def _histogram(tokens: Mapping[str, Any]) -> str:
    bins = [(int(low), int(high), int(count)) for low, high, count in tokens.get("histogram", ())]
    highest = max((count for *_, count in bins), default=0)
    if not highest:
        return ""
    width, every = 100 / len(bins), math.ceil(len(bins) / _TICKS)
    rows = [_bin(index * width, width, entry, highest) for index, entry in enumerate(bins)]
    rows += [
        f'<text x="{index * width:.2f}%" y="{_PLOT + 36}" class="value">{bins[index][0]}</text>'
        for index in range(0, len(bins), every)
    ]
    rows.append(f'<line x1="0" x2="100%" y1="{_PLOT + 20.5}" y2="{_PLOT + 20.5}"/>')
    rows.append(f'<text x="0" y="12" class="value">at most {escape(number(highest))} in one bar</text>')
    mean = f"{tokens['mean']:.0f} tokens on average" if "mean" in tokens else ""
    caption = f"<p class=note>{escape(mean)}</p>" if mean else ""
    return drawing(_PLOT + 44, f"Histogram of chunk sizes: {mean}", rows) + caption


def _bin(left: float, width: float, entry: tuple[int, int, int], highest: int) -> str:
    low, high, count = entry
    height = max(1.0, _PLOT * count / highest) if count else 0.0
    return (
        f'<rect x="{left + 0.1 * width:.2f}%" y="{20 + _PLOT - height:.1f}" width="{0.8 * width:.2f}%"'
        f' height="{height:.1f}" rx="2"><title>{low} to {high - 1} tokens: {number(count)}</title></rect>'
    )


def _facts(facts: Mapping[str, Any]) -> str:
    return facts_table([(escape(name.replace("_", " ")), escape(number(value))) for name, value in facts.items()])


def _origin(summary: Mapping[str, Any]) -> str:
    names = {
        "documents": "documents_uri",
        "store": "store_uri",
        "embedder": "embedder",
        "precision": "precision",
        "previous release": "previous_release",
        "created": "created",
        "ragline": "version",
    }
    rows = [(name, bdi(summary[key])) for name, key in names.items() if summary.get(key)]
    order = list(_MEANING)
    digests = summary.get("digests", {}).items()
    for name, digest in sorted(digests, key=lambda entry: order.index(entry[0]) if entry[0] in order else len(order)):
        meaning = f"<br><small>{_MEANING[name]}</small>" if name in _MEANING else ""
        rows.append((f"digest of {escape(name)}{meaning}", f"<code>{escape(digest)}</code>"))
    return facts_table(rows)
