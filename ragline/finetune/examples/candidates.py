"""What may be asked of a passage, by kind."""

from collections.abc import Iterator
from dataclasses import dataclass

from ragline.finetune.examples.chance import draw
from ragline.finetune.examples.definitions import definitions
from ragline.finetune.examples.headings import HeadingCounts, heading_query, title_query
from ragline.finetune.examples.pair import Kind
from ragline.finetune.examples.passage import Passage, Span, Title
from ragline.finetune.examples.phrasing import asked, is_query, trimmed
from ragline.finetune.examples.scrubbing import plain

_DEFINITIONS = 2
_CODES = 2
_BODY_WORDS = 8
"""A heading with fewer words below it is only followed by others."""
_WINDOW = (6, 18)
"""Words of a crop."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A query, and what of its passage gives it away.

    Attributes:
        query: what is asked.
        kind: what it was made from.
        cuts: spans of the passage's text that the positive must not hold.
        hidden: titles that its heading path must not hold.
    """

    query: str
    kind: Kind
    cuts: tuple[Span, ...] = ()
    hidden: tuple[str, ...] = ()


class Candidates:
    """Makes the candidates of passages; the same for the same passage and seed.

    Example:
        >>> candidates = list(Candidates(counts, seed=0).of(passage, opens=True))  # doctest: +SKIP
    """

    def __init__(self, counts: HeadingCounts, seed: int) -> None:
        self._counts = counts
        self._seed = seed

    def of(self, passage: Passage, *, opens: bool) -> Iterator[Candidate]:
        """Yield the candidates of a passage; `opens` says that its document begins with it."""
        if opens:
            yield from self._title(passage)
        for title in passage.titles:
            yield from self._heading(passage, title)
        yield from self._first_sentence(passage)
        yield from self._definitions(passage)
        yield from self._codes(passage)
        yield from self._crop(passage)

    def _draw(self, passage: Passage, *parts: str) -> int:
        return draw(self._seed, passage.chunk.id, *parts)

    def _title(self, passage: Passage) -> Iterator[Candidate]:
        chunk = passage.chunk
        turn = self._draw(passage, "title")
        if query := title_query(chunk.document, chunk.title, self._counts, english=passage.english, draw=turn):
            cuts = [(title.start, title.end) for title in passage.titles if title.text == chunk.title]
            yield Candidate(query, "title", tuple(cuts), (chunk.title,))

    def _heading(self, passage: Passage, title: Title) -> Iterator[Candidate]:
        if not title.above or _words_below(passage, title) < _BODY_WORDS:
            return
        turn = self._draw(passage, "heading", title.text)
        if query := heading_query(title.text, title.above, self._counts, english=passage.english, draw=turn):
            yield Candidate(query, "heading", ((title.start, title.end),), (title.text,))

    def _first_sentence(self, passage: Passage) -> Iterator[Candidate]:
        for start, end in passage.sentences[:1]:
            query = asked(passage.text[start:end], english=passage.english, draw=self._draw(passage, "first"))
            if is_query(query):
                yield Candidate(query, "first sentence", ((start, end),))

    def _definitions(self, passage: Passage) -> Iterator[Candidate]:
        turn = self._draw(passage, "definition")
        found = {definition.query: definition for definition in definitions(passage, draw=turn)}
        for query in sorted(found, key=lambda query: self._draw(passage, query))[:_DEFINITIONS]:
            cut = found[query].cut
            yield Candidate(query, "definition", (cut,) if cut else ())

    def _codes(self, passage: Passage) -> Iterator[Candidate]:
        """Ask for code by the sentence that explains it, which is cut."""
        for number, (begin, _) in enumerate(passage.blocks[:_CODES]):
            before = [span for span in passage.sentences if span[1] <= begin and begin - span[1] < 8]
            if before and passage.text[begin : begin + 1] != "|":
                turn = self._draw(passage, "code", str(number))
                query = asked(passage.text[slice(*before[-1])], english=passage.english, draw=turn)
                if is_query(query) and len(query.split()) >= 5:
                    yield Candidate(query, "code", (before[-1],))

    def _crop(self, passage: Passage) -> Iterator[Candidate]:
        """Ask with a few words out of the middle of a sentence, or with a whole one, which is cut."""
        long = [span for span in passage.sentences[1:] if is_query(plain(passage.text[slice(*span)]))]
        if not long:
            return
        turn = self._draw(passage, "crop")
        start, end = long[turn % len(long)]
        query = asked(passage.text[start:end], english=passage.english, draw=turn)
        words = query.split()
        size = _WINDOW[0] + turn // 7 % (_WINDOW[1] - _WINDOW[0])
        if len(words) > size + 2 and not query.startswith("how "):
            first = turn // 11 % (len(words) - size)
            query = trimmed(" ".join(words[first : first + size]))
        if is_query(query):
            yield Candidate(query, "crop", ((start, end),))


def _words_below(passage: Passage, title: Title) -> int:
    following = [other.start for other in passage.titles if other.start > title.start]
    end = min(following, default=len(passage.text))
    return len(passage.text[title.end : end].split())
