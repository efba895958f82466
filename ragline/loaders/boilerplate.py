"""Which parts of an HTML page are not its text: menus, banners, footers, what is hidden.

The rules are general (tags, ARIA roles, words in class names and ids, share of links). Each rule that
guesses spares an element that holds a large part of the page, and when all rules together leave too little,
the caller falls back to the sure ones.
"""

import re
from collections.abc import Callable

from ragline.loaders.html_tree import Element
from ragline.loaders.page import words

_ROLES = words("navigation banner contentinfo search dialog alertdialog complementary menu menubar toolbar")
_WORDS = words(
    "nav navbar navigation sidebar sidenav sphinxsidebar breadcrumb breadcrumbs menu mainmenu submenu searchmenu topbar"
    " cookie cookies gdpr consent newsletter subscribe advert adverts advertisement ads sponsor sponsors pagination"
    " pager related share sharing social skip headerlink toc toctree tableofcontents footer copyright linenos lineno"
    " gutter modal popup feedback nosearch noindex skiplink topnav bottomnav rst-footer-buttons prevnext"
)
_WHOLE = words(
    "search searchbox search-box search-form header site-header masthead banner site-banner tagline robots-nocontent"
    " edit-this-page edit-page page-edit sr-only visually-hidden screen-reader-text anchor-link header-anchor"
    " sphinxsidebarwrapper prev-next prev-next-area page-nav back-to-top backtotop"
)
_NOTE = re.compile(r"note|tip|warn|admonition|callout|alert|important|caution|danger|info|hint|example|attention")
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_HEADINGS = frozenset(["h1", "h2", "h3", "h4", "h5", "h6"])
_MAIN = frozenset(["main", "article"])
_NAMED = frozenset(["div", "ul", "ol", "p", "table", "td", "section", "span", "a", "center", "dl", "details", "form"])
_LISTS = frozenset(["ul", "ol", "div", "table", "p", "center", "dl", "td"])
_FOOTER_LINE = re.compile(
    r"(?:this (?:page|document|article) (?:was )?)?last (?:modified|updated|edited|changed|reviewed|revised)\b"
    r"|(?:page )?(?:generated|built|powered|created) (?:by|with|on|at)\b"
    r"|copyright\b|©|\(c\) (?:19|20)\d\d|all rights reserved",
    re.IGNORECASE,
)
_LONGEST_FOOTER = 200


def strip_certain(top: Element) -> None:
    """Drop what is surely no text of the page: hidden elements and menus."""
    _drop(top, lambda element: _is_hidden(element) or element.tag == "nav" or element.get("role") == "navigation")


def strip_boilerplate(top: Element) -> Element:
    """Drop what the rules take for boilerplate and return the element that holds the main text."""
    spared = 0.5 * (top.size - top.linked)
    _drop(top, lambda element: _is_frame(element) or element.get("role") in _ROLES, spared)
    _drop(top, _is_named_boilerplate, spared)
    root = _main(top)
    if root is top:
        _drop_link_lists_around(top)
    _drop_contents_lists(root)
    _drop_footer_lines(root)
    return root


def _drop(top: Element, unwanted: Callable[[Element], bool], spared: float = float("inf")) -> None:
    """Drop the unwanted elements, but for those with `spared` characters of text outside links."""
    stack = [top]
    while stack:
        for child in [child for child in stack.pop().children if isinstance(child, Element)]:
            if unwanted(child) and (child.size == 0 or child.size - child.linked < spared):
                child.drop()
            else:
                stack.append(child)


def _is_hidden(element: Element) -> bool:
    attributes = element.attributes
    if not attributes:
        return False
    return (
        "hidden" in attributes
        or element.get("aria-hidden") == "true"
        or ("style" in attributes and bool(_HIDDEN_STYLE.search(element.get("style"))))
    )


def _is_frame(element: Element) -> bool:
    """Return whether the element is, by its tag, part of the frame around a page's text."""
    tag = element.tag
    if tag == "footer" or tag == "form":
        return True
    if tag == "header":
        return not _inside_main(element)
    return tag == "aside" and not (_inside_main(element) and _NOTE.search(_names(element)))


def _inside_main(element: Element) -> bool:
    return any(above.tag in _MAIN or above.get("role") == "main" for above in element.above())


def _names(element: Element) -> str:
    return f"{element.get('class')} {element.get('role')}"


def _is_named_boilerplate(element: Element) -> bool:
    if element.tag not in _NAMED or not element.attributes:
        return False
    names = (element.attributes.get("class") or "").split()
    if identifier := element.attributes.get("id"):
        names += [] if _is_section(element, identifier) else identifier.split()
    if not any(map(_is_boilerplate_name, names)):
        return False
    return not any(
        below.tag in _MAIN or below.tag == "h1" or below.get("role") == "main" for below in element.elements()
    )


def _is_section(element: Element, identifier: str) -> bool:
    """Return whether an id was made from a heading: it names what the text is about, not what it is for."""
    if element.tag == "section" or element.tag == "a" or "section" in element.get("class").split():
        return True
    first = next((child for child in element.children if isinstance(child, Element)), None)
    if first is None or first.tag not in _HEADINGS:
        return False
    slug = "-".join(re.findall(r"\w+", first.flat().lower()))
    return slug.startswith(identifier.lower().replace("_", "-"))


def _is_boilerplate_name(name: str) -> bool:
    whole = name.lower()
    if whole in _WORDS or whole in _WHOLE:
        return True
    return any(part in _WORDS for part in re.split(r"[-_]+", _CAMEL.sub("-", name).lower()))


def _main(top: Element) -> Element:
    """Return the main element, or the only article, if it holds most of the text; else the whole page."""
    elements = list(top.elements())
    mains = [element for element in elements if element.tag == "main" or element.get("role") == "main"]
    articles = [element for element in elements if element.tag == "article"]
    for candidates in (mains, articles):
        if len(candidates) == 1 and candidates[0].size >= 0.5 * top.size:
            return candidates[0]
    return top


def _drop_link_lists_around(top: Element) -> None:
    """Drop lists of links before the first heading and behind the last running text."""
    elements = list(top.elements())
    first = next((index for index, element in enumerate(elements) if element.tag in _HEADINGS), 0)
    last = max((index for index, element in enumerate(elements) if _has_running_text(element)), default=len(elements))
    for index, element in enumerate(elements):
        around = index < first or index > last
        if around and element.tag in _LISTS and element.links >= 4 and element.linked >= 0.8 * element.size:
            element.drop()


def _has_running_text(element: Element) -> bool:
    return element.tag != "a" and sum(len(child) for child in element.children if isinstance(child, str)) >= 40


def _drop_contents_lists(root: Element) -> None:
    """Drop lists that only lead to places of the same page: they repeat its headings."""
    for element in list(root.elements()):
        if element.tag in ("ul", "ol") and element.links >= 3 and element.linked >= 0.9 * element.size:
            links = [below.get("href") for below in element.elements() if below.tag == "a" and below.size]
            if all(href.startswith("#") for href in links):
                element.drop()


def _drop_footer_lines(root: Element) -> None:
    """Drop a short last line that tells when the page was changed, or whose it is."""
    for element in list(root.elements())[:-40:-1]:
        if 0 < element.size <= _LONGEST_FOOTER and _FOOTER_LINE.match(element.flat()):
            element.drop()
