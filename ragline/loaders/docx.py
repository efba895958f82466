"""DOCX: paragraphs, lists and tables in the order of the body, headings by style."""

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import docx
from docx.opc.exceptions import OpcError
from docx.oxml.ns import qn
from lxml.etree import XMLSyntaxError

from ragline.documents import Loaded
from ragline.errors import Unreadable
from ragline.loaders.encoding import clean
from ragline.loaders.page import Page, one_line

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
LARGEST = 256 << 20
"""Bytes of all parts together after decompression; beyond them a file of a few kilobytes may fill the memory."""

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_HEADING = re.compile(r"heading ([1-9])$", re.IGNORECASE)
_W_P, _W_TBL, _W_TR, _W_TC, _W_T = map(qn, ("w:p", "w:tbl", "w:tr", "w:tc", "w:t"))
_W_TAB, _W_BR, _W_CR, _W_HYPHEN = map(qn, ("w:tab", "w:br", "w:cr", "w:noBreakHyphen"))
_W_VAL, _W_LEVEL, _W_NUMBERS = map(qn, ("w:val", "w:ilvl", "w:numPr"))
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_SKIPPED = frozenset(
    [_FALLBACK, *map(qn, ("w:pPr", "w:rPr", "w:del", "w:moveFrom", "w:instrText", "w:sectPr", "w:tblPr"))]
)


def load_docx(data: bytes) -> Loaded:
    """Load a Word document; headers and footers of its pages are left out.

    Raises:
        Unreadable: "encrypted", "damaged", or "too large" once decompressed.
    """
    if data.startswith(_OLE):
        raise Unreadable("encrypted", "it is protected by a password, or in the old format of Word (.doc)")
    _check_archive(data)
    try:
        document = docx.Document(io.BytesIO(data))
        body, levels = document.element.body, _levels(document)
        title = document.core_properties.title or ""
    except (OpcError, zipfile.BadZipFile, XMLSyntaxError, KeyError, ValueError, AttributeError, TypeError) as exc:
        raise Unreadable("damaged", f"it is not a Word document: {type(exc).__name__}: {exc}") from exc
    page = Page()
    _Body(page, levels).write(body)
    return page.loaded(MEDIA_TYPE, title=title)


def _check_archive(data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as exc:
        raise Unreadable("damaged", f"it is not a complete zip archive: {exc}") from exc
    if size > LARGEST:
        raise Unreadable("too large", f"{size >> 20} MB after decompression; the limit is {LARGEST >> 20} MB")


def _levels(document: Any) -> dict[str, int]:
    """Return the heading level of each style that is a heading, by style id; 0 stands for a list."""
    levels: dict[str, int] = {}
    for style in document.styles:
        name = style.name or ""
        if match := _HEADING.match(name):
            levels[style.style_id] = int(match[1])
        elif name.lower() == "title":
            levels[style.style_id] = 1
        elif name.lower().startswith("list") and name.lower() != "list paragraph":
            levels[style.style_id] = 0
    return levels


class _Body:
    """Write the elements of a document's body to a page; items of a list stay together."""

    def __init__(self, page: Page, levels: dict[str, int]) -> None:
        self._page = page
        self._levels = levels
        self._items: list[str] = []

    def write(self, body: Any) -> None:
        for element in _blocks(body):
            if element.tag == _W_P:
                self._paragraph(element)
            else:
                self._end_list()
                self._page.table([[clean(cell) for cell in row] for row in _rows(element)])
        self._end_list()

    def _paragraph(self, element: Any) -> None:
        text = clean(_text(element)).strip()
        if not text:
            return
        properties = element.pPr
        style = properties.pStyle.get(_W_VAL) if properties is not None and properties.pStyle is not None else ""
        level = self._levels.get(style, -1)
        numbers = properties.find(_W_NUMBERS) if properties is not None else None
        if level > 0:
            self._end_list()
            self._page.heading(level, text)
        elif level == 0 or numbers is not None:
            self._items.append(f"{'  ' * _depth(numbers)}- {one_line(text)}")
        else:
            self._end_list()
            self._page.text(text)

    def _end_list(self) -> None:
        if self._items:
            self._page.text("\n".join(self._items))
            self._items.clear()


def _blocks(parent: Any) -> Iterator[Any]:
    """Yield paragraphs and tables in order, also those inside content controls and tracked insertions."""
    stack = [iter(parent)]
    while stack:
        element = next(stack[-1], None)
        if element is None:
            stack.pop()
        elif element.tag in (_W_P, _W_TBL):
            yield element
        elif element.tag not in _SKIPPED:
            stack.append(iter(element))


def _text(element: Any) -> str:
    """Return the text of a paragraph as it reads with all changes accepted."""
    pieces: list[str] = []
    stack = [iter(element)]
    while stack:
        child = next(stack[-1], None)
        if child is None:
            stack.pop()
        elif child.tag == _W_T:
            pieces.append(child.text or "")
        elif child.tag in (_W_TAB, _W_BR, _W_CR):
            pieces.append(" " if child.tag == _W_TAB else "\n")
        elif child.tag == _W_HYPHEN:
            pieces.append("-")
        elif child.tag not in _SKIPPED:
            stack.append(iter(child))
    return "".join(pieces)


def _rows(table: Any) -> list[list[str]]:
    """Return the cells of a table; a table inside a cell becomes text of that cell."""
    return [
        [" ".join(_text(paragraph) for paragraph in cell.iter(_W_P)) for cell in row.iterchildren(_W_TC)]
        for row in table.iterchildren(_W_TR)
    ]


def _depth(numbers: Any) -> int:
    level = numbers.find(_W_LEVEL) if numbers is not None else None
    value = level.get(_W_VAL) if level is not None else "0"
    return min(int(value), 8) if value.isdigit() else 0
