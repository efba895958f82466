"""Is an answer carried by the passages that it was made from, and which of them carry what?

Judged by words, sentence by sentence. A sentence is carried when one passage, or two together, hold in a few
neighbouring sentences most of its content words, most of those among them that are not the question's, and all its
numbers; and anywhere in the passage or its headings its names, options and paths; and when what it negates is negated
there too. A sentence that cites passages is compared with those alone. It is a test of words, not of logic: it finds
what was made up, not every wrong conclusion.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ragline.answering import Citation, window_spans, windows
from ragline.services.llm.claims import Claims, Reader, numbers
from ragline.services.llm.retrieved import Document, Quote
from ragline.services.llm.sentences import Sentence, sentences

NOTHING = "Nothing in the documents answers this question."
"""What is answered where nothing was found."""

_SHARE = 0.6  # of the content words
_CITATIONS = 5
_REFUSAL = re.compile(
    r"\bnothing in the (?:documents?|passages?|context)\b"
    r"|\b(?:passages?|documents?|documentation|context|texts?|sources?)\b[^.!?]{0,40}"
    r"\b(?:do|does|did|is|are)(?: not|n['’]t)\b[^.!?]{0,40}\b(?:answer|contain|mention|say|provid|specif|cover|state)"
    r"|\bI (?:do not|don['’]t|cannot|can['’]t|am not able to|could not) (?:know|find|answer|determine)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is found about one sentence.

    Attributes:
        claims: whether it says anything that could be carried; courtesies do not.
        quotes: what carries it, by the number of the passage; empty when nothing does.
    """

    claims: bool
    quotes: tuple[tuple[int, Quote], ...] = ()

    @property
    def carried(self) -> bool:
        """Whether a passage carries it."""
        return bool(self.quotes)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the passages that carry it."""
        return tuple(number for number, _ in self.quotes)


@dataclass(slots=True)
class Support:
    """What is found about an answer, sentence by sentence.

    Attributes:
        carried: sentences that passages carry.
        unsupported: sentences that claim something which none carries.
        cites: whether any sentence names a passage.
        quotes: what carries the answer best in each passage, by its number.
    """

    carried: int = 0
    unsupported: int = 0
    cites: bool = False
    quotes: dict[int, Quote] = field(default_factory=dict)

    def add(self, sentence: Sentence, verdict: Verdict) -> None:
        """Count a sentence in."""
        self.cites |= bool(sentence.cited)
        if verdict.carried:
            self.carried += 1
        elif verdict.claims:
            self.unsupported += 1
        for number, quote in verdict.quotes:
            if number not in self.quotes or quote.score > self.quotes[number].score:
                self.quotes[number] = quote

    @property
    def supported(self) -> bool:
        """Whether all that is claimed is carried, and something is."""
        return bool(self.carried) and not self.unsupported

    @property
    def citations(self) -> tuple[Citation, ...]:
        """Where what was carried stands, by the numbers of the passages."""
        return tuple(cited(number, self.quotes[number]) for number in sorted(self.quotes))


def cited(number: int, quote: Quote) -> Citation:
    """Return a quote as the citation of that number."""
    return Citation(number, quote.source, quote.section, quote.quote, round(quote.score, 4))


@dataclass(frozen=True, slots=True)
class _Window:
    text: str
    words: frozenset[str]
    numbers: frozenset[str]

    def share(self, wanted: frozenset[str]) -> float:
        return len(wanted & self.words) / len(wanted) if wanted else 1.0


class _Passage:
    """A passage as it is compared with sentences."""

    def __init__(self, document: Document, reader: Reader) -> None:
        self.document = document
        self._reader = reader
        self.path_words = reader.words(document.path)
        self.path_numbers = numbers(document.path)

    @cached_property
    def windows(self) -> list[_Window]:
        return [self._joined(spans) for spans in window_spans(self.document.text)]

    @cached_property
    def sentences(self) -> dict[tuple[int, int], _Window]:
        """Each sentence by where it stands."""
        spans = (span for window in window_spans(self.document.text) for span in window)
        return {span: self._window(self.document.text[slice(*span)]) for span in dict.fromkeys(spans)}

    @cached_property
    def words(self) -> frozenset[str]:
        return self._reader.words(self.document.text) | self.path_words

    @cached_property
    def identifiers(self) -> str:
        return f"{self.document.path}\n{self.document.text}".lower()

    def _window(self, text: str) -> _Window:
        return _Window(text, self._reader.words(text) | self.path_words, numbers(text, spelt=True) | self.path_numbers)

    def _joined(self, spans: Sequence[tuple[int, int]]) -> _Window:
        parts = [self.sentences[span] for span in spans]
        return _Window(
            self.document.text[spans[0][0] : spans[-1][1]],
            frozenset[str]().union(*(part.words for part in parts)),
            frozenset[str]().union(*(part.numbers for part in parts)),
        )

    def best(self, claims: Claims) -> _Window | None:
        """Return the window that holds most of what is claimed; the earlier and shorter one of equals."""
        return max(
            self.windows,
            key=lambda w: (len(claims.numbers & w.numbers), w.share(claims.words), -len(w.text)),
            default=None,
        )

    def holds(self, identifier: str) -> bool:
        return identifier in self.identifiers

    def contradicts(self, claims: Claims) -> bool:
        """Whether the sentence that is closest to the claims negates what they assert, or the other way round."""
        closest = max(self.sentences.values(), key=lambda w: (w.share(claims.words), -len(w.text)), default=None)
        if closest is None:
            return False
        negated = self._reader.negated(closest.text)
        asserted = claims.words - claims.negated
        return bool(negated & asserted or claims.negated & (closest.words - negated))


class Evidence:
    """The passages that an answer was made from; judges its sentences. Not to be shared between threads.

    Example:
        >>> Evidence([document]).judge(Sentence.of("The limit is 40 EUR [1]."))  # doctest: +SKIP
    """

    def __init__(self, question: str, documents: Sequence[Document]) -> None:
        """Take the passages in the order of their numbers, from [1]."""
        self._reader = Reader()
        self._asked = self._reader.words(question)
        self._passages = {n: _Passage(document, self._reader) for n, document in enumerate(documents, start=1)}

    def judge(self, sentence: Sentence) -> Verdict:
        """Return whether a sentence claims anything, and what carries it."""
        claims = self._reader.claims(sentence.text)
        if not claims:
            return Verdict(claims=False)
        numbers = sentence.cited or tuple(self._passages)
        if any(number not in self._passages for number in numbers):
            return Verdict(claims=True)
        candidates = sorted(numbers, key=lambda n: -self._share(n, claims))
        groups: Iterable[tuple[int, ...]] = ((n,) for n in candidates)
        if carried := next((group for group in groups if self._carries(group, claims)), None):
            return Verdict(claims=True, quotes=self._quotes(carried, claims))
        pair = tuple(candidates[:2]) if not sentence.cited else tuple(candidates)
        if len(pair) > 1 and self._carries(pair, claims):
            return Verdict(claims=True, quotes=self._quotes(pair, claims))
        return Verdict(claims=True)

    def check(self, answer: str) -> Support:
        """Return what is found about a whole answer."""
        support = Support()
        for sentence in sentences(answer):
            support.add(sentence, self.judge(sentence))
        return support

    def _share(self, number: int, claims: Claims) -> float:
        window = self._passages[number].best(claims)
        return window.share(claims.words) if window else 0.0

    def _carries(self, group: Sequence[int], claims: Claims) -> bool:
        passages = [self._passages[number] for number in group]
        best = [window for passage in passages if (window := passage.best(claims))]
        words = frozenset[str]().union(*(window.words for window in best))
        figures = frozenset[str]().union(*(window.numbers for window in best))
        everywhere = frozenset[str]().union(*(passage.words for passage in passages))
        return (
            bool(best)
            and _most(claims.words, words)
            and _most(claims.words - self._asked, words)
            and claims.numbers <= figures
            and claims.names <= everywhere
            and all(any(passage.holds(name) for passage in passages) for name in claims.identifiers)
            and not any(passage.contradicts(claims) for passage in passages)
        )

    def _quotes(self, group: Sequence[int], claims: Claims) -> tuple[tuple[int, Quote], ...]:
        return tuple((number, self._quote(number, claims)) for number in sorted(group))

    def _quote(self, number: int, claims: Claims) -> Quote:
        passage = self._passages[number]
        window = passage.best(claims)
        text = window.text if window else ""
        return Quote(passage.document.source, passage.document.path, text, self._share(number, claims))


def _most(wanted: frozenset[str], held: frozenset[str]) -> bool:
    return len(wanted & held) >= _SHARE * len(wanted)


def quotes_from(question: str, documents: Sequence[Document]) -> tuple[Quote, ...]:
    """Return the windows of texts that hold most of a question's words, best first; one of each text.

    For texts that a caller gave: they are in no index, so there is neither a vector nor a rarity of words.
    """
    wanted = Reader().words(question)
    best = sorted((q for document in documents if (q := _closest(wanted, document))), key=lambda q: -q.score)
    return tuple(quote for quote in best[:_CITATIONS] if quote.score > best[0].score / 2)


def _closest(wanted: frozenset[str], document: Document) -> Quote | None:
    def scored() -> Iterator[Quote]:
        reader = Reader()
        for text in windows(document.text):
            score = len(wanted & reader.words(text)) / (len(wanted) or 1)
            yield Quote(document.source, document.path, text, score)

    best = max(scored(), key=lambda quote: (quote.score, -len(quote.quote)), default=None)
    return best if best and best.score > 0 else None


def refuses(answer: str) -> bool:
    """Whether an answer begins with saying that the documents have none."""
    first = next(sentences(answer.lstrip()), None)
    return first is not None and bool(_REFUSAL.search(first.text))
