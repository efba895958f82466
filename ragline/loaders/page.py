"""A growing text with its headings and blocks: the form that every loader fills.

Whatever a document was written in, its text comes out in one dialect that people can read: headings as
"## Title", code between fences, tables as rows between pipes, list items as "- item".
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

from ragline.documents import Heading, Loaded
from ragline.errors import Unreadable
from ragline.loaders.encoding import clean

LONGEST_TITLE = 300
PAGE_LEVEL = 9
"""Level of the headings that only say on which page of a PDF one is: below every real heading."""

_BLANKS = re.compile(r"\n[ \t]*\n(?:[ \t]*\n)+")
_FENCE = re.compile(r"^ *(`{3,})", re.MULTILINE)


class Page:
    r"""Collect the parts of a document; parts are separated by a blank line.

    Example:
        >>> page = Page()
        >>> page.heading(1, "Ports")
        >>> page.text("The master listens on 8080.")
        >>> page.loaded("text/markdown").text
        '# Ports\n\nThe master listens on 8080.'
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._headings: list[Heading] = []
        self._blocks: list[tuple[int, int]] = []

    @property
    def end(self) -> int:
        """Offset at which the next part will start."""
        return self._length

    def text(self, text: str) -> int:
        """Add text as it is and return its offset; blank text is left out."""
        text = text.strip("\n")
        start = self._length
        if text and not text.isspace():
            self._parts.append(text)
            self._length += len(text) + 2
        return start

    def heading(self, level: int, title: str) -> None:
        """Add a heading line."""
        title = one_line(title)
        if title:
            start = self.text(f"{'#' * min(level, 6)} {title}")
            self.mark(start, level, title)

    def mark(self, start: int, level: int, title: str) -> None:
        """Note a heading whose line is already in the text, or that has none (a page of a PDF)."""
        self._headings.append(Heading(start, level, one_line(plain(title))))

    def block(self, text: str) -> None:
        """Add text that should not be cut."""
        start = self.text(text)
        self.span(start, max(start, self._length - 2))

    def span(self, start: int, end: int) -> None:
        """Note that the text from start to end should not be cut."""
        if end > start:
            self._blocks.append((start, end))

    def code(self, code: str, language: str = "") -> None:
        """Add code between fences that are longer than any inside it."""
        code = "\n".join(line.rstrip() for line in code.strip("\n").split("\n"))
        if code.strip():
            longest = max((len(match[1]) for match in _FENCE.finditer(code)), default=2)
            fence = "`" * (longest + 1)
            self.block(f"{fence}{language}\n{code}\n{fence}")

    def table(self, rows: Iterable[Sequence[str]]) -> None:
        """Add a table as rows between pipes; the first row is the header."""
        self.block(pipe_rows(rows))

    def loaded(
        self,
        media_type: str,
        *,
        title: str = "",
        metadata: Mapping[str, str | int | float | bool] | None = None,
        row: str = "",
    ) -> Loaded:
        """Return the finished document.

        Raises:
            Unreadable: "empty" if there is neither text nor title. A title alone is a document.
        """
        title = one_line(clean(title))[:LONGEST_TITLE] or self.first_title()[:LONGEST_TITLE]
        text = "\n\n".join(self._parts) or title
        if not text:
            raise Unreadable("empty", "there is no text in it")
        return Loaded(text, title, tuple(self._headings), tuple(self._blocks), media_type, dict(metadata or {}), row)

    def first_title(self) -> str:
        """Return the first heading of the highest level used, or ""."""
        headings = [heading for heading in self._headings if heading.level < PAGE_LEVEL]
        return min(headings, key=lambda heading: heading.level).title if headings else ""


def pipe_rows(rows: Iterable[Sequence[str]]) -> str:
    """Return rows as `| a | b |` lines, with a rule below the first."""
    cells = [[one_line(cell).replace("|", "\\|") for cell in row] for row in rows]
    cells = [row for row in cells if any(row)]
    if not cells:
        return ""
    lines = [f"| {' | '.join(row)} |" for row in cells]
    if len(cells) > 1:
        lines.insert(1, "|" + " --- |" * len(cells[0]))
    return "\n".join(lines)


def words(text: str) -> frozenset[str]:
    """Return the words of a text as a set."""
    return frozenset(text.split())


def one_line(text: str) -> str:
    """Return text with every run of white space as one space."""
    return " ".join(text.split())


def plain(title: str) -> str:
    """Return a heading's text without code and emphasis marks."""
    return title.replace("`", "").replace("**", "")


def tidy(text: str) -> str:
    """Return text without trailing blanks and with at most one blank line in a row."""
    return _BLANKS.sub("\n\n", "\n".join(map(str.rstrip, text.split("\n"))))


def facts(fields: Mapping[str, Any], *, longest: int = 300, most: int = 50) -> dict[str, str | int | float | bool]:
    """Keep the scalar fields that a filter can use: short strings, numbers, booleans."""
    kept: dict[str, str | int | float | bool] = {}
    for key, value in fields.items():
        if isinstance(value, str):
            value = one_line(clean(value))
        if _usable(value, longest) and len(kept) < most:
            kept[one_line(clean(str(key)))] = value
    return kept


def _usable(value: object, longest: int) -> bool:
    if isinstance(value, str):
        return 0 < len(value) <= longest
    if isinstance(value, int):  # a store keeps 64 bits
        return abs(value) < 1 << 63
    return isinstance(value, float) and isfinite(value)
