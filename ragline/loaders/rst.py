"""reStructuredText as Sphinx projects write it, reduced to what a reader of the built page sees.

A scan by lines and indentation, not docutils: that knows neither Sphinx's roles nor a project's own
directives, and fails on them. Offsets refer to the loaded text.
"""

import re
from collections.abc import Callable

from ragline.documents import Loaded
from ragline.loaders.encoding import decode
from ragline.loaders.page import Page, tidy, words
from ragline.loaders.rst_inline import readable
from ragline.loaders.rst_tables import grid_rows, list_rows, simple_rows
from ragline.loaders.text import noted

MEDIA_TYPE = "text/x-rst"

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1+$")
_DIRECTIVE = re.compile(r"\.\.[ \t]+(?:\|[^|]+\|[ \t]+)?([A-Za-z][\w.+:-]*?)::(?:[ \t]+(.*))?$")
_FOOTNOTE = re.compile(r"\.\.[ \t]+\[([^\]]+)\][ \t]+(.*)$")
_OPTION = re.compile(r":[^:\s][^:]*:(?:[ \t]|$)")
_SUBSTITUTION = re.compile(r"^\.\. \|([^|\n]+)\| replace:: (.+)$", re.MULTILINE)
_SIMPLE_TABLE = re.compile(r"={2,}(?: +={2,})+$")
_LABELS = {
    "versionadded": "New in version", "versionchanged": "Changed in version", "deprecated": "Deprecated since version",
    "versionremoved": "Removed in version", "seealso": "See also", "todo": "To do",
}  # fmt: skip
_CODE = words("code code-block sourcecode parsed-literal doctest testcode testoutput prompt console math ipython")
_DROPPED = words(
    "meta toctree image include literalinclude raw contents index highlight role default-role sectnum target-notes"
    " currentmodule module py:currentmodule py:module cssclass rst-class tabularcolumns bibliography graphviz uml"
    " mermaid plot video youtube testsetup testcleanup autosummary inheritance-diagram replace unicode date"
)
_TITLED = words("admonition topic sidebar")
_NOTES = words("note warning tip important caution danger attention hint error seealso todo")
_PLAIN = words(
    "tab tab-item tabs tab-set group-tab dropdown details card rubric container class only figure table grid"
    " grid-item grid-item-card centered glossary hlist epigraph highlights pull-quote compound line-block"
)
_DEEPEST = 40  # levels of nested directives: deeper ones are read as prose


def load_rst(data: bytes) -> Loaded:
    """Load a reStructuredText file."""
    text, encoding = decode(data)
    page = Page()
    _Reader(page, dict(_SUBSTITUTION.findall(text))).read(tidy(text.expandtabs(8)).split("\n"))
    return page.loaded(MEDIA_TYPE, metadata=noted(encoding))


class _Reader:
    """Read lines into a page; prose gathers until a block begins."""

    def __init__(self, page: Page, substitutions: dict[str, str]) -> None:
        self._page = page
        self._substitutions = substitutions
        self._levels: list[str] = []
        self._prose: list[str] = []
        self._depth = 0

    def read(self, lines: list[str]) -> None:
        """Read a whole document."""
        start = 0
        while start < len(lines) and (not lines[start] or _OPTION.match(lines[start])):
            start += 1  # fields of the document itself, such as :orphan:
        self._lines(lines[start:])
        self._end_prose()

    def _lines(self, lines: list[str]) -> None:
        index = 0
        while index < len(lines):
            line = lines[index]
            if not line or line[0].isalnum():  # by far the most lines
                index = self._plain_line(lines, index) if line else self._blank(index)
                continue
            bare = line.lstrip()
            if bare.startswith("..") and (len(bare) == 2 or bare[2] == " "):
                index = self._explicit(lines, index, len(line) - len(bare))
            elif bare.startswith(":") and not self._prose_open() and _OPTION.match(bare):
                self._prose.append(line)
                index += 1
            else:
                index = self._special_line(lines, index, line, bare)

    def _blank(self, index: int) -> int:
        self._prose.append("")
        return index + 1

    def _prose_open(self) -> bool:
        return bool(self._prose and self._prose[-1])

    def _plain_line(self, lines: list[str], index: int) -> int:
        line = lines[index]
        if index + 1 < len(lines) and self._is_underline(lines[index + 1], line) and not self._prose_open():
            return self._heading(line, lines[index + 1][0], index + 2)
        self._prose.append(line)
        return self._literal(lines, index) if line.endswith("::") else index + 1

    def _special_line(self, lines: list[str], index: int, line: str, bare: str) -> int:
        """Read a line that begins with white space or punctuation."""
        if bare.startswith(("+-", "+=")):
            return self._table(lines, index, grid_rows, lambda row: row.lstrip()[:1] in ("+", "|"))
        if bare.startswith("==") and _SIMPLE_TABLE.match(bare):
            return self._simple_table(lines, index)
        if bare.startswith(">>> "):
            return self._doctest(lines, index)
        if _ADORNMENT.match(line):
            overlined = index + 2 < len(lines) and lines[index + 2] == line and lines[index + 1].strip()
            if overlined:
                return self._heading(lines[index + 1].strip(), line[0] * 2, index + 3)
            return index + 1  # a transition
        if line == bare:
            return self._plain_line(lines, index)
        self._prose.append(line)
        return self._literal(lines, index) if line.endswith("::") else index + 1

    @staticmethod
    def _is_underline(line: str, title: str) -> bool:
        return bool(line) and not line[0].isalnum() and len(line) >= min(len(title), 4) and bool(_ADORNMENT.match(line))

    def _heading(self, title: str, style: str, after: int) -> int:
        self._end_prose()
        if style not in self._levels:
            self._levels.append(style)
        self._page.heading(self._levels.index(style) + 1, readable(title, self._substitutions))
        return after

    def _end_prose(self) -> None:
        if self._prose:
            text = "\n".join(self._prose)
            self._prose.clear()
            self._page.text(tidy(readable(text, self._substitutions)))

    def _code(self, lines: list[str], language: str = "") -> None:
        self._end_prose()
        self._page.code("\n".join(lines), language)

    def _literal(self, lines: list[str], index: int) -> int:
        """Read the block of code that a paragraph ending with "::" announces."""
        line = lines[index]
        if index + 1 == len(lines) or lines[index + 1]:
            return index + 1
        end = _end_of_body(lines, index + 1, _indent(line))
        body = _dedented(lines[index + 1 : end])
        if not body:
            return index + 1
        self._prose[-1] = line[:-1] if line.strip() != "::" else ""
        self._code(body)
        return end

    def _doctest(self, lines: list[str], index: int) -> int:
        end = index
        while end < len(lines) and lines[end]:
            end += 1
        self._code(_dedented(lines[index:end]), "python")
        return end

    def _table(
        self, lines: list[str], index: int, read: Callable[[list[str]], list[list[str]]], is_row: Callable[[str], bool]
    ) -> int:
        end = index
        while end < len(lines) and is_row(lines[end]):
            end += 1
        self._rows(read(lines[index:end]))
        return max(end, index + 1)

    def _simple_table(self, lines: list[str], index: int) -> int:
        """Read a table that ends with a rule before a blank line (a rule in its midst ends the header)."""
        end = index + 1
        while end < len(lines):
            end += 1
            if _SIMPLE_TABLE.match(lines[end - 1].strip()) and (end == len(lines) or not lines[end]):
                break
        self._rows(simple_rows(lines[index:end]))
        return end

    def _rows(self, rows: list[list[str]]) -> None:
        self._end_prose()
        self._page.table([[readable(cell, self._substitutions) for cell in row] for row in rows])

    def _explicit(self, lines: list[str], index: int, indent: int) -> int:
        """Read a directive, footnote, target or comment; the last two say nothing to a reader."""
        end = _end_of_body(lines, index + 1, indent)
        first = lines[index].strip()
        body = _dedented(lines[index + 1 : end])
        if directive := _DIRECTIVE.match(first):
            if not first.startswith(".. |"):
                self._directive(directive[1].lower(), (directive[2] or "").strip(), body)
        elif footnote := _FOOTNOTE.match(first):
            self._paragraph([f"[{footnote[1].lstrip('#')}] {footnote[2]}", *body])
        return end

    def _directive(self, name: str, argument: str, body: list[str]) -> None:
        if name in _DROPPED:
            return
        content = _without_options(body)
        if name in _CODE or name.endswith("code-block"):
            if name == "math" and argument:
                content = [argument, *content]
            self._code(content, argument.split(" ")[0] if name != "math" else "math")
        elif name == "list-table":
            self._caption(argument)
            self._rows(list_rows(content))
        elif name == "csv-table":
            self._caption(argument)
            self._code(content)
        else:
            self._text_directive(name, argument, content)

    def _caption(self, text: str) -> None:
        if text:
            self._paragraph([text])

    def _paragraph(self, lines: list[str]) -> None:
        """Read lines as a part of their own."""
        self._prose.append("")
        if self._depth < _DEEPEST:
            self._depth += 1
            self._lines(lines)
            self._depth -= 1
        else:
            self._prose += lines
        self._prose.append("")

    def _text_directive(self, name: str, argument: str, content: list[str]) -> None:
        """Read a directive whose content is text; its kind or title becomes the beginning."""
        if name in _NOTES or name in _LABELS:
            version = name.startswith(("version", "deprecated"))
            label = _LABELS.get(name, name.capitalize())
            number, _, rest = argument.partition(" ") if version else ("", "", argument)
            lines = ([rest] if rest else []) + content
            self._paragraph(_labelled(f"{label} {number}".strip() + ":", lines))
        elif name in _TITLED:
            self._paragraph(_labelled(f"{argument}:" if argument else "", content))
        elif name == "figure":
            self._paragraph(content)
        elif name in _PLAIN or name.startswith("auto"):
            self._paragraph([argument, "", *content] if argument else content)
        else:  # a described object (function, option, envvar, ...) or a directive of the project
            signature = f"``{argument}``" if ":" in name or "(" in argument else argument
            self._paragraph([signature, "", *content] if argument else content)


def _labelled(label: str, lines: list[str]) -> list[str]:
    """Put a label before the first paragraph, or on a line of its own before anything else."""
    if not label:
        return lines
    if (lines and lines[0][:1].isalnum()) or (lines and lines[0][:1] in ("`", ":", "*", "|", '"', "(")):
        return [f"{label} {lines[0]}", *lines[1:]]
    return [label, "", *lines]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _end_of_body(lines: list[str], start: int, indent: int) -> int:
    """Return the index behind the lines that are indented deeper; blank lines at their end are not counted."""
    end = index = start
    while index < len(lines):
        line = lines[index]
        if line:
            if _indent(line) <= indent:
                break
            end = index + 1
        index += 1
    return end


def _dedented(lines: list[str]) -> list[str]:
    """Return lines without their common indentation and without blank lines around them."""
    margin = min((_indent(line) for line in lines if line), default=0)
    first = next((index for index, line in enumerate(lines) if line), len(lines))
    return [line[margin:] for line in lines[first:]]


def _without_options(body: list[str]) -> list[str]:
    """Return a directive's content behind its `:option: value` lines."""
    index = 0
    while index < len(body) and body[index] and (_OPTION.match(body[index]) or (index and body[index][0] == " ")):
        index += 1
    content = body[index:]
    return _dedented(content) if not index or (content and not content[0]) or not content else content
