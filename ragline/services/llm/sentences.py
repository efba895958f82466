"""The sentences of an answer as it is written, with the passages that each cites."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_MARK = re.compile(r"[ \t]*\[\s*(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\s*\]")
_OPENING = re.compile(r"^(?:#{1,6}\s+|[-*•]\s+|\d{1,3}[.)]\s+|>\s+)+")
_END = re.compile(r"(?:[.!?][\"')\]*_]*(?:[ \t]*\[[\d ,;]+\])*(?=\s+[^\sa-z])|[。！？](?:[ \t]*\[[\d ,;]+\])*|\n)\s*")
_ONLY_MARKS = re.compile(r"(?:\s*+\[[\d\s,;]*+\]?+)*+\s*+")
_ONLY_OPENING = re.compile(r"\s*\d{1,3}[.)]\s*")
_LONGEST = 2_000


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of an answer.

    Attributes:
        raw: as it was written, with the white space after it.
        text: without numbers of citations, bullets and headings' marks.
        cited: the numbers in it, in order.
    """

    raw: str
    text: str
    cited: tuple[int, ...] = ()

    @classmethod
    def of(cls, raw: str) -> "Sentence":
        """Read a sentence."""
        numbers = [int(number) for marks in _MARK.findall(raw) for number in re.findall(r"\d+", marks)]
        return cls(raw, _OPENING.sub("", _MARK.sub("", raw).strip()), tuple(dict.fromkeys(numbers)))

    def citing(self, numbers: tuple[int, ...]) -> str:
        """Return the sentence as written, but with these numbers at its end."""
        space = self.raw[len(self.raw.rstrip()) :]
        marks = "".join(f" [{number}]" for number in numbers)
        return _MARK.sub("", self.raw).rstrip() + marks + space


def sentences(text: str) -> Iterator[Sentence]:
    """Yield the sentences of a whole answer; together they are the text."""
    splitter = Splitter()
    yield from splitter.add(text)
    yield from splitter.end()


class Splitter:
    """Gives sentences as soon as they are complete, from a text that comes in pieces.

    Example:
        >>> splitter = Splitter()
        >>> [s.raw for s in splitter.add("One is here. Two ")]
        ['One is here. ']
        >>> [s.raw for s in splitter.end()]
        ['Two ']
    """

    def __init__(self) -> None:
        self._rest = ""

    def add(self, piece: str) -> Iterator[Sentence]:
        """Yield what is complete with this piece."""
        self._rest += piece
        start = 0
        for match in _END.finditer(self._rest):
            if _ONLY_MARKS.fullmatch(self._rest, match.end()):
                break  # a number may yet follow: "It is so. [" goes on with "2]"
            if _ONLY_OPENING.fullmatch(self._rest, start, match.end()):
                continue
            yield Sentence.of(self._rest[start : match.end()])
            start = match.end()
        self._rest = self._rest[start:]
        if len(self._rest) > _LONGEST:  # no sentence: code or a table without lines
            yield from self.end()

    def end(self) -> Iterator[Sentence]:
        """Yield what is left."""
        rest, self._rest = self._rest, ""
        if rest:
            yield Sentence.of(rest)
