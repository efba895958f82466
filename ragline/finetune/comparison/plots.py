"""Drawings of a fine-tuning report, as SVG inside the page.

Widths are in percent and heights in pixels, so that text keeps its size on a phone; curves are drawn in a square of
100 by 100 that is stretched, with lines that are not.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from ragline.html_page import drawing, escape, number

LEFT, WIDTH = 13.0, 86.0
"""Where the plot begins and how wide it is, in percent; numbers of the vertical axis stand to the left."""

_HEIGHT, _TOP = 170, 14
_ROW = 30
_BINS = ((1, 1), (2, 2), (3, 3), (4, 5), (6, 10), (11, 30), (31, 100), (101, math.inf))
_BIN_NAMES = ("1", "2", "3", "4-5", "6-10", "11-30", "31-100", "more")
_CELL = 46
_COLUMNS = 40

Point = tuple[float, float]


def curve(points: Sequence[Point], label: str, *, smooth: bool = False) -> str:
    """Draw a curve over training steps.

    Args:
        points: step and value, in order of the steps.
        label: what the value is.
        smooth: whether a running mean is drawn over the values, which are then faint.
    """
    shown = [(x, y) for x, y in points if math.isfinite(y)]
    if len(shown) < 2:
        return ""
    (first, last), values = (shown[0][0], shown[-1][0]), [y for _, y in shown]
    low, high = min(0.0, *values), max(values) or 1.0
    lines = [(_running_mean(shown), "curve"), (shown, "faint")][::-1] if smooth else [(shown, "curve")]
    scaled = [([_scale(point, first, last, low, high) for point in line], kind) for line, kind in lines]
    axis = [low + (high - low) * part / 2 for part in range(3)]
    parts = [
        *(_level(_TOP + _HEIGHT * (1 - part / 2), f"{value:.3g}") for part, value in enumerate(axis)),
        f'<svg x="{LEFT}%" y="{_TOP}" width="{WIDTH}%" height="{_HEIGHT}" viewBox="0 0 100 100"'
        f' preserveAspectRatio="none">{"".join(_path(line, kind) for line, kind in scaled)}</svg>',
        *_steps(first, last),
    ]
    return drawing(_TOP + _HEIGHT + 26, f"{label}: from {values[0]:.3g} to {values[-1]:.3g}", parts)


def _running_mean(points: Sequence[Point]) -> list[Point]:
    """Average over a twentieth of the curve around each point."""
    half = max(1, len(points) // 40)
    windows = [points[max(0, at - half) : at + half + 1] for at in range(len(points))]
    return [(x, sum(y for _, y in near) / len(near)) for (x, _), near in zip(points, windows, strict=True)]


def _scale(point: Point, first: float, last: float, low: float, high: float) -> Point:
    x, y = point
    return 100 * (x - first) / ((last - first) or 1), 100 - 100 * (y - low) / ((high - low) or 1)


def _path(points: Iterable[Point], kind: str) -> str:
    joined = "L".join(f"{x:.2f} {y:.2f}" for x, y in points)
    return f'<path class="{kind}" vector-effect="non-scaling-stroke" d="M{joined}"/>'


def _level(y: float, told: str) -> str:
    return (
        f'<line x1="{LEFT}%" x2="{LEFT + WIDTH}%" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="value" text-anchor="end" x="{LEFT - 1}%" y="{y + 4:.1f}">{escape(told)}</text>'
    )


def _steps(first: float, last: float) -> list[str]:
    y = _TOP + _HEIGHT + 20
    return [
        f'<text class="value" x="{LEFT}%" y="{y}">step {number(int(first))}</text>',
        f'<text class="value" text-anchor="end" x="{LEFT + WIDTH}%" y="{y}">{number(int(last))}</text>',
    ]


def intervals(rows: Sequence[tuple[str, float, float, float, str]], label: str) -> str:
    """Draw intervals below each other, with a line at 0.

    Args:
        rows: name, mean, low, high, and what stands at the right end, each.
        label: what is drawn.
    """
    if not rows:
        return ""
    reach = max(0.02, *(max(abs(mean), min(abs(low), 1.5 * abs(mean) + 0.1)) for _, mean, low, _, _ in rows))
    reach = min(1.0, max(reach, *(min(abs(high), 1.5 * abs(mean) + 0.1) for _, mean, _, high, _ in rows)))
    parts = [f'<line class="zero" x1="{_across(0, reach)}%" x2="{_across(0, reach)}%" y1="0" y2="{len(rows) * _ROW}"/>']
    for place, row in enumerate(rows):
        parts.append(_interval(place * _ROW + _ROW / 2, row, reach))
    foot = len(rows) * _ROW + 18
    parts += [
        f'<text class="value" text-anchor="middle" x="{_across(at, reach)}%" y="{foot}">{at:+.2g}</text>'
        if at
        else f'<text class="value" text-anchor="middle" x="{_across(0, reach)}%" y="{foot}">0</text>'
        for at in (-reach, 0.0, reach)
    ]
    return drawing(foot + 8, label, parts)


def _across(value: float, reach: float) -> float:
    """Return where a value lies, in percent of the page; what is beyond the edge stands at the edge."""
    return round(53 + 22 * max(-1.0, min(1.0, value / reach)), 2)


def _interval(y: float, row: tuple[str, float, float, float, str], reach: float) -> str:
    name, mean, low, high, told = row
    kind = "good" if low > 0 else "bad" if high < 0 else "even"
    left, middle, right = (_across(value, reach) for value in (low, mean, high))
    return (
        f'<g class="{kind}"><title>{escape(f"{name}: {mean:+.3f}, {low:+.3f} to {high:+.3f}")}</title>'
        f'<text x="0" y="{y + 5}">{escape(name)}</text>'
        f'<line class="range" x1="{left}%" x2="{right}%" y1="{y}" y2="{y}"/>'
        f'<circle cx="{middle}%" cy="{y}" r="5.5"/>'
        f'<text class="value" text-anchor="end" x="100%" y="{y + 5}">{escape(told)}</text></g>'
    )


def rank_table(pairs: Sequence[tuple[int, int]], before: str, after: str) -> str:
    """Draw how many questions went from which rank to which, as circles; better ones are at the upper right."""
    if not pairs:
        return ""
    counts: dict[tuple[int, int], int] = {}
    for old, new in pairs:
        place = (_bin(old), _bin(new))
        counts[place] = counts.get(place, 0) + 1
    most, size = max(counts.values()), len(_BINS) * _CELL
    parts = [_cell(x, y) for x in range(len(_BINS)) for y in range(len(_BINS))]
    parts += [_circle(x, y, count, most) for (x, y), count in sorted(counts.items())]
    for at, name in enumerate(_BIN_NAMES):
        middle = at * _CELL + _CELL / 2
        parts.append(f'<text class="value" text-anchor="middle" x="{58 + middle}" y="{size + 16}">{name}</text>')
        parts.append(f'<text class="value" text-anchor="end" x="50" y="{middle + 5}">{name}</text>')
    parts.append(
        f'<text text-anchor="middle" x="{58 + size / 2}" y="{size + 38}">rank with the {escape(before)}</text>'
    )
    parts.append(f'<text text-anchor="middle" transform="translate(-4 {size / 2}) rotate(-90)">{escape(after)}</text>')
    better, worse = sum(new < old for old, new in pairs), sum(new > old for old, new in pairs)
    label = f"Ranks before and after: {better} better, {worse} worse, {len(pairs) - better - worse} the same"
    view = f'viewBox="-22 -2 {size + 84} {size + 46}" style="max-width:{size + 84}px"'
    return f'<svg role="img" aria-label="{escape(label)}" class="ranks" {view}>{"".join(parts)}</svg>'


def _bin(rank: int) -> int:
    """Return the range of a rank; 0 stands for beyond all."""
    if rank < 1:
        return len(_BINS) - 1
    return next(place for place, (low, high) in enumerate(_BINS) if low <= rank <= high)


def _cell(x: int, y: int) -> str:
    kind = "same" if x == y else "cell"
    return (
        f'<rect class="{kind}" x="{58 + x * _CELL}" y="{y * _CELL}" width="{_CELL - 2}" height="{_CELL - 2}" rx="4"/>'
    )


def _circle(x: int, y: int, count: int, most: int) -> str:
    kind = "good" if y < x else "bad" if y > x else "even"
    radius = 3 + (_CELL / 2 - 4) * math.sqrt(count / most)
    left, top = 58 + x * _CELL + _CELL / 2 - 1, y * _CELL + _CELL / 2 - 1
    told = f"{count} from rank {_BIN_NAMES[x]} to {_BIN_NAMES[y]}"
    inside = f'<text text-anchor="middle" x="{left}" y="{top + 4}">{count}</text>' if radius >= 8 else ""
    return f'<g class="{kind}"><title>{told}</title><circle cx="{left}" cy="{top}" r="{radius:.1f}"/>{inside}</g>'


def distributions(groups: Mapping[str, Sequence[float]], label: str, span: tuple[float, float]) -> str:
    """Draw histograms over each other.

    Args:
        groups: values by name; the first is filled, the second is outlined.
        label: what is drawn.
        span: first and last value of the axis.
    """
    low, high = span
    shares = {name: _shares(values, low, high) for name, values in groups.items() if values}
    if not shares:
        return ""
    most, height = max(max(bars) for bars in shares.values()) or 1.0, 110
    drawn = "".join(_outline(bars, most, kind) for bars, kind in zip(shares.values(), ("gold", "other"), strict=False))
    axis = [low + (high - low) * part / 4 for part in range(5)]
    parts = [
        f'<svg width="100%" height="{height}" viewBox="0 0 100 100" preserveAspectRatio="none">{drawn}</svg>',
        f'<line x1="0" x2="100%" y1="{height}.5" y2="{height}.5"/>',
        *(
            f'<text class="value" text-anchor="{anchor}" x="{25 * part}%" y="{height + 17}">{value:.2f}</text>'
            for part, (value, anchor) in enumerate(zip(axis, ("start", *["middle"] * 3, "end"), strict=True))
        ),
    ]
    return drawing(height + 24, label, parts)


def _shares(values: Sequence[float], low: float, high: float) -> list[float]:
    bars = [0] * _COLUMNS
    for value in values:
        bars[max(0, min(_COLUMNS - 1, int(_COLUMNS * (value - low) / ((high - low) or 1))))] += 1
    return [count / len(values) for count in bars]


def _outline(bars: Sequence[float], most: float, kind: str) -> str:
    width = 100 / _COLUMNS
    corners = [(place * width, 100 - 98 * share / most) for place, share in enumerate(bars)]
    steps = [f"H{right[0]:.2f}V{right[1]:.2f}" for _, right in pairwise(corners)]
    return (
        f'<path class="{kind}" vector-effect="non-scaling-stroke"'
        f' d="M0 100V{corners[0][1]:.2f}{"".join(steps)}H100V100Z"/>'
    )
