"""Positives without their queries: a model should learn what a text means, not that it holds the same words."""

import re
from collections.abc import Iterable

from ragline.chunking import PATH
from ragline.documents import Chunk
from ragline.finetune.examples.passage import Passage, Span

_WORD = re.compile(r"\w")
_IDEOGRAPH = re.compile(r"[\u3040-\u9fff\uac00-\ud7af]")
_PATH_WORDS = 32
"""A longer heading path is cut, as the chunker does it."""
_LEAST = 10
"""A positive of fewer words says too little."""


def plain(text: str) -> str:
    """Return a text as a person would type it: on one line, without code marks."""
    return " ".join(text.replace("`", "").split())


def key_of(query: str) -> str:
    """Return what two queries share that are the same but for case, punctuation and white space."""
    return " ".join(re.findall(r"\w+", query.casefold()))


def scrub(text: str, query: str) -> str:
    r"""Return `text` without the places where `query` stands literally, whatever the case, white space and code marks.

    Example:
        >>> scrub("Roll back: how to roll\nback a release", "Roll back")
        ': how to a release'
    """
    words = query.split()
    if not words:
        return text
    literal = re.compile(r"[\s`]+".join(re.escape(word) for word in words), re.IGNORECASE)
    while (scrubbed := _tidy(literal.sub("", text))) != text:
        text = scrubbed
    return text


def passage_text(chunk: Chunk) -> str:
    """Return what a model reads of a chunk: title and heading path on one line, and the text."""
    return "\n".join(part for part in (_path((chunk.title, chunk.section)), chunk.text) if part)


def positive(passage: Passage, cuts: Iterable[Span], hidden: Iterable[str], queries: Iterable[str]) -> str:
    """Return what a model reads of a passage: title, heading path and text, without what gives the queries away.

    Args:
        passage: where the answer is.
        cuts: spans of its text to leave out.
        hidden: titles to leave out of the heading path.
        queries: what must not stand in it literally.
    """
    out = set(hidden)
    path = _path(part for part in passage.path if part not in out)
    text = "\n".join(part for part in (path, _without(passage.text, cuts)) if part)
    for query in sorted(queries, key=len, reverse=True):
        text = scrub(text, query)
    return _tidy(text)


def says_enough(text: str) -> bool:
    """Tell whether a positive has enough words left to be told from others."""
    return len(text.split()) + len(_IDEOGRAPH.findall(text)) // 2 >= _LEAST and len(_WORD.findall(text)) >= 3 * _LEAST


def _path(parts: Iterable[str]) -> str:
    words = PATH.join(plain(part) for part in parts if part).split()
    return " ".join(words[:_PATH_WORDS])


def _without(text: str, cuts: Iterable[Span]) -> str:
    kept, start = list[str](), 0
    for first, behind in sorted(cuts):
        kept.append(text[start:first])
        start = max(start, behind)
    return "".join([*kept, text[start:]])


def _tidy(text: str) -> str:
    """Drop the empty lines, empty items and double spaces that cuts leave behind; indentation stays."""
    text = re.sub(r"(?<=\S)[ \t]{2,}", " ", text)
    text = re.sub(r"(?m)^[ \t]*(?:[-*+•#]+|\d+[.)])?[ \t]*$\n?", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()
