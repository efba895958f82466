"""Text to chunks: the text is tokenised once, and cut at the best boundary before each chunk is full.

A boundary has a rank: before a heading, around a code block or table, between paragraphs, between
sentences, between lines; inside a code block or table the ranks are lower. From each chunk's start the
cut falls on the last boundary of the best rank in the second half of the token budget (for headings: the
last three quarters), so chunks are full and still begin where a thought begins.

What is embedded is the chunk's heading path in front of its text, and never more than the model takes:
nothing is cut silently by the embedder.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Protocol

import numpy as np

from ragline import digests
from ragline.documents import Chunk, Document, Heading, Loaded
from ragline.errors import SettingError

VERSION = 1
"""Part of the chunk digest: raised when the same document would be cut otherwise."""

PATH = " > "
_SEGMENT = 1 << 15
"""Characters tokenised at a time, so that memory does not grow with the document."""
_CHARACTERS_PER_TOKEN = 16
"""A longer stretch than this per token (base64, minified code) is cut by characters."""
_LINE_END = re.compile(r"\n([ \t]*\n\s*)?")
_SENTENCE_END = re.compile(r"[.!?][\"')\]]*[ \t]+|[。！？](?![ \t]*\n)")
_LINE, _SENTENCE, _PARAGRAPH, _BLOCK, _HEADING = 1, 2, 3, 4, 5


class Encoding(Protocol):
    """What a tokenizer gives for one text."""

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """First character and the one behind the last, of each token."""
        ...


class Tokenizer(Protocol):
    """The part of `tokenizers.Tokenizer` that is used here."""

    def encode(self, sequence: str, *, add_special_tokens: bool = True) -> Encoding:
        """Tokenise one text."""
        ...


@dataclass(frozen=True, slots=True)
class ChunkSize:
    """How large chunks may be, in tokens of the embedder.

    Attributes:
        text: most tokens of a chunk's own text.
        overlap: tokens repeated from the chunk before, at most; 0 for none.
        whole: most tokens of heading path and text together: the model's longest input.

    Raises:
        SettingError: the sizes do not fit each other or the model.
    """

    text: int = 200
    overlap: int = 0
    whole: int = 256

    def __post_init__(self) -> None:
        if not 16 <= self.text <= self.whole - 8:
            raise SettingError(
                f"chunk size: {self.text} tokens; choose 16 to {self.whole - 8} (the embedder takes {self.whole})"
            )
        if not 0 <= self.overlap <= self.text // 2:
            raise SettingError(
                f"chunk overlap: {self.overlap} tokens; choose 0 to {self.text // 2}, half the chunk size"
            )

    @property
    def path(self) -> int:
        """Most tokens of the heading path; two special tokens and two for joints are set aside."""
        return self.whole - self.text - 4


class Chunker:
    """Cuts documents into chunks.

    Example:
        >>> chunker = Chunker(tokenizer, ChunkSize(text=200, whole=256))  # doctest: +SKIP
        >>> chunks = list(chunker.chunks(document))  # doctest: +SKIP
    """

    def __init__(self, tokenizer: Tokenizer, size: ChunkSize) -> None:
        self._tokenizer = tokenizer
        self._size = size

    def chunks(self, document: Document) -> Iterator[Chunk]:
        """Yield the chunks of `document` in the order of its text."""
        content, seen = document.content, dict[str, tuple[str, int]]()
        sections = _sections(content)
        for start, end, tokens in self._spans(content):
            section = sections[bisect_right(sections, start, key=itemgetter(0)) - 1][1]
            if section not in seen:
                seen[section] = self._prefix(content.title, section)
            prefix, prefix_tokens = seen[section]
            text = content.text[start:end]
            digest = digests.of_text(prefix + text)
            yield Chunk(
                id=digests.of_text(f"{document.id}\0{start}\0{digest}")[:32],
                document=document.id,
                title=content.title,
                section=section,
                start=start,
                end=end,
                text=text,
                tokens=tokens + prefix_tokens + 2,
                digest=digest,
            )

    def embedded_text(self, chunk: Chunk) -> str:
        """Return what stands for `chunk` in the vector space: its heading path and its text."""
        return self._prefix(chunk.title, chunk.section)[0] + chunk.text

    def _prefix(self, title: str, section: str) -> tuple[str, int]:
        """Return the heading path as embedded, shortened to its budget, and its tokens."""
        limit = self._size.path
        path = " ".join(PATH.join(part for part in (title, section) if part).split())[: _CHARACTERS_PER_TOKEN * limit]
        offsets = self._tokenizer.encode(path, add_special_tokens=False).offsets if path else []
        end = offsets[limit][0] if len(offsets) > limit else len(path)
        tokens = bisect_left(offsets, (end,))
        return (path[:end].rstrip() + "\n", tokens) if tokens else ("", 0)

    def _spans(self, content: Loaded) -> Iterator[tuple[int, int, int]]:
        """Yield (start, end, tokens) of the chunks' texts, without the white space around them."""
        for start, end, tokens in self._windows(content):
            text = content.text[start:end]
            if stripped := text.strip():
                start += len(text) - len(text.lstrip())
                yield start, start + len(stripped), tokens

    def _windows(self, content: Loaded) -> Iterator[tuple[int, int, int]]:
        positions, ranks = _boundaries(content)
        for begin, end in _segments(content.text, positions, ranks):
            offsets = self._tokenizer.encode(content.text[begin:end], add_special_tokens=False).offsets
            if not offsets:
                continue
            starts = np.fromiter(map(itemgetter(0), offsets), dtype=np.int64, count=len(offsets)) + begin
            inside = slice(*np.searchsorted(positions, (starts[0], end)))
            at_token = np.searchsorted(starts, positions[inside]).tolist()
            segment = _Segment(content.text, starts, at_token, ranks[inside].tolist())
            for first, behind in segment.windows(self._size):
                start = int(starts[first]) if first else begin  # what has no token stays with its text
                stop = int(starts[behind]) if behind < len(starts) else end
                yield from self._within(content.text, start, stop, behind - first)

    def _within(self, text: str, start: int, end: int, tokens: int) -> Iterator[tuple[int, int, int]]:
        """Tokenise anew, and cut again, what is too long for its tokens or was cut inside a word."""
        longest, limit = _CHARACTERS_PER_TOKEN * self._size.text, self._size.text
        if end - start <= longest and not _inside_word(text, start) and not _inside_word(text, end):
            yield start, end, tokens
            return
        while start < end:
            stop = min(end, start + longest)
            offsets = self._tokenizer.encode(text[start:stop], add_special_tokens=False).offsets
            if len(offsets) > limit:
                stop = start + max(1, offsets[limit][0])
            yield start, stop, bisect_left(offsets, (stop - start,))
            start = stop


def section_path(content: Loaded, position: int) -> str:
    """Return the headings above `position`, joined by " > ", without the document's title."""
    sections = _sections(content)
    return sections[bisect_right(sections, position, key=itemgetter(0)) - 1][1]


def _sections(content: Loaded) -> list[tuple[int, str]]:
    """Return where each section begins, and its path; what comes before the first heading has none."""
    sections, path = [(-1, "")], list[Heading]()
    for heading in content.headings:
        while path and path[-1].level >= heading.level:
            path.pop()
        path.append(heading)
        titles = [heading.title for heading in path]
        sections.append((heading.start, PATH.join(titles[titles[0] == content.title :])))
    return sections


@dataclass(frozen=True, slots=True)
class _Segment:
    """A stretch of text as tokens: where each starts, and the token and rank of each boundary, in order."""

    text: str
    starts: np.ndarray
    tokens: list[int]
    ranks: list[int]

    def windows(self, size: ChunkSize) -> Iterator[tuple[int, int]]:
        """Yield (first token, token behind the last) of each chunk."""
        first, count = 0, len(self.starts)
        while first < count:
            behind = self._cut(first, count, size.text)
            yield first, behind
            if behind == count:
                return
            first = self._first_from(max(first + 1, behind - size.overlap), behind) if size.overlap else behind

    def _cut(self, first: int, count: int, limit: int) -> int:
        """Return the token before which the chunk that begins at `first` ends."""
        if count - first <= limit and not self._has_heading(first, count):
            return count
        high = bisect_right(self.tokens, min(first + limit, count))
        for fill, least in ((limit // 4, _HEADING), (limit // 2, _LINE), (1, _LINE)):
            window = self.ranks[bisect_left(self.tokens, first + fill) : high]
            best = max(window, default=0)
            if best >= least:
                return self.tokens[high - 1 - window[::-1].index(best)]
        return self._between_words(first, first + limit) if first + limit < count else count

    def _has_heading(self, first: int, count: int) -> bool:
        inside = slice(bisect_left(self.tokens, first + 1), bisect_left(self.tokens, count))
        return max(self.ranks[inside], default=0) >= _HEADING

    def _between_words(self, first: int, behind: int) -> int:
        """Return the last token up to `behind` that begins a word; `behind` where the words are too long."""
        last_words = range(behind, (first + behind) // 2, -1)
        token = next((token for token in last_words if self.text[self.starts[token] - 1].isspace()), behind)
        return max(first + 1, bisect_left(self.starts, self.starts[token]))  # one character may be several tokens

    def _first_from(self, low: int, behind: int) -> int:
        """Return the first boundary from token `low`, at the latest `behind`."""
        index = bisect_left(self.tokens, low)
        return min(self.tokens[index], behind) if index < len(self.tokens) else behind


def _inside_word(text: str, position: int) -> bool:
    return 0 < position < len(text) and text[position - 1].isalnum() and text[position].isalnum()


def _boundaries(content: Loaded) -> tuple[np.ndarray, np.ndarray]:
    """Return the characters where a chunk may begin, in order, and the rank of each."""
    gaps = [(match.end(), _PARAGRAPH if match[1] else _LINE) for match in _LINE_END.finditer(content.text)]
    gaps += [(match.end(), _SENTENCE) for match in _SENTENCE_END.finditer(content.text)]
    positions, ranks = np.array(sorted(gaps), dtype=np.int64).reshape(-1, 2).T
    for start, end in content.blocks:
        inside = slice(*np.searchsorted(positions, (start + 1, end)))
        ranks[inside] = np.where(ranks[inside] == _SENTENCE, 0, _LINE)
    ranks = np.where(_behind_heading(content.headings, positions), 0, ranks)
    extra = [(edge, _BLOCK) for span in content.blocks for edge in span]
    extra += [(heading.start, _HEADING) for heading in content.headings if heading.start]
    return _merged(positions, ranks, extra)


def _behind_heading(headings: Sequence[Heading], positions: np.ndarray) -> np.ndarray:
    """Mark the boundaries between a heading and its text: a cut there would part them."""
    marks = np.zeros(len(positions), dtype=bool)
    for heading in headings:
        low = int(np.searchsorted(positions, heading.start, "right"))
        marks[low : low + 2] |= positions[low : low + 2] <= heading.start + 2 * len(heading.title) + 12
    return marks


def _merged(positions: np.ndarray, ranks: np.ndarray, extra: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Add boundaries; where two fall together the higher rank holds, and rank 0 is no boundary."""
    if extra:
        positions = np.concatenate([positions, np.array([position for position, _ in extra], dtype=np.int64)])
        ranks = np.concatenate([ranks, np.array([rank for _, rank in extra], dtype=np.int64)])
    order = np.lexsort((-ranks, positions))
    positions, ranks = positions[order], ranks[order]
    first = np.ones(len(positions), dtype=bool)
    first[1:] = positions[1:] != positions[:-1]
    keep = first & (ranks > 0)
    return positions[keep], ranks[keep]


def _segments(text: str, positions: np.ndarray, ranks: np.ndarray) -> Iterator[tuple[int, int]]:
    """Cut a long text where a chunk may end anyway: at the last best boundary of each stretch."""
    begin = 0
    while len(text) - begin > _SEGMENT:
        low, high = np.searchsorted(positions, (begin + _SEGMENT // 2, begin + _SEGMENT))
        window = ranks[low:high]
        end = int(positions[high - 1 - int(np.argmax(window[::-1]))]) if len(window) else begin + _SEGMENT
        yield begin, end
        begin = end
    yield begin, len(text)
