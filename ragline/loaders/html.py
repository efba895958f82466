"""HTML: the main text of a page as readable text, without the boilerplate around it."""

import codecs
import re

from selectolax.lexbor import LexborHTMLParser

from ragline.documents import Loaded
from ragline.errors import Unreadable
from ragline.loaders.boilerplate import strip_boilerplate, strip_certain
from ragline.loaders.encoding import clean, decode
from ragline.loaders.html_tree import INLINE, Element, read_tree
from ragline.loaders.page import Page, one_line, words
from ragline.loaders.text import noted

MEDIA_TYPE = "text/html"

_CHARSET = re.compile(
    rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]+)|<\?xml[^>]{0,100}?encoding=["']([\w.:-]+)""", re.IGNORECASE
)
_TITLE_START = re.compile(r"<title\b[^<>]*>[^<]*", re.IGNORECASE)
_TITLE_END = re.compile(r"</title\b", re.IGNORECASE)
_MANY_TAGS = 20_000
_DEEPEST = 5_000
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)")
_NOT_NESTING = words(  # void, or closed by what follows
    "area base br col embed hr img input link meta param source track wbr p li dt dd td th tr thead tbody tfoot option"
    " optgroup colgroup rt rp a b big code em font i nobr s small strike strong tt u"
)
_LANGUAGE = re.compile(r"\b(?:language|lang|highlight|brush)[-:]\s*([\w+#-]+)")
_CODE = frozenset(["code", "kbd", "samp", "tt"])
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_LISTS = frozenset(["ul", "ol", "menu", "dl"])
_NOT_IN_CELLS = frozenset(["table", "pre", *_HEADINGS])
_LONGEST_CELL = 2000
_SITE = re.compile(r"\s+(?:[|·•»—–-]|::)\s+")  # the dashes that sites put before their name
_LEAST_LEFT = 0.25


def load_html(data: bytes) -> Loaded:
    """Load an HTML page: its main text, title and language."""
    text, encoding = decode(data, declared=_declared(data))
    _refuse_deep(text)
    parser = LexborHTMLParser(_with_closed_title(text))
    page = Page()
    if parser.body is not None:
        Writer(page).write(_main_text(parser))
    title = _title(parser, page)
    return page.loaded(MEDIA_TYPE, title=title, metadata={**_facts(parser), **noted(encoding)})


def add_fragment(page: Page, source: str) -> None:
    """Add a piece of HTML that stands in another text (a table in Markdown) to a page."""
    parser = LexborHTMLParser(source)
    if parser.body is not None:
        tree = read_tree(parser.body)
        strip_certain(tree)
        Writer(page).write(tree)


def _declared(data: bytes) -> str:
    match = _CHARSET.search(data[:4096])
    try:
        name = codecs.lookup((match[1] or match[2]).decode("ascii")).name if match else ""
    except LookupError:
        return ""
    # browsers read Latin-1 as its superset, and so do authors
    return "cp1252" if name in ("iso8859-1", "ascii") else name


def _refuse_deep(text: str) -> None:
    """Refuse a page that is nested without end: parsing takes time quadratic in the depth."""
    if text.count("<") <= _MANY_TAGS:
        return
    depth = 0
    for match in _TAG.finditer(text):
        if match[2].lower() not in _NOT_NESTING:
            depth = max(0, depth - 1) if match[1] else depth + 1
        if depth > _DEEPEST:
            raise Unreadable("damaged", f"its elements are nested more than {_DEEPEST} levels deep")


def _with_closed_title(text: str) -> str:
    """Close an open `<title>` before the next tag: a parser takes all that follows for the title."""
    return text if _TITLE_END.search(text) else _TITLE_START.sub(r"\g<0></title>", text, count=1)


def _main_text(parser: LexborHTMLParser) -> Element:
    """Return the part of the page to write; if the rules leave too little of it, everything but menus."""
    tree = _tree(parser)
    whole = tree.size - tree.linked
    root = strip_boilerplate(tree)
    return root if root.size - root.linked >= _LEAST_LEFT * whole and root.size else _tree(parser)


def _tree(parser: LexborHTMLParser) -> Element:
    tree = read_tree(parser.body) if parser.body else Element("", {}, None)
    strip_certain(tree)
    return tree


def _title(parser: LexborHTMLParser, page: Page) -> str:
    """Return the title without the site's name, if the page's first heading is part of it."""
    node = parser.css_first("title")
    title = one_line(clean(node.text())) if node else ""
    heading = page.first_title()
    parts = _SITE.split(title)
    return heading if heading and heading.lower() in [part.lower() for part in parts] else title or heading


def _facts(parser: LexborHTMLParser) -> dict[str, str | int | float | bool]:
    html = parser.css_first("html")
    language = one_line(clean(html.attributes.get("lang") or "")) if html else ""
    return {"language": language} if 0 < len(language) <= 35 else {}


class Writer:
    """Write elements to a page: paragraphs, headings, lists, tables, code.

    Text gathers in a buffer until a block begins or ends; lines of a list gather until the list ends, so
    that its items stay together.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._buffer: list[str] = []
        self._lines: list[str] = []
        self._depth = 0
        self._bullet = ""

    def write(self, root: Element) -> None:
        """Write an element and everything below it."""
        self._children(root)
        self._end_lines()

    def _children(self, element: Element) -> None:
        for child in element.children:
            if isinstance(child, str):
                self._buffer.append(child.replace("\n", " "))
            elif child.tag in INLINE:
                self._inline(child)
            else:
                self._block(child)

    def _inline(self, element: Element) -> None:
        if element.tag in _CODE and not _has_blocks(element):
            code = element.flat()
            self._buffer.append(f"`{code}`" if code and "`" not in code else code)
        elif element.tag == "a" and element.flat() in ("¶", "#", "§"):
            return
        else:
            self._children(element)

    def _block(self, element: Element) -> None:
        tag = element.tag
        if tag == "br":
            self._buffer.append("\n")
            return
        self._end_line()
        if tag in _HEADINGS and not _has_blocks(element):
            self._end_lines()
            self._page.heading(_HEADINGS[tag], clean(_heading(element)))
        elif tag in ("pre", "listing", "xmp"):
            self._code(element)
        elif tag in _LISTS:
            self._list(element)
        elif tag == "li":
            self._item(element)
        elif tag == "table" and (rows := _rows(element)):
            self._end_lines()
            self._page.table(rows)
        else:
            self._children(element)
        self._end_line()

    def _list(self, element: Element) -> None:
        self._depth += 1
        self._children(element)
        self._end_line()
        self._depth -= 1
        if not self._depth:
            self._end_lines()

    def _item(self, element: Element) -> None:
        self._bullet = "- "
        self._children(element)
        self._end_line()
        self._bullet = ""

    def _code(self, element: Element) -> None:
        self._end_lines()
        around = [element, *(child for child in element.children if isinstance(child, Element))]
        if element.parent is not None:
            around += [element.parent, *([element.parent.parent] if element.parent.parent else [])]
        found = (_LANGUAGE.search(each.get("class")) for each in around)
        self._page.code(clean(_raw(element)), next((match[1] for match in found if match), ""))

    def _end_line(self) -> None:
        """Turn the buffer into lines; outside lists they are a paragraph."""
        if self._buffer:
            text = clean("".join(self._buffer))
            self._buffer.clear()
            for line in filter(None, map(one_line, text.split("\n"))):
                indent = "  " * max(0, self._depth - 1)
                self._lines.append(f"{indent}{self._bullet}{line}")
                self._bullet = "  " if self._bullet else ""
        if not self._depth:
            self._end_lines(flush=False)

    def _end_lines(self, *, flush: bool = True) -> None:
        if flush and self._buffer:
            self._end_line()
        if self._lines:
            self._page.text("\n".join(self._lines))
            self._lines.clear()


def _has_blocks(element: Element) -> bool:
    return any(below.tag not in INLINE and below.tag != "br" for below in element.elements())


def _heading(element: Element) -> str:
    return element.flat().rstrip("¶#§ ")


def _raw(element: Element) -> str:
    """Return preformatted text as it is."""
    pieces: list[str] = []
    stack: list[Element | str] = [element]
    while stack:
        piece = stack.pop()
        if isinstance(piece, str):
            pieces.append(piece)
        elif piece.tag == "br":
            pieces.append("\n")
        else:
            stack.extend(reversed(piece.children))
    return "".join(pieces)


def _rows(table: Element) -> list[list[str]]:
    """Return the cells of a table of data; nothing for one that only lays out a page."""
    below = list(table.elements())
    if any(element.tag in _NOT_IN_CELLS for element in below):
        return []
    rows = [
        [child for child in element.children if isinstance(child, Element) and child.tag in ("td", "th")]
        for element in below
        if element.tag == "tr"
    ]
    rows = [row for row in rows if row]
    if len(rows) < 2 or max(map(len, rows)) < 2 or any(cell.size > _LONGEST_CELL for row in rows for cell in row):
        return []
    caption = [[element.flat()] for element in below if element.tag == "caption"]
    return [*caption, *([clean(cell.flat()) for cell in row] for row in rows)]
