"""Inline markup of reStructuredText: roles, references, literals, emphasis, substitutions."""

import re

_INLINE = re.compile(
    r"``(?P<literal>[^`]+(?:`[^`]+)*)``"
    r"|(?P<role>:[A-Za-z][\w.+:-]{0,60}:)`(?P<content>[^`]+)`"
    r"|`(?P<phrase>[^`]+)`(?P<reference>__?)?"
    r"|\*\*(?=\S)(?P<strong>[^*]+)\*\*"
    r"|(?<![\w*\\])\*(?=[^\s*])(?P<emphasis>[^*]+)\*(?![\w*])"
    r"|\|(?P<substitution>[A-Za-z][^|\n]*)\|_{0,2}"
    r"|[ \t]?\[#?[\w.-]*\]_(?!\w)"
    r"|\\(?P<escaped>[\s\S])"
)
_BULLET = re.compile(r"^([ \t]*)(?:[-*+•‣]|#\.)[ \t]+(?=\S)", re.MULTILINE)
_LINE_BLOCK = re.compile(r"^([ \t]*)\|[ \t]", re.MULTILINE)
_SHORT_TARGETS = frozenset(
    [":class:", ":meth:", ":func:", ":mod:", ":attr:", ":exc:", ":data:", ":obj:", ":const:", ":any:"]
)
_LITERAL_ROLES = frozenset(
    [":code:", ":file:", ":command:", ":program:", ":option:", ":envvar:", ":samp:", ":kbd:", ":makevar:"]
)


def readable(text: str, substitutions: dict[str, str]) -> str:
    """Return text as a reader of the built page sees it: literals in single backticks, list items as "- ".

    Args:
        text: one or more paragraphs.
        substitutions: the replacements that the document defines, by name.
    """
    if not any(mark in text for mark in "`*|\\["):
        return _BULLET.sub(r"\1- ", text)

    def reduce(match: re.Match[str]) -> str:
        kind = match.lastgroup
        if kind == "literal":
            return f"`{match['literal']}`"
        if kind == "content":
            return _role(match["role"].lower(), match["content"])
        if kind in ("phrase", "reference"):
            return _without_target(match["phrase"]) or match["phrase"].strip("<> ")
        if kind in ("strong", "emphasis"):
            return _INLINE.sub(reduce, match[kind])
        if kind == "substitution":
            return substitutions.get(match["substitution"], match[0])
        if kind == "escaped":
            return match["escaped"] if not match["escaped"].isspace() else ""
        return ""  # a reference to a footnote

    text = _BULLET.sub(r"\1- ", text)
    if "| " in text:
        text = _LINE_BLOCK.sub(r"\1", text)
    return _INLINE.sub(reduce, text)


def _role(role: str, content: str) -> str:
    """Return the text of a role: its title, or the last part of a `~` target."""
    title = _without_target(content)
    if title and title != content:
        return title.lstrip("!~")
    if content.startswith("~"):
        return content.strip("~").rsplit(".", 1)[-1]
    content = content.lstrip("!")
    base = ":" + role.rstrip(":").rsplit(":", 1)[-1] + ":"
    if base in _LITERAL_ROLES:
        return f"`{content}`"
    return content.lstrip(".") if base in _SHORT_TARGETS else content.strip("<>")


def _without_target(text: str) -> str:
    """Return the text of `text <target>`."""
    return text[: text.rfind("<")].rstrip() if text.endswith(">") and "<" in text else text
