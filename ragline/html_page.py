"""HTML pages that need nothing else: no scripts, no fonts, no images from elsewhere; light and dark.

Names, titles and texts come from outside: what goes on a page passes through `escape`, which shows what cannot be
seen (control characters, overrides of the writing direction) and escapes what HTML would act on.
"""

import html
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from string import Template

_JOINERS = "\u200c\u200d"  # invisible, but part of words and emoji
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>$title</title>
<style>
:root { color-scheme: light dark; --ink: #1d2530; --quiet: #5c6876; --page: #f5f6f8; --card: #fff; --line: #e1e5ea;
  --bar: #2f6fdb; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ecf1; --quiet: #9aa6b4; --page: #12161b; --card: #1b2128; --line: #303944; --bar: #6ea1f5; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 57rem; padding: 1.25rem 1rem 3rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
header p { color: var(--quiet); margin: 0; }
h1 { font-size: 1.35rem; line-height: 1.35; margin: .15rem 0 1.1rem; font-weight: 600; }
h2 { font-size: 1rem; margin: 0 0 .6rem; }
code { font: .88em ui-monospace, monospace; }
h1 code { font-size: .92em; }
.tiles { list-style: none; margin: 0 0 1rem; padding: 0; display: grid; gap: .6rem;
  grid-template-columns: repeat(auto-fit, minmax(8.4rem, 1fr)); }
.tiles li, section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
.tiles li { padding: .6rem .7rem; color: var(--quiet); font-size: .85rem; line-height: 1.3; }
.tiles b { display: block; color: var(--ink); font-size: 1.15rem; font-weight: 600; white-space: nowrap; }
section { padding: .9rem 1rem; margin: 0 0 1rem; }
details + details { border-top: 1px solid var(--line); margin-top: .5rem; padding-top: .5rem; }
summary { cursor: pointer; font-weight: 600; }
summary i { color: var(--quiet); font-style: normal; font-weight: 400; margin-left: .25rem; }
ul { margin: .4rem 0 0; padding-left: 1.2rem; }
table { width: 100%; border-collapse: collapse; table-layout: fixed; font-size: .92rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .5rem .35rem 0; border-top: 1px solid var(--line); }
tr:first-child > * { border-top: 0; }
th { width: 38%; font-weight: 400; }
td { color: var(--quiet); }
section > table th { color: var(--quiet); }
section > table td { color: var(--ink); }
small, .note { color: var(--quiet); font-size: .85rem; }
.note { margin: .4rem 0 0; }
svg { display: block; overflow: visible; font-size: 14px; }
svg rect { fill: var(--bar); }
svg text { fill: var(--ink); }
svg .value { fill: var(--quiet); font-size: 13px; }
svg line { stroke: var(--line); }
$style</style>
</head>
<body>
<header><p>$title</p><h1>$verdict</h1></header>
<ul class="tiles">$tiles</ul>
$sections
</body>
</html>
""")


def page(title: str, verdict: str, tiles: str, sections: Iterable[str], style: str = "") -> str:
    """Return a page.

    Args:
        title: plain text.
        verdict: the sentence at its top, as HTML.
        tiles: HTML of `tile_list`.
        sections: HTML of `section`, one each.
        style: CSS beside that of all pages.
    """
    return _PAGE.substitute(title=escape(title), verdict=verdict, tiles=tiles, sections="".join(sections), style=style)


def tile_list(tiles: Mapping[str, str]) -> str:
    """Return tiles of a number and what it is; those without a number are left out."""
    return "".join(f"<li><b>{escape(value)}</b>{escape(name)}</li>" for name, value in tiles.items() if value)


def drawing(height: int, label: str, parts: Iterable[str]) -> str:
    """Return a drawing as wide as the page; "" when nothing is drawn."""
    drawn = "".join(parts)
    return f'<svg role="img" aria-label="{escape(label)}" width="100%" height="{height}">{drawn}</svg>' if drawn else ""


def section(heading: str, body: str) -> str:
    """Return a section, or "" when it has no body."""
    return f"<section><h2>{heading}</h2>{body}</section>" if body else ""


def fold(heading: str, count: int, body: str) -> str:
    """Return a part that can be folded; short lists are open."""
    few = " open" if count <= 10 else ""
    return f"<details{few}><summary>{escape(heading)} <i>{number(count)}</i></summary>{body}</details>"


def facts_table(rows: Sequence[tuple[str, str]]) -> str:
    """Return a table of two columns whose cells are HTML."""
    cells = "".join(f"<tr><th scope=row>{name}</th><td>{value}</td></tr>" for name, value in rows)
    return f"<table>{cells}</table>" if rows else ""


def and_more(count: int) -> str:
    """Return how many more there are, or ""."""
    return f"<p class=note>and {number(count)} more</p>" if count > 0 else ""


def bdi(value: object) -> str:
    """Return a name as HTML that keeps its own writing direction."""
    return f"<bdi>{escape(value)}</bdi>"


def escape(value: object) -> str:
    """Return any value as HTML that shows it and does nothing."""
    return html.escape("".join(map(_visible, str(value))))


def _visible(character: str) -> str:
    """Return a character that can be seen for one that cannot."""
    code = ord(character)
    if unicodedata.category(character) not in _UNSEEN or character in _JOINERS:
        return character
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def listed(words: Sequence[str]) -> str:
    """Return words as in a sentence: "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def plural(count: int, noun: str) -> str:
    """Return a noun for a count."""
    return noun if count == 1 else noun + "s"


def number(value: object) -> str:
    """Return a number with thin spaces between thousands, and at most four digits that mean something."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4g}"
    return f"{int(value):,}".replace(",", "\u202f")


def duration(seconds: float) -> str:
    """Return seconds as a person says them."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def byte_size(count: int) -> str:
    """Return a size as a person says it."""
    power = min(3, (len(str(count)) - 1) // 3)
    return f"{count / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB')[power]}"
