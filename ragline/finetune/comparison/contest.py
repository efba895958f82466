"""Several models answer the same questions over the same passages, in turns, so that noise hits all alike."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain

import numpy as np

from ragline.finetune.comparison.contender import Contender
from ragline.finetune.comparison.corpus import Entry, HeldOut, blocks, literal
from ragline.finetune.comparison.golden import GoldenQuestion
from ragline.finetune.comparison.ranking import Ranking
from ragline.progress import Step, progress

_BLOCK = 1024
"""Passages embedded and searched at a time."""
_TIMED = 50
"""Questions that are embedded one by one, to see how long one takes."""


class Contest:
    """What each contender found for each question; `run` fills it.

    Attributes:
        rankings: of the passages that are not a question's answers, for each contender.
        answers: scores of each question's answers, in the order of its `golds`, for each contender.
        golden: rankings over the chunks as an index holds them, for each contender.
        documents: ids of the passages' documents, by passage number; "" where a user gave the text.
    """

    def __init__(self, contenders: Sequence[Contender], held_out: HeldOut, questions: Sequence[GoldenQuestion]) -> None:
        self._contenders = contenders
        self._held_out = held_out
        self._questions = questions
        self._turn = 0
        self.rankings: list[Ranking] = []
        self.answers: list[list[list[float]]] = []
        self.golden: list[Ranking] = []
        self.documents: list[str] = []
        self._literals = [literal(query.text) for query in held_out.queries]
        self._by_document, self._by_chunk = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
        self._by_gold = defaultdict[int, list[int]](list)
        for row, query in enumerate(held_out.queries):
            self._by_document[query.document].append(row)
            for chunk in query.chunks:
                self._by_chunk[chunk].append(row)
            for gold in query.golds:
                self._by_gold[gold].append(row)

    def run(self) -> None:
        """Ask everything."""
        self._time_questions()
        answers = self._embed_answers()
        for contender, vectors in zip(self._contenders, answers, strict=True):
            self._begin(contender, vectors)
        with progress("evaluate", unit="texts") as step:
            for start, block in enumerate(blocks(self._held_out.golds, _BLOCK)):
                part = slice(start * _BLOCK, start * _BLOCK + len(block))
                self._add(block, [vectors[part] for vectors in answers])
            for block in blocks(self._held_out.others(indexed=bool(self._questions)), _BLOCK):
                self._add(block, self._embed([entry.text for entry in block], step))

    def _time_questions(self) -> None:
        texts = [query.text for query in self._held_out.queries[:_TIMED]]
        for contender in self._contenders:
            contender.embed_untimed(texts[:3] + [entry.text for entry in self._held_out.golds[:8]])  # warms up
        for text in texts:
            for contender in self._in_turn():
                contender.ask(text)

    def _embed_answers(self) -> list[np.ndarray]:
        texts = [entry.text for entry in self._held_out.golds]
        parts = [self._embed(texts[start : start + _BLOCK]) for start in range(0, len(texts), _BLOCK)]
        return [np.concatenate(vectors) for vectors in zip(*parts, strict=True)]

    def _begin(self, contender: Contender, answers: np.ndarray) -> None:
        queries = contender.embed_untimed([query.text for query in self._held_out.queries])
        scores = [
            (answers[list(query.golds)] @ vector).tolist()
            for query, vector in zip(self._held_out.queries, queries, strict=True)
        ]
        self.answers.append(scores)
        self.rankings.append(Ranking(queries, np.array([max(each) for each in scores], dtype=np.float32)))
        self.golden.append(Ranking(contender.embed_untimed([question.text for question in self._questions])))

    def _embed(self, texts: Sequence[str], step: Step | None = None) -> list[np.ndarray]:
        """Return the vectors of each contender; each comes first in its turn."""
        vectors = {id(contender): contender.embed(texts) for contender in self._in_turn()}
        if step:
            step.advance(len(texts))
        return [vectors[id(contender)] for contender in self._contenders]

    def _in_turn(self) -> list[Contender]:
        self._turn += 1
        first = self._turn % len(self._contenders)
        return [*self._contenders[first:], *self._contenders[:first]]

    def _add(self, block: Sequence[Entry], vectors: Sequence[np.ndarray]) -> None:
        numbers = np.arange(len(self.documents), len(self.documents) + len(block))
        self.documents += [entry.document for entry in block]
        held_out = [place for place, entry in enumerate(block) if entry.held_out]
        indexed = [place for place, entry in enumerate(block) if entry.indexed]
        hidden = self._hidden(block, held_out, int(numbers[0]))
        for ranking, golden, own in zip(self.rankings, self.golden, vectors, strict=True):
            if held_out:
                ranking.add(numbers[held_out], own[held_out], hidden)
            if indexed:
                golden.add(numbers[indexed], own[indexed])

    def _hidden(self, block: Sequence[Entry], held_out: Sequence[int], first: int) -> list[tuple[int, int]]:
        """Return the pairs of question and place among the held-out passages that do not count."""
        found = []
        for place, inside in enumerate(held_out):
            entry = block[inside]
            text = literal(entry.text) if entry.document in self._by_document else ""
            rows = {row for row in self._by_document.get(entry.document, ()) if text and self._literals[row] in text}
            own = chain(self._by_chunk.get(entry.chunk, ()), self._by_gold.get(first + inside, ()))
            found += [(row, place) for row in sorted(rows.union(own))]
        return found
