"""Text to chunks: the text is tokenised once, and cut at the best boundary before each chunk is full.

A boundary has a rank: before a heading, around a code block or table, between paragraphs, between
sentences, between lines; inside a code block or table the ranks are lower. From each chunk's start the
cut falls on the last boundary of the best rank in the second half of the token budget (for headings: the
last three quarters), so chunks are full and still begin where a thought begins.

What is embedded is the chunk's heading path in front of its text, and never more than the model takes:
nothing is cut silently by the embedder.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
_BOUNDARY = re.compile(r"\n[ \t]*\n\s*|(?<=[.!?])[\"')\]]*[ \t]+|[ \t]*\n|(?<=[。！？])")
_LINE, _SENTENCE, _PARAGRAPH, _BLOCK, _HEADING = 1, 2, 3, 4, 5


class Encoding(Protocol):
    """What a tokenizer gives for one text."""

    ids: list[int]
    offsets: list[tuple[int, int]]


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
            raise SettingError(f"chunk overlap: {self.overlap} tokens; choose 0 to {self.text // 2}, half the chunk size")

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
        for start, end, tokens in self._spans(content):
            section = section_path(content, start)
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
        path = " ".join(PATH.join(part for part in (title, section) if part).split())
        if not path:
            return "", 0
        encoding = self._tokenizer.encode(path[: 16 * self._size.path], add_special_tokens=False)
        kept = encoding.offsets[: self._size.path]
        return (path[: kept[-1][1]] + "\n", len(kept)) if kept else ("", 0)

    def _spans(self, content: Loaded) -> Iterator[tuple[int, int, int]]:
        """Yield (start, end, tokens) of the chunks' texts, without the white space around them."""
        boundaries = _boundaries(content)
        for begin, end in _segments(content.text, boundaries):
            yield from self._segment_spans(content.text, begin, end, boundaries)

    def _segment_spans(
        self, text: str, begin: int, end: int, boundaries: tuple[np.ndarray, np.ndarray]
    ) -> Iterator[tuple[int, int, int]]:
        offsets = self._tokenizer.encode(text[begin:end], add_special_tokens=False).offsets
        if not offsets:
            return
        starts = np.fromiter((offset[0] for offset in offsets), dtype=np.int64, count=len(offsets)) + begin
        for first, behind in self._windows(starts, end, *boundaries):
            stop = int(starts[behind]) if behind < len(starts) else end
            yield from self._trimmed(text, int(starts[first]), stop, behind - first)

    def _windows(
        self, starts: np.ndarray, end: int, positions: np.ndarray, ranks: np.ndarray
    ) -> Iterator[tuple[int, int]]:
        """Yield (first token, token behind the last) of each chunk."""
        inside = slice(*np.searchsorted(positions, (starts[0], end)))
        at_token, ranks = np.searchsorted(starts, positions[inside]), ranks[inside]
        first, count, limit = 0, len(starts), self._size.text
        while first < count:
            behind = _cut(first, count, limit, at_token, ranks)
            yield first, behind
            if behind == count:
                return
            first = self._overlapped(first, behind, at_token)

    def _overlapped(self, first: int, behind: int, at_token: np.ndarray) -> int:
        """Return where the next chunk starts: `behind`, or the first boundary of the overlap before it."""
        if not self._size.overlap:
            return behind
        low = np.searchsorted(at_token, max(first + 1, behind - self._size.overlap))
        return int(at_token[low]) if low < len(at_token) and at_token[low] < behind else behind

    def _trimmed(self, text: str, start: int, end: int, tokens: int) -> Iterator[tuple[int, int, int]]:
        longest = _CHARACTERS_PER_TOKEN * self._size.text
        for begin in range(start, end, longest):
            piece = text[begin : min(end, begin + longest)]
            if stripped := piece.strip():
                begin += len(piece) - len(piece.lstrip())
                yield begin, begin + len(stripped), tokens


def section_path(content: Loaded, position: int) -> str:
    """Return the headings above `position`, joined by " > ", without the document's title."""
    path: list[Heading] = []
    for heading in content.headings:
        if heading.start > position:
            break
        while path and path[-1].level >= heading.level:
            path.pop()
        path.append(heading)
    titles = [heading.title for heading in path]
    return PATH.join(titles[1:] if titles and titles[0] == content.title else titles)


def _cut(first: int, count: int, limit: int, at_token: np.ndarray, ranks: np.ndarray) -> int:
    """Return the token before which the chunk that begins at `first` ends."""
    if count - first <= limit and not _has_heading(first, count, at_token, ranks):
        return count
    high = int(np.searchsorted(at_token, min(first + limit, count), "right"))
    for fill, least in ((limit // 4, _HEADING), (limit // 2, _LINE), (1, _LINE)):
        low = int(np.searchsorted(at_token, first + fill, "left"))
        window = ranks[low:high]
        if len(window) and window.max() >= least:
            return int(at_token[high - 1 - int(np.argmax(window[::-1]))])
    return min(first + limit, count)


def _has_heading(first: int, count: int, at_token: np.ndarray, ranks: np.ndarray) -> bool:
    low, high = np.searchsorted(at_token, (first + 1, count), "left")
    return bool((ranks[low:high] >= _HEADING).any())


def _boundaries(content: Loaded) -> tuple[np.ndarray, np.ndarray]:
    """Return the characters where a chunk may begin, in order, and the rank of each."""
    matches = list(_BOUNDARY.finditer(content.text))
    positions = np.fromiter((match.end() for match in matches), dtype=np.int64, count=len(matches))
    ranks = np.fromiter((_rank(match[0]) for match in matches), dtype=np.int64, count=len(matches))
    for start, end in content.blocks:
        inside = slice(*np.searchsorted(positions, (start + 1, end)))
        ranks[inside] = np.where(ranks[inside] == _SENTENCE, 0, _LINE)
    ranks = np.where(_behind_heading(content.headings, positions), 0, ranks)
    extra = [(edge, _BLOCK) for span in content.blocks for edge in span]
    extra += [(heading.start, _HEADING) for heading in content.headings if heading.start]
    return _merged(positions, ranks, extra)


def _rank(gap: str) -> int:
    lines = gap.count("\n")
    return _PARAGRAPH if lines > 1 else _LINE if lines else _SENTENCE


def _behind_heading(headings: Sequence[Heading], positions: np.ndarray) -> np.ndarray:
    """Mark the boundaries between a heading and its text: a cut there would part them."""
    marks = np.zeros(len(positions), dtype=bool)
    for heading in headings:
        low = int(np.searchsorted(positions, heading.start, "right"))
        marks[low : low + 2] |= positions[low : low + 2] <= heading.start + 2 * len(heading.title) + 12
    return marks


def _merged(
    positions: np.ndarray, ranks: np.ndarray, extra: list[tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray]:
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


def _segments(text: str, boundaries: tuple[np.ndarray, np.ndarray]) -> Iterator[tuple[int, int]]:
    """Cut a long text where a chunk may end anyway: at the last best boundary of each stretch."""
    positions, ranks = boundaries
    begin = 0
    while len(text) - begin > _SEGMENT:
        low, high = np.searchsorted(positions, (begin + _SEGMENT // 2, begin + _SEGMENT))
        window = ranks[low:high]
        end = int(positions[high - 1 - int(np.argmax(window[::-1]))]) if len(window) else begin + _SEGMENT
        yield begin, end
        begin = end
    yield begin, len(text)
