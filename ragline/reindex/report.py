"""What a run did, as one HTML page that needs nothing else: no scripts, no fonts, no images from elsewhere.

Names, titles and reasons come from outside: all text passes through `_text`, which shows what cannot be
seen (control characters, overrides of the writing direction) and escapes what HTML would act on.
"""

import html
import math
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ragline.reindex.report_style import PAGE

_REASON_ROWS = 100
_JOINERS = "\u200c\u200d"  # invisible, but part of words and emoji
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
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
        _section("What could not be read", _problems(problems)),
        _section("What changed", _changes(summary.get("changes", {}), summary.get("documents", {}))),
        _section("Time per step", _bars(summary.get("seconds", {}))),
        _section("Size of chunks, in tokens", _histogram(summary.get("tokens", {}))),
        _section("Checks before it went live", _facts(summary.get("checks", {}))),
        _section("What counts as relevant", _facts(summary.get("calibration", {}))),
        _section("Where it comes from", _origin(summary)),
    )
    return PAGE.substitute(
        title=_text(f"Index {summary['name']}" if summary.get("name") else "Index run"),
        verdict=_verdict(summary),
        tiles=_tiles(summary),
        sections="".join(sections),
    )


def _verdict(summary: Mapping[str, Any]) -> str:
    """Say in one sentence what came out."""
    counts = summary.get("documents", {})
    changed = [(counts[key], key) for key, _ in _GROUPS if counts.get(key)]
    parts = [
        f"{_number(count)} {_plural(count, 'document') + ' ' if not at else ''}{key}"
        for at, (count, key) in enumerate(changed)
    ]
    documents = _listed(parts) if parts else "nothing changed"
    unreadable = counts.get("unreadable", 0)
    left_out = f"; {_number(unreadable)} could not be read" if unreadable else ""
    release = summary.get("release")
    live = f"Release <code>{_text(release)}</code> is live" if release else "No release was published"
    if release and release == summary.get("previous_release"):
        live += ", as before"
    return f"{live}: {_text(documents + left_out)}."


def _tiles(summary: Mapping[str, Any]) -> str:
    counts, seconds = summary.get("documents", {}), summary.get("seconds", {})
    indexed = sum(counts.get(key, 0) for key in ("added", "changed", "moved", "unchanged"))
    tiles = {
        "documents": _number(indexed) if counts else "",
        "could not be read": _number(counts["unreadable"]) if "unreadable" in counts else "",
        "chunks": _number(summary["chunks"]) if "chunks" in summary else "",
        "newly embedded": _number(summary["embedded"]) if "embedded" in summary else "",
        "time": _duration(sum(seconds.values())) if seconds else "",
        "size": _size(summary["size_bytes"]) if "size_bytes" in summary else "",
    }
    return "".join(f"<li><b>{_text(value)}</b>{name}</li>" for name, value in tiles.items() if value)


def _problems(problems: Sequence[Mapping[str, str]]) -> str:
    groups: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    for problem in problems:
        groups[problem.get("reason", "")].append(problem)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    return "".join(_reason(reason, group) for reason, group in ordered)


def _reason(reason: str, group: Sequence[Mapping[str, str]]) -> str:
    rows = [(_name(problem.get("source", "")), _text(problem.get("detail", ""))) for problem in group[:_REASON_ROWS]]
    return _details(reason, len(group), _table(rows) + _more(len(group) - len(rows)))


def _changes(changes: Mapping[str, Sequence[Any]], counts: Mapping[str, int]) -> str:
    parts = []
    for key, heading in _GROUPS:
        items = [_moved(item) if key == "moved" else _name(item) for item in changes.get(key, ())]
        if items:
            total = max(counts.get(key, 0), len(items))
            rows = "".join(f"<li>{item}</li>" for item in items)
            parts.append(_details(heading, total, f"<ul>{rows}</ul>{_more(total - len(items))}"))
    return "".join(parts)


def _moved(pair: Sequence[str]) -> str:
    old, new = pair
    return f"{_name(old)} → {_name(new)}"


def _bars(seconds: Mapping[str, float]) -> str:
    """Draw a bar for each step; widths in percent, so that text keeps its size on a phone."""
    longest = max(seconds.values(), default=0) or 1
    rows = []
    for index, (step, value) in enumerate(seconds.items()):
        top, width = index * _ROW, max(0.3, _BAR * value / longest)
        rows.append(
            f'<text x="0" y="{top + 18}">{_text(step)}</text>'
            f'<rect x="{_LABEL}%" y="{top + 5}" width="{width:.2f}%" height="{_ROW - 10}" rx="3"/>'
            f'<text x="{_LABEL + width + 1:.2f}%" y="{top + 18}" class="value">{_text(_duration(value))}</text>'
        )
    described = ", ".join(f"{step} {_duration(value)}" for step, value in seconds.items())
    return _svg(len(rows) * _ROW, f"Time per step: {described}", rows)


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
    rows.append(f'<text x="0" y="12" class="value">at most {_text(_number(highest))} in one bar</text>')
    mean = f"{tokens['mean']:.0f} tokens on average" if "mean" in tokens else ""
    caption = f"<p class=note>{_text(mean)}</p>" if mean else ""
    return _svg(_PLOT + 44, f"Histogram of chunk sizes: {mean}", rows) + caption


def _bin(left: float, width: float, entry: tuple[int, int, int], highest: int) -> str:
    low, high, count = entry
    height = max(1.0, _PLOT * count / highest) if count else 0.0
    return (
        f'<rect x="{left + 0.1 * width:.2f}%" y="{20 + _PLOT - height:.1f}" width="{0.8 * width:.2f}%"'
        f' height="{height:.1f}" rx="2"><title>{low} to {high - 1} tokens: {_number(count)}</title></rect>'
    )


def _svg(height: int, label: str, parts: Iterable[str]) -> str:
    drawn = "".join(parts)
    return f'<svg role="img" aria-label="{_text(label)}" width="100%" height="{height}">{drawn}</svg>' if drawn else ""


def _facts(facts: Mapping[str, Any]) -> str:
    return _table([(_text(name.replace("_", " ")), _text(_number(value))) for name, value in facts.items()])


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
    rows = [(name, _name(summary[key])) for name, key in names.items() if summary.get(key)]
    order = list(_MEANING)
    digests = summary.get("digests", {}).items()
    for name, digest in sorted(digests, key=lambda entry: order.index(entry[0]) if entry[0] in order else len(order)):
        meaning = f"<br><small>{_MEANING[name]}</small>" if name in _MEANING else ""
        rows.append((f"digest of {_text(name)}{meaning}", f"<code>{_text(digest)}</code>"))
    return _table(rows)


def _section(heading: str, body: str) -> str:
    return f"<section><h2>{heading}</h2>{body}</section>" if body else ""


def _details(heading: str, count: int, body: str) -> str:
    few = " open" if count <= 10 else ""
    return f"<details{few}><summary>{_text(heading)} <i>{_number(count)}</i></summary>{body}</details>"


def _table(rows: Sequence[tuple[str, str]]) -> str:
    """Return a table of two columns whose cells are HTML."""
    cells = "".join(f"<tr><th scope=row>{name}</th><td>{value}</td></tr>" for name, value in rows)
    return f"<table>{cells}</table>" if rows else ""


def _more(count: int) -> str:
    return f"<p class=note>and {_number(count)} more</p>" if count > 0 else ""


def _name(value: object) -> str:
    """Return a name as HTML that keeps its own writing direction."""
    return f"<bdi>{_text(value)}</bdi>"


def _text(value: object) -> str:
    return html.escape("".join(map(_visible, str(value))))


def _visible(character: str) -> str:
    """Return a character that can be seen for one that cannot."""
    code = ord(character)
    if unicodedata.category(character) not in _UNSEEN or character in _JOINERS:
        return character
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else noun + "s"


def _number(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4g}"
    return f"{int(value):,}".replace(",", "\u202f")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _size(count: int) -> str:
    power = min(3, (len(str(count)) - 1) // 3)
    return f"{count / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB')[power]}"
