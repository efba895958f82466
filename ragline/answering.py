"""Answers without a language model: the best sentences of the best passages, quoted and cited.

Each passage is cut into windows of whole sentences; windows are ranked by their cosine to the question,
the share of the question's words they hold, and the rank of their passage. The best window of each of the
best passages is quoted, so every word of an answer stands in a document. Only the windows of a passage that
hold most of the question's words are embedded: it is nearly all of what an answer costs.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import numpy as np

from ragline.calibration import PASSAGES, Calibration, Relevance
from ragline.chunking import PATH
from ragline.embedding.text_embedder import TextEmbedder
from ragline.errors import QuestionError
from ragline.retrieval import Mode, Passage, Retriever
from ragline.vector_store import Where

LONGEST_QUESTION = 10_000
"""Characters; a longer one is a document, and is refused."""

_WINDOW = 320
_EMBEDDED = 3  # windows of a passage; with 2, one question in fourteen of docs-determined loses its answer
_QUOTES = 3
_CITATIONS = 5
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=\S)|\n\s*\n|\n(?=\s*(?:[-*|#]|\d+[.)] ))|(?<=[。！？])")
_TO_A_MODEL = re.compile(
    r"\b(?:ignore|disregard|forget|override)\s+(?:\w+\s+){0,3}(?:instructions?|prompts?|rules)\b"
    r"|\byou\s+are\s+now\s+(?:in|an?)\b"
    r"|\b(?:your|the)\s+system\s+prompt\b"
    r"|\b(?:answer|reply|respond)\s+(?:to\s+)?(?:every|all|any)\s+questions?\s+with\b",
    re.IGNORECASE,
)
_PARAGRAPH = re.compile(r"\n\s*\n")
_NOTHING = "Nothing in the documents answers this question."


@dataclass(frozen=True, slots=True)
class Citation:
    """Where a quote stands.

    Attributes:
        number: from 1, as in the answer.
        source: the document's id.
        section: heading path, the document's title first.
        quote: literal text of the document.
        score: how well the quote fits the question; comparable within one answer.
    """

    number: int
    source: str
    section: str
    quote: str
    score: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question came to.

    Attributes:
        found: whether anything relevant is in the documents.
        answer: quotes with the numbers of their citations; a plain sentence when nothing was found.
        citations: best first; empty when nothing was found.
        release: that answered.
    """

    found: bool
    answer: str
    citations: tuple[Citation, ...]
    release: str


@dataclass(frozen=True, slots=True, eq=False)
class Retrieval:
    """What was found for a question.

    Attributes:
        question: in a person's words.
        vector: its embedding, float32 [dimensions].
        passages: best first.
        relevance: of the best `PASSAGES` of them, in [-0.5, 1].
        found: whether that is enough for an answer.
    """

    question: str
    vector: np.ndarray
    passages: Sequence[Passage]
    relevance: float
    found: bool


Embed = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True, slots=True)
class _Window:
    passage: int
    text: str
    score: float


class Answerer:
    """Answers questions from one release.

    Example:
        >>> Answerer(retriever, embedder, calibration, release).ask("How do I ...?")  # doctest: +SKIP
    """

    def __init__(self, retriever: Retriever, embedder: TextEmbedder, calibration: Calibration, release: str) -> None:
        self.retriever = retriever
        self.embedder = embedder
        self._calibration = calibration
        self.release = release
        self._relevance = Relevance(retriever.lexical)

    def ask(self, question: str, *, where: Where | None = None) -> Answer:
        """Return an answer with its citations, or that nothing was found.

        Args:
            question: in a person's words, at most `LONGEST_QUESTION` characters.
            where: filter over the chunks' metadata, in Chroma's language.

        Raises:
            QuestionError: the question is empty or too long.
            InputError: the filter is malformed.
        """
        (answer,) = self.ask_all([question], where=where)
        return answer

    def ask_all(self, questions: Sequence[str], *, where: Where | None = None) -> list[Answer]:
        """Return what `ask` returns for each question; many at once cost less than one by one.

        Raises:
            QuestionError, InputError: as `ask`.
        """
        asked = [check_question(question) for question in questions]
        retrievals = self.retrieve_all(asked, self.embedder.embed(asked), where=where)
        return [self._answer(citations) for citations in self.cite_all(retrievals)]

    def retrieve_all(
        self,
        questions: Sequence[str],
        vectors: np.ndarray,
        limit: int = PASSAGES,
        *,
        mode: Mode = "hybrid",
        where: Where | None = None,
    ) -> list[Retrieval]:
        """Return the best passages for each question, and whether they are relevant to it.

        Args:
            questions: checked already (`check_question`).
            vectors: their embeddings, float32 [len(questions), dimensions].
            limit: passages for each; never fewer than `PASSAGES` are looked at.
            mode: which ranking.
            where: filter over the chunks' metadata, in Chroma's language.

        Raises:
            InputError: the filter is malformed.
        """
        found = self.retriever.search_all(questions, vectors, max(limit, PASSAGES), mode=mode, where=where)
        return [self._retrieval(*each) for each in zip(questions, vectors, found, strict=True)]

    def _retrieval(self, question: str, vector: np.ndarray, passages: Sequence[Passage]) -> Retrieval:
        relevance = self._relevance.of(question, passages[:PASSAGES])
        found = bool(passages) and relevance >= self._calibration.threshold
        return Retrieval(question, vector, passages, relevance, found)

    def cite_all(self, retrievals: Sequence[Retrieval], *, embed: Embed | None = None) -> list[tuple[Citation, ...]]:
        """Return the quotes that answer each question, best first; none where nothing was found.

        Args:
            retrievals: with the passages to quote from; the first `PASSAGES` count.
            embed: what embeds all windows of sentences in one call, if not the embedder.
        """
        passages = [each.passages[:PASSAGES] if each.found else [] for each in retrievals]
        promising = [list(self._promising(each.question, p)) for each, p in zip(retrievals, passages, strict=True)]
        texts = [_framed(p[w.passage], w.text) for p, found in zip(passages, promising, strict=True) for w in found]
        vectors = (embed or self.embedder.embed)(texts) if texts else np.empty((0, 0))
        edges = list(accumulate(map(len, promising), initial=0))
        return [
            _citations(passages[row], _best(promising[row], vectors[start:end] @ each.vector)) if end > start else ()
            for row, (each, (start, end)) in enumerate(zip(retrievals, pairwise(edges), strict=True))
        ]

    def _promising(self, question: str, passages: Sequence[Passage]) -> Iterator[_Window]:
        """Yield the windows that hold most of the question's words, scored by those and their passage's rank."""
        weights = self._relevance.weights(question)
        highest = max((passage.score for passage in passages), default=0.0) or 1.0
        for number, passage in enumerate(passages):
            rank = 0.3 * passage.score / highest
            scored = [
                _Window(number, text, rank + 0.5 * self._relevance.coverage(weights, _framed(passage, text)))
                for text in windows(passage.text)
            ]
            yield from sorted(scored, key=lambda window: -window.score)[:_EMBEDDED]

    def _answer(self, citations: tuple[Citation, ...]) -> Answer:
        if not citations:
            return Answer(False, _NOTHING, (), self.release)
        answer = "\n\n".join(f"{citation.quote} [{citation.number}]" for citation in citations[:_QUOTES])
        return Answer(True, answer, citations, self.release)


def _best(promising: Sequence[_Window], similarities: np.ndarray) -> list[_Window]:
    """Return the best window of each passage, best first."""
    best: dict[int, _Window] = {}
    for window, similarity in zip(promising, similarities, strict=True):
        score = window.score + float(similarity)
        if window.passage not in best or score > best[window.passage].score:
            best[window.passage] = replace(window, score=score)
    return sorted(best.values(), key=lambda window: -window.score)


def _citations(passages: Sequence[Passage], best: Sequence[_Window]) -> tuple[Citation, ...]:
    return tuple(
        Citation(number, passages[w.passage].source, _path(passages[w.passage]), w.text, round(w.score, 4))
        for number, w in enumerate(best[:_CITATIONS], start=1)
    )


def check_question(question: str) -> str:
    """Return the question without the white space around it.

    Raises:
        QuestionError: it is empty or too long.
    """
    question = question.replace("\0", " ").strip()
    if not question:
        raise QuestionError("the question is empty; ask something, as in: ragline ask 'How do I start?'")
    if len(question) > LONGEST_QUESTION:
        raise QuestionError(f"the question has {len(question):,} characters; at most {LONGEST_QUESTION:,} are taken")
    return question


def windows(text: str, longest: int = _WINDOW) -> Iterator[str]:
    """Yield the runs of whole sentences of at most `longest` characters, one for each sentence it can begin with.

    A single longer sentence (a line of code, a table row) is a window of its own.
    """
    for spans in window_spans(text, longest):
        yield text[spans[0][0] : spans[-1][1]]


def window_spans(text: str, longest: int = _WINDOW) -> Iterator[Sequence[tuple[int, int]]]:
    """Yield the same windows as their sentences: where each begins and ends."""
    for spans in _quotable(text):
        yield from _windows(spans, longest)


def _quotable(text: str) -> Iterator[list[tuple[int, int]]]:
    """Yield the sentences between paragraphs that give orders to a language model, which are no answer to anybody."""
    spans: list[tuple[int, int]] = []
    orders = [paragraph for paragraph in _paragraphs(text) if _TO_A_MODEL.search(text, *paragraph)]
    for start, end in _sentences(text):
        if not any(first <= start < last for first, last in orders):
            spans.append((start, end))
        elif spans:
            yield spans
            spans = []
    if spans:
        yield spans


def quotable_text(text: str) -> str:
    """Return a text without the paragraphs that give orders to a language model."""
    return "".join(text[slice(*span)] for span in _paragraphs(text) if not _TO_A_MODEL.search(text, *span)).strip()


def _paragraphs(text: str) -> Iterator[tuple[int, int]]:
    edges = [0, *(match.end() for match in _PARAGRAPH.finditer(text)), len(text)]
    yield from pairwise(edges)


def _windows(spans: Sequence[tuple[int, int]], longest: int) -> Iterator[Sequence[tuple[int, int]]]:
    for index, (start, _) in enumerate(spans):
        last = index
        while last + 1 < len(spans) and spans[last + 1][1] - start <= longest:
            last += 1
        yield spans[index : last + 1]
        if last == len(spans) - 1:
            return


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    position = 0
    for match in _SENTENCE.finditer(text):
        if text[position : match.start()].strip():
            yield position, match.start()
            position = match.end()
    if text[position:].strip():
        yield position, len(text.rstrip())


def _framed(passage: Passage, text: str) -> str:
    return f"{_path(passage)}\n{text}"


def _path(passage: Passage) -> str:
    return PATH.join(part for part in (passage.title, passage.section) if part)
