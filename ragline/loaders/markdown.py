"""Markdown, as it is really written: front matter, HTML, Hugo shortcodes, MDX, admonitions.

Not a full parse: a scan for what must be treated apart (code, comments, HTML tables), and regular
expressions over the prose between. Every pattern runs in linear time; offsets refer to the loaded text.
"""

import re
from collections.abc import Iterator
from html import unescape
from textwrap import dedent

from ragline.documents import Loaded
from ragline.loaders.encoding import decode
from ragline.loaders.front_matter import split_front_matter
from ragline.loaders.html import add_fragment
from ragline.loaders.page import Page, tidy, words
from ragline.loaders.text import noted

MEDIA_TYPE = "text/markdown"

_SPECIAL = re.compile(
    r"^(?P<indent>[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?)(?P<fence>`{3,}(?=[^`\n]*$)|~{3,})(?P<info>[^\n]*)$"
    r"|^[ \t]*<(?P<tag>script|style|pre|table)\b"
    r"|(?<!`)<!--",
    re.MULTILINE | re.IGNORECASE,
)
_FENCE_END = {
    mark: re.compile(rf"^[ \t>]*({mark}{{3,}})[ \t]*$", re.MULTILINE) for mark in "`~"
}  # the length is compared in code: one pattern a length would fill the cache of compiled patterns
_QUOTE = re.compile(r"^[ \t]*(?:>[ \t]?)+", re.MULTILINE)
_LANGUAGE = re.compile(r"[\w+#.-]+")
_HEADING = re.compile(
    r"^ {0,3}(#{1,6})[ \t]+(\S[^\n]*)$"
    r"|^(?![ \t]*(?:[#>|+*=-]|\d+[.)])) {0,3}(\S[^\n]*)\n {0,3}(=+|-{2,})$",
    re.MULTILINE,
)
_HEADING_ID = re.compile(r"^( {0,3}#{1,6} [^\n{]*)\{[:#.][^{}\n]*\}$", re.MULTILINE)
_TABLE_RULE = re.compile(r"^[ \t>]*(?:\|[ \t]*)?:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*(?:\|)?$", re.MULTILINE)
_INDENTED = re.compile(r"(?<=\n\n)(?:(?: {4}|\t)[ \t]*\S[^\n]*(?:\n|\Z)(?:[ \t]*\n)*)+")
_NOT_BEFORE_CODE = re.compile(r"[ \t]|[-*+] |\d+[.)] |:::|!!!|\?\?\?|\[\^")

_INLINE = re.compile(
    r"(?P<code>``[^\n]+?``(?!`)|`[^`\n]+`)"
    r"|\{\{[<%](?P<shortcode>[^{}]*)[%>]\}\}"
    r"|\[!\[(?P<badge>[^\[\]]*)\]\([^()\s]*(?:[ \t][^()\n]*)?\)\]\([^()\n]*\)"
    r"|!?\[(?P<label>[^\[\]]*)\]\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)"
    r"|(?<![\w\]])!?\[(?P<reference>[^\[\]]*)\]\[[^\[\]\n]*\]"
    r"|<(?P<link>(?:https?|mailto|ftp):[^<>\s]*)>"
    r"|<(?P<close>/?)(?P<tag>[A-Za-z][A-Za-z0-9.-]*)(?P<attributes>\s[^<>]*|/)?>"
    r"|\*\*(?=\S)(?P<strong>[^*\n]+)\*\*"
    r"|(?<![\w*\\])\*(?=[^\s*])(?P<emphasis>[^*\n]+)\*(?![\w*])"
    r"|(?<![\w\\])__(?=[^\s_])(?P<underlined>[^_\n]+)__(?!\w)"
    r"|\\(?P<escaped>[!-/:-@\[-`{-~])"
)
_ATTRIBUTE = re.compile(r"""\b(?:title|name|header|label|summary)\s*=\s*["']([^"'{}]*)["']""")
_NOTES = words("note warning tip important caution info danger alert hint attention")
_DEFINITION = re.compile(r"^ {0,3}\[(?!\^)[^\[\]\n]+\]:[ \t]*\S[^\n]*$", re.MULTILINE)
_LIQUID = re.compile(r"^[ \t]*\{%[^{}\n]*%\}[ \t]*$", re.MULTILINE)
_MODULE = re.compile(r"^(?:import[ \t][^\n]*[\"'][^\n]*[\"'];?|export[ \t][^\n]*)[ \t]*$", re.MULTILINE)
_ADMONITION = re.compile(
    r"^(?P<indent>[ \t]*)(?:(?::{3,}|!!!|\?\?\?\+?)[ \t]*(?P<kind>[A-Za-z-]*)|>[ \t]*\[!(?P<github>[A-Za-z]+)\])"
    r"[ \t]*(?P<title>[^\n]*)$",
    re.MULTILINE,
)
_TAGS = words(
    "a abbr acronym article aside b big blockquote body br button caption center cite code col colgroup dd del details"
    " dfn div dl dt em embed figcaption figure font footer form h1 h2 h3 h4 h5 h6 head header hr html i iframe img"
    " input ins kbd label legend li link main mark meta nav noscript object ol option p param path picture pre q s samp"
    " script section select small source span strike strong style sub summary sup svg table tbody td template textarea"
    " tfoot th thead time tr tt u ul var video wbr"
)


def load_markdown(data: bytes, *, mdx: bool = False) -> Loaded:
    """Load a Markdown file; in MDX the import and export lines are left out."""
    text, encoding = decode(data)
    metadata, title, text = split_front_matter(text)
    if mdx:
        text = _MODULE.sub("", text)
    page = Page()
    add_markdown(page, text)
    return page.loaded(MEDIA_TYPE, title=title, metadata={**metadata, **noted(encoding)})


def add_markdown(page: Page, text: str) -> None:
    """Add Markdown without front matter to a page."""
    position = searched = 0
    missing: set[str] = set()
    prose: list[str] = []  # between two special parts; a comment does not end a paragraph
    while match := _SPECIAL.search(text, searched):
        end = _end(text, match, missing)
        if end < 0:
            searched = match.end()
            continue
        prose.append(text[position : match.start()])
        if match["fence"] or match["tag"]:
            _add_prose(page, "".join(prose))
            prose.clear()
            _add_special(page, text[match.start() : end], match)
        position = searched = end
    _add_prose(page, "".join([*prose, text[position:]]))


def _end(text: str, match: re.Match[str], missing: set[str]) -> int:
    """Return the offset behind a special part, -1 if it is not closed; an open fence runs to the end.

    Terminators that do not occur again are remembered in `missing`: looking for each of them again from
    every opening would take quadratic time.
    """
    if fence := match["fence"]:
        return _end_of_fence(text, match.end(), fence, missing)
    terminator = f"</{match['tag'].lower()}" if match["tag"] else "-->"
    if terminator in missing:
        return -1
    found = re.compile(re.escape(terminator) + ("" if terminator == "-->" else r"\s{0,9}>"), re.IGNORECASE).search(
        text, match.end()
    )
    if not found:
        missing.add(terminator)
        return -1
    return found.end()


def _end_of_fence(text: str, start: int, fence: str, missing: set[str]) -> int:
    if fence not in missing:
        for closing in _FENCE_END[fence[0]].finditer(text, start):
            if len(closing[1]) >= len(fence):
                return closing.end()
    missing.add(fence)
    return len(text)


def _add_special(page: Page, source: str, match: re.Match[str]) -> None:
    """Add a fenced block, or an HTML table or preformatted text; scripts and styles are left out."""
    if match["fence"]:
        _add_fence(page, source, match)
    elif match["tag"].lower() == "pre":
        add_fragment(page, source)
    elif match["tag"].lower() == "table":  # its cells are often written in Markdown
        add_fragment(page, _INLINE.sub(lambda each: each[0] if each["tag"] else _reduce(each), source))


def _add_fence(page: Page, source: str, match: re.Match[str]) -> None:
    lines = source.split("\n")[1:]
    closed = lines and lines[-1].strip(" \t>").startswith(match["fence"]) and not lines[-1].strip(" \t>`~")
    code = "\n".join(lines[:-1] if closed else lines)
    if ">" in match["indent"]:
        code = _QUOTE.sub("", code)
    language = _LANGUAGE.search(match["info"])
    page.code(dedent(code), language[0] if language else "")


def _add_prose(page: Page, source: str) -> None:
    text = tidy(_readable(source)).strip("\n")
    start = page.text(text)
    if page.end == start:
        return
    for match in _HEADING.finditer(text):
        level = len(match[1]) if match[1] else 1 if match[4][0] == "=" else 2
        page.mark(start + match.start(), level, _without_closing(match[2] or match[3]))
    for first, last in sorted([*_pipe_tables(text), *_indented_code(text)]):
        page.span(start + first, start + last)


def _without_closing(title: str) -> str:
    """Return an ATX heading's title without the optional closing "##"."""
    bare = title.rstrip("#")
    return bare.rstrip() if bare.endswith((" ", "\t")) else title


def _readable(text: str) -> str:
    """Return prose without the markup that is not for readers."""
    if "[!" in text or ":::" in text or "!!!" in text or "???" in text:
        text = _ADMONITION.sub(_admonition, text)
    if "{%" in text:
        text = _LIQUID.sub("", text)
    if "]:" in text:
        text = _DEFINITION.sub("", text)
    text = _INLINE.sub(_reduce, text)
    if "&" in text:
        text = unescape(text)
    return _HEADING_ID.sub(r"\1", text) if "{" in text else text


def _admonition(match: re.Match[str]) -> str:
    kind = match["github"] or match["kind"] or ""
    title = match["title"].strip().strip("[]\"'")
    label = title or kind.capitalize()
    prefix = "> " if match["github"] else ""
    return f"{match['indent']}{prefix}{label}:" if label else ""


def _reduce(match: re.Match[str]) -> str:
    """Return what a reader sees of one piece of inline markup."""
    kind = match.lastgroup
    if kind == "code":
        return match[0]
    if kind == "escaped" or kind == "link":
        return match[kind]
    if kind == "shortcode":
        return _shortcode(match["shortcode"])
    if kind == "badge":
        return ""
    if kind in ("label", "reference"):
        label = match[kind]
        # the text beside an image is worth reading when it is a phrase, not a file name
        return "" if match[0][0] == "!" and " " not in label.strip() else _INLINE.sub(_reduce, label)
    if kind == "underlined" and " " not in match[kind]:  # more often a name (__init__) than emphasis
        return match[0]
    if kind in ("strong", "emphasis", "underlined"):
        return _INLINE.sub(_reduce, match[kind])
    return _tag(match)


def _shortcode(source: str) -> str:
    words = source.split(None, 1)
    if not words or words[0].startswith("/"):
        return ""
    title = _ATTRIBUTE.search(source)
    if title:
        return f"{title[1]}:" if title[1] else ""
    return f"{words[0].capitalize()}:" if words[0] in _NOTES else ""


def _tag(match: re.Match[str]) -> str:
    """Drop an HTML tag, with what keeps its structure; leave a <placeholder> alone."""
    name = match["tag"]
    tag = name.lower()
    if tag not in _TAGS:
        component = name[:1].isupper() and not name.isupper() and (match["close"] or match["attributes"])
        title = _ATTRIBUTE.search(match["attributes"] or "") if component else None
        return match[0] if not component else title[1] if title else ""
    at_line_start = match.start() == 0 or match.string[match.start() - 1] == "\n"
    if match["close"]:
        return " | " if tag in ("td", "th") else ""
    if at_line_start and len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
        return "#" * int(tag[1]) + " "
    return "- " if tag == "li" else " " if tag in ("br", "hr") else ""


def _pipe_tables(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of pipe tables: a rule, the header above it and the rows below it."""
    done = 0
    for rule in _TABLE_RULE.finditer(text):
        start = text.rfind("\n", 0, max(rule.start() - 1, 0)) + 1
        if "|" not in rule[0] or start < done or "|" not in text[start : rule.start()]:
            continue
        end = rule.end()
        while end < len(text):
            line_end = text.find("\n", end + 1)
            line_end = len(text) if line_end < 0 else line_end
            if "|" not in text[end:line_end]:
                break
            end = line_end
        yield start, end
        done = end


def _indented_code(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of code by indentation, where it cannot be the continuation of a list or a note."""
    for match in _INDENTED.finditer(text):
        before = match.start() - 2
        if not _NOT_BEFORE_CODE.match(text, text.rfind("\n", 0, max(before, 0)) + 1):
            yield match.start(), match.start() + len(match[0].rstrip())
