"""A chunk as a place in its document: its headings, its code, and its prose sentence by sentence."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from ragline.chunking import PATH
from ragline.documents import Chunk, Document

_PARAGRAPH_END = re.compile(r"\n[ \t]*\n\s*|\n(?=[ \t]*(?:[-*+•]|\d+[.)])[ \t])")
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\be\.g\.)(?<!\bi\.e\.)[\"')\]]*\s+(?=[\"'(`\[]*[^\Wa-z_])|(?<=[。！？])")
_ENGLISH = frozenset("the a an of to and is are in for with that this you it on as be or".split())
_CODE_EDGE = re.compile(r"^\s*(```|~~~|\|)")

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Title:
    """A heading inside a passage, and the titles of the headings above it, the document's title first."""

    start: int
    end: int
    text: str
    above: tuple[str, ...]


class Passage:
    """A chunk with what its document knows about it; all offsets refer to the chunk's text."""

    def __init__(self, chunk: Chunk, titles: Sequence[Title], blocks: Sequence[Span], *, english: bool) -> None:
        self.chunk = chunk
        self.text = chunk.text
        self.titles = titles
        self.blocks = blocks
        self.english = english

    @cached_property
    def path(self) -> tuple[str, ...]:
        """The title and the headings above the chunk's start; a heading that the chunk begins with is among them."""
        return tuple(part for part in (self.chunk.title, *self.chunk.section.split(PATH)) if part)

    @cached_property
    def sentences(self) -> list[Span]:
        """The sentences of the prose, without code, tables and headings, in order."""
        return [span for paragraph in self._paragraphs() for span in _split(self.text, paragraph, _SENTENCE_END)]

    def heading_before(self, position: int) -> tuple[str, ...]:
        """Return title and headings above a position, outermost first."""
        index = bisect_right(self.titles, position, key=lambda title: title.start)
        return (*self.titles[index - 1].above, self.titles[index - 1].text) if index else self.path

    def _paragraphs(self) -> Iterator[Span]:
        start = 0
        breaks = sorted([*self.blocks, *((title.start, title.end) for title in self.titles)])
        for first, behind in [*breaks, (len(self.text), len(self.text))]:
            if start < first:
                yield from _split(self.text, (start, first), _PARAGRAPH_END)
            start = max(start, behind)


def passages(document: Document, chunks: Sequence[Chunk]) -> Iterator[Passage]:
    """Yield the passages of a document."""
    content = document.content
    titles, english = _titles(document), is_english(content.text)
    for chunk in chunks:
        low, high = chunk.start, chunk.end
        inside = [
            Title(title.start - low, min(title.end, high) - low, title.text, title.above)
            for title in titles[bisect_right(titles, low - 1, key=lambda title: title.start) :]
            if title.start < high
        ]
        blocks = [
            (max(start, low) - low, min(end, high) - low) for start, end in content.blocks if start < high and end > low
        ]
        yield Passage(chunk, inside, blocks, english=english)


def is_english(text: str) -> bool:
    """Tell by its small words whether a text is in English, which some phrasings suppose."""
    words = text[:20000].lower().split()
    return sum(word in _ENGLISH for word in words) > 0.12 * len(words)


def _titles(document: Document) -> list[Title]:
    content, titles, path = document.content, list[Title](), list[tuple[int, str]]()
    for heading in content.headings:
        while path and path[-1][0] >= heading.level:
            path.pop()
        above = [title for _, title in path]
        if content.title and above[:1] != [content.title]:
            above.insert(0, content.title)
        line_end = content.text.find("\n", heading.start)
        end = line_end if line_end >= 0 else len(content.text)
        titles.append(Title(heading.start, end, heading.title, tuple(above)))
        path.append((heading.level, heading.title))
    return titles


def _split(text: str, span: Span, ends: re.Pattern[str]) -> Iterator[Span]:
    """Yield the stretches between matches, without the white space around them."""
    start, behind = span
    for match in [*ends.finditer(text, start, behind), None]:
        stop = match.start() if match else behind
        piece = text[start:stop]
        if stripped := piece.strip():
            begin = start + len(piece) - len(piece.lstrip())
            if not _CODE_EDGE.match(stripped):
                yield begin, begin + len(stripped)
        start = match.end() if match else behind
