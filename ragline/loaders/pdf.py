"""PDF: the text layer, page by page, without what repeats on every page."""

import re
import threading
from collections import Counter
from contextlib import closing

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_raw

from ragline.documents import Loaded
from ragline.errors import Unreadable
from ragline.loaders.encoding import clean
from ragline.loaders.page import PAGE_LEVEL, Page, one_line, tidy

MEDIA_TYPE = "application/pdf"
_LOCK = threading.Lock()  # pdfium keeps global state
_EDGE = 3  # lines at the top and at the bottom of a page that may repeat
_NUMBER = re.compile(r"\d{1,6}")
_PAGE_OF = re.compile(r"(?:of|von|de|di|van|sur|/|из)\s*\d")
_PAGE_WORD = re.compile(
    r"\b(?:page|pg|p|seite|s|página|pagina|pág|pag|strona|str|стр|sida|side)\b|页|頁|ページ|[-–—|/]", re.IGNORECASE
)
_DIVISIONS = {0xFFFE: "-\n", 0x02: "-\n"}  # what pdfium puts for a hyphen and the line end behind it
_HYPHEN = re.compile(r"(?<=(\w))[-\u2010]\r?\n(?=(\w))")
_LONGEST_TITLE_LINE = 120
_SIGNATURE = re.compile(rb"%PDF-\d")
_UNTITLED = re.compile(r"untitled|microsoft word|powerpoint|\.(?:docx?|pptx?|tex|indd|qxd|pdf|dvi)\b", re.IGNORECASE)


def load_pdf(data: bytes) -> Loaded:
    """Load the text of a PDF; a heading without a line, "page N", marks where each page starts.

    Raises:
        Unreadable: "encrypted", "damaged", or "no text layer" for a scan.
    """
    if not _SIGNATURE.search(data[:1024]):
        raise Unreadable("damaged", f"this is not a PDF: it begins with {data[:20]!r}")
    with _LOCK, closing(_open(data)) as document:
        count = len(document)
        pages = [_text(document, index) for index in range(count)]
        outline = _outline(document)
        title = _title(document)
    if not any(pages):
        raise Unreadable("no text layer", f"none of the {count} pages holds text; they need character recognition")
    texts = _without_repeated(pages)
    if not any(texts):
        raise Unreadable(
            "no text layer", f"the {count} pages hold nothing but the same few words; they seem to be images"
        )
    return _assembled(texts, outline, title)


def _open(data: bytes) -> pdfium.PdfDocument:
    try:
        return pdfium.PdfDocument(data)
    except pdfium.PdfiumError as exc:
        if exc.err_code == pdfium_raw.FPDF_ERR_PASSWORD:
            raise Unreadable("encrypted", "it needs a password to open") from exc
        if exc.err_code == pdfium_raw.FPDF_ERR_SECURITY:
            raise Unreadable("encrypted", "its kind of encryption is not supported") from exc
        raise Unreadable("damaged", f"it cannot be opened as PDF: {exc}") from exc


def _text(document: pdfium.PdfDocument, index: int) -> str:
    """Return the text of one page; a page that is damaged has none."""
    try:
        with closing(document[index]) as page, closing(page.get_textpage()) as text_page:
            text = text_page.get_text_range(errors="replace")
    except pdfium.PdfiumError:
        return ""
    return tidy(clean(_HYPHEN.sub(_joined, text.translate(_DIVISIONS)))).strip()


def _joined(match: re.Match[str]) -> str:
    """Return what stands between the halves of a word: a hyphen only where it belongs to the word itself."""
    return "" if match[1].isalpha() and match[2].islower() else "-"


def _outline(document: pdfium.PdfDocument) -> list[tuple[int, int, str]]:
    """Return (page index, level, title) of the bookmarks, in order of pages."""
    found = []
    try:
        for bookmark in document.get_toc(max_depth=8):
            destination = bookmark.get_dest()
            index = destination.get_index() if destination else None
            title = one_line(clean(bookmark.get_title() or ""))
            if index is not None and title:
                found.append((index, bookmark.level + 1, title))
    except (pdfium.PdfiumError, UnicodeDecodeError):
        return []
    return sorted(found, key=lambda entry: entry[0])


def _title(document: pdfium.PdfDocument) -> str:
    try:
        title = one_line(document.get_metadata_value("Title") or "")
    except (pdfium.PdfiumError, UnicodeDecodeError):
        return ""
    return "" if _UNTITLED.search(title) else title


def _without_repeated(pages: list[str]) -> list[str]:
    """Drop the lines that stand at the top or bottom of many pages: running headers and footers, page numbers."""
    split = [page.split("\n") for page in pages]
    counts = Counter(
        key
        for number, lines in enumerate(split)
        for key in {key for index in _edges(lines) for key in _keys(lines[index], number)}
    )
    least = max(2, 0.4 * sum(map(bool, pages)))
    repeated = {key for key, count in counts.items() if count >= least}
    return ["\n".join(_kept(lines, number, repeated)).strip("\n") for number, lines in enumerate(split)]


def _edges(lines: list[str]) -> set[int]:
    return {*range(min(_EDGE, len(lines))), *range(max(0, len(lines) - _EDGE), len(lines))}


def _kept(lines: list[str], number: int, repeated: set[str]) -> list[str]:
    edges = _edges(lines)
    return [line for index, line in enumerate(lines) if index not in edges or repeated.isdisjoint(_keys(line, number))]


def _keys(line: str, number: int) -> set[str]:
    """Return what makes a line equal to that of another page: itself, and itself with its page number left open."""
    line = one_line(line)
    keys = {line}
    for at in _NUMBER.finditer(line):
        before, after = line[: at.start()].strip(), line[at.end() :].strip()
        others = len(before.split()) + len(after.split())
        # "Step 3" at the top of page 3 is a title, "3" and "page 3" and "3 ACME Handbook 2024" are not
        if (not before or not after or _PAGE_OF.match(after)) and (not 1 <= others <= 2 or _PAGE_WORD.search(line)):
            keys.add(f"{before}\0{int(at[0]) - number}\0{after}")
    return keys


def _assembled(texts: list[str], outline: list[tuple[int, int, str]], title: str) -> Loaded:
    entries: dict[int, list[tuple[int, str]]] = {}
    for index, level, entry in outline:
        entries.setdefault(index, []).append((level, entry))
    page = Page()
    for index, text in enumerate(texts):
        if text:
            name = f"page {index + 1}" if len(texts) > 1 else ""
            _mark_headings(page, page.text(text), text, entries.get(index, []), name)
    metadata: dict[str, str | int | float | bool] = {"pages": len(texts)}
    if silent := sum(not text for text in texts):
        metadata["pages_without_text"] = silent
    return page.loaded(MEDIA_TYPE, title=title or _first_line(texts), metadata=metadata)


def _first_line(texts: list[str]) -> str:
    """Return the first line of the text if it is short enough to be a title."""
    line = one_line(next(filter(None, texts)).split("\n", 1)[0])
    return line if len(line) <= _LONGEST_TITLE_LINE else ""


def _mark_headings(page: Page, start: int, text: str, entries: list[tuple[int, str]], name: str) -> None:
    """Mark the outline's entries where their words stand, each followed by the page's name."""
    places = sorted(((max(0, text.find(entry)), level, entry) for level, entry in entries), key=lambda each: each[0])
    if name and not (places and places[0][0] == 0):
        page.mark(start, PAGE_LEVEL, name)
    for index, (place, level, entry) in enumerate(places):
        page.mark(start + place, level, entry)
        if name and (index + 1 == len(places) or places[index + 1][0] > place):
            page.mark(start + place, PAGE_LEVEL, name)
