"""What a reader gets to see of a model's text, piece by piece, and what it is worth in the end.

Quoted     the text is quotes already: shown as it comes
Checked    shown as it comes; what the documents do not carry is said at the end
Sifted     only sentences that passages carry are shown, each with their numbers; without any, quotes
"""

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

from ragline.answering import Citation
from ragline.services.llm.retrieved import Document, Quote
from ragline.services.llm.sentences import Sentence, Splitter
from ragline.services.llm.support import Evidence, Support, cited, refuses

Show = Literal["all", "supported"]
NOT_CARRIED = "The documents that were found do not support this answer."
PARTLY_CARRIED = "Parts of this answer are not supported by the documents that were found."
NO_TEXT = "The language model gave no answer."
NOTHING_CARRIED = "The documents that were found do not support an answer."

_QUOTES = 3


class Showing(Protocol):
    """One answer on its way to a reader; what it is worth is known after `end`.

    Attributes:
        found: whether the documents have an answer, as far as it can be told.
        supported: whether all that is claimed is carried by passages.
        citations: of what carries it.
    """

    found: bool
    supported: bool
    citations: tuple[Citation, ...]

    def add(self, text: str) -> Iterator[str]:
        """Yield what is to be shown with a piece of the model's text."""

    def end(self) -> Iterator[str]:
        """Yield what is to be shown after the model's text."""


class Quoted:
    """Quotes need no check."""

    def __init__(self, quotes: Sequence[Quote]) -> None:
        self.found = self.supported = True
        self.citations = tuple(cited(number, quote) for number, quote in enumerate(quotes, start=1))

    def add(self, text: str) -> Iterator[str]:
        """Yield the text."""
        yield text

    def end(self) -> Iterator[str]:
        """Yield nothing."""
        yield from ()


class Checked:
    """The whole text, and a plain sentence after it where the documents do not carry it."""

    def __init__(self, question: str, documents: Sequence[Document]) -> None:
        self.found = True
        self.supported = False
        self.citations: tuple[Citation, ...] = ()
        self._question = question
        self._documents = documents
        self._text = ""

    def add(self, text: str) -> Iterator[str]:
        """Yield the text, without white space at its beginning."""
        text = text if self._text else text.lstrip()
        self._text += text
        if text:
            yield text

    def end(self) -> Iterator[str]:
        """Yield the numbers of the passages where the model left them out, and a remark where there is one to make."""
        if not self._text:
            yield NO_TEXT
            return
        if refuses(self._text):
            self.found = False
            return
        evidence = Evidence(self._question, self._documents)
        support = evidence.check(self._text)
        self.supported, self.citations = support.supported, support.citations
        if support.quotes and not support.cites:
            yield "".join(f" [{number}]" for number in sorted(support.quotes))
        if not support.supported:
            yield f"\n\n{PARTLY_CARRIED if support.carried else NOT_CARRIED}"


class Sifted:
    """Only what passages carry; each sentence appears as soon as it is complete."""

    def __init__(self, question: str, documents: Sequence[Document], quotes: Sequence[Quote]) -> None:
        self.found = self.supported = True
        self.citations: tuple[Citation, ...] = ()
        self._evidence = Evidence(question, documents)
        self._splitter = Splitter()
        self._support = Support()
        self._quotes = quotes
        self._space = ""  # after the last sentence, for the next one

    def add(self, text: str) -> Iterator[str]:
        """Yield the sentences that are complete now and carried."""
        yield from self._carried(self._splitter.add(text))

    def end(self) -> Iterator[str]:
        """Yield the rest of the sentences, or quotes where none was carried."""
        yield from self._carried(self._splitter.end())
        self.citations = self._support.citations
        if not self._support.carried:
            yield from self._instead()

    def _carried(self, sentences: Iterator[Sentence]) -> Iterator[str]:
        for sentence in sentences:
            verdict = self._evidence.judge(sentence)
            self._support.add(sentence, verdict)
            if verdict.carried:
                text = sentence.citing(verdict.numbers)
                yield self._space + text.rstrip()
                self._space = text[len(text.rstrip()) :]

    def _instead(self) -> Iterator[str]:
        self.citations = tuple(cited(number, quote) for number, quote in enumerate(self._quotes, start=1))
        self.supported = bool(self._quotes)
        yield quoted_text(self._quotes) or NOTHING_CARRIED


def quoted_text(quotes: Sequence[Quote]) -> str:
    """Return the best quotes with their numbers, as an answer; "" where there are none."""
    return "\n\n".join(f"{quote.quote} [{number}]" for number, quote in enumerate(quotes[:_QUOTES], start=1))
