"""The held-out corpus: what is asked, what answers it, and all other passages to tell the answer from.

Every chunk for which there are pairs stands here as its positive, without the words of its queries. If only the
answers had lost their headings, a model could tell them from the rest by that alone, and seem to have learned.

Not ranked for a question: other versions of its own chunk, passages of the same document in which the question stands
literally (all chunks of a document carry its title), and chunks that a user's own positive repeats.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ragline.errors import InputError
from ragline.finetune.examples.pair import Pair, read_pairs
from ragline.finetune.examples.scrubbing import passage_text
from ragline.tables import read_chunks

_SHINGLE = 8
"""Words in a row that two texts share only when one repeats the other."""


@dataclass(frozen=True, slots=True)
class Query:
    """A held-out question.

    Attributes:
        text: what is asked.
        kind: of its pair.
        document: id of the answer's document; "" when a user gave the answer.
        chunks: ids of the chunks that hold the answer.
        golds: numbers of the passages that answer it.
    """

    text: str
    kind: str
    document: str
    chunks: frozenset[str]
    golds: tuple[int, ...]

    @property
    def group(self) -> str:
        """What the question is resampled with: its document, or it stands alone."""
        return f"document {self.document}" if self.document else f"question {self.text}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A text to embed.

    Attributes:
        text: what a model reads.
        chunk: id of the chunk it stands for; "" when a user gave it.
        document: id of that chunk's document; "" likewise.
        held_out: whether held-out questions are asked over it.
        indexed: whether it is what an index would hold, over which golden questions are asked.
    """

    text: str
    chunk: str
    document: str
    held_out: bool = True
    indexed: bool = False


class HeldOut:
    """Questions, their answers, and the passages around them.

    Example:
        >>> held_out = HeldOut(pairs, chunks)  # doctest: +SKIP
        >>> [entry.text for entry in held_out.golds] + [entry.text for entry in held_out.others()]  # doctest: +SKIP
    """

    def __init__(self, pairs: Path, chunks: Path) -> None:
        """Read the test pairs, and the positives of all.

        Raises:
            InputError: there is no test pair.
        """
        self._chunks = chunks
        self._positives: dict[str, str] = {}
        tested = list[Pair]()
        for pair in read_pairs(pairs):
            if pair.split == "test":
                tested.append(pair)
            elif pair.chunk:
                self._positives.setdefault(pair.chunk, pair.positive)
        if not tested:
            raise InputError(f"{pairs} holds no pair to measure with: make the pairs from more documents")
        self.golds, numbers = _golds(tested)
        self.queries = _queries(tested, numbers)

    def others(self, *, indexed: bool = False) -> Iterator[Entry]:
        """Yield the passages that are not answers, each text once, and for an index the chunks as they are.

        Args:
            indexed: whether the chunks as an index would hold them are wanted too.
        """
        answers = {entry.chunk for entry in self.golds if entry.chunk}
        repeated = _Repeated([entry.text for entry in self.golds if not entry.chunk])
        seen = {_key(entry.text) for entry in self.golds}
        for chunk in read_chunks(self._chunks):
            own = passage_text(chunk)
            text = self._positives.get(chunk.id, own)
            held_out = chunk.id not in answers and _key(text) not in seen and not repeated.by(chunk.text)
            if held_out:
                seen.add(_key(text))
                yield Entry(text, chunk.id, chunk.document, indexed=indexed and text == own)
            if indexed and not (held_out and text == own):
                yield Entry(own, chunk.id, chunk.document, held_out=False, indexed=True)


def literal(text: str) -> str:
    """Return a text as it is compared: without case and line breaks."""
    return " ".join(text.casefold().split())


def blocks(entries: Iterable[Entry], size: int) -> Iterator[list[Entry]]:
    """Yield entries `size` at a time."""
    block: list[Entry] = []
    for entry in entries:
        block.append(entry)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block


def _golds(tested: Sequence[Pair]) -> tuple[list[Entry], dict[str, int]]:
    """Return the answers, each text once, and their numbers by text."""
    golds: dict[str, Entry] = {}
    for pair in tested:
        golds.setdefault(pair.positive, Entry(pair.positive, pair.chunk, pair.document))
    return list(golds.values()), {text: number for number, text in enumerate(golds)}


def _queries(tested: Sequence[Pair], numbers: dict[str, int]) -> list[Query]:
    by_text: dict[str, list[Pair]] = {}
    for pair in tested:
        by_text.setdefault(pair.query, []).append(pair)
    return [
        Query(
            text=text,
            kind=pairs[0].kind,
            document=pairs[0].document,
            chunks=frozenset(pair.chunk for pair in pairs if pair.chunk),
            golds=tuple(dict.fromkeys(numbers[pair.positive] for pair in pairs)),
        )
        for text, pairs in by_text.items()
    ]


class _Repeated:
    """Finds the chunks that some given texts repeat: half of their word sequences stand in one, or the other way."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._owners: dict[str, list[int]] = {}
        self._sizes = list[int]()
        for number, text in enumerate(texts):
            shingles = _shingles(text)
            self._sizes.append(len(shingles))
            for shingle in shingles:
                self._owners.setdefault(shingle, []).append(number)

    def by(self, text: str) -> bool:
        """Tell whether one of the texts repeats `text`, or is repeated by it."""
        if not self._owners:
            return False
        shingles, shared = _shingles(text), dict[int, int]()
        for shingle in shingles:
            for owner in self._owners.get(shingle, ()):
                shared[owner] = shared.get(owner, 0) + 1
        return any(2 * count >= min(len(shingles), self._sizes[owner]) for owner, count in shared.items())


def _shingles(text: str) -> set[str]:
    words = literal(text).split()
    return {" ".join(words[start : start + _SHINGLE]) for start in range(max(1, len(words) - _SHINGLE + 1))}


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
