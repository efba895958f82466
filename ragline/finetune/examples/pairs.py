"""Training pairs from a corpus alone, from users, and from a language model: deduplicated, divided by document."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, field
from heapq import nsmallest
from itertools import groupby
from pathlib import Path
from typing import Any

from ragline.documents import Chunk, Document
from ragline.errors import InputError
from ragline.finetune.comparison.golden import read_golden
from ragline.finetune.examples.candidates import Candidate, Candidates
from ragline.finetune.examples.chance import chosen, draw
from ragline.finetune.examples.division import Division, divide
from ragline.finetune.examples.headings import HeadingCounts
from ragline.finetune.examples.pair import KINDS, Kind, Pair, PairWriter, Split
from ragline.finetune.examples.passage import Passage, passages
from ragline.finetune.examples.questions import QuestionWriter
from ragline.finetune.examples.scrubbing import key_of, positive, says_enough
from ragline.finetune.examples.user_pairs import UserPair, answering_chunks, fetch_user_pairs
from ragline.progress import progress
from ragline.tables import count_rows, read_chunks, read_documents, read_rows

VERSION = 1
"""Part of the digest: raised when the same corpus would give other pairs."""

LEAST_DOCUMENTS = 8
LEAST: dict[Split, int] = {"train": 32, "test": 8}
"""Fewer documents or pairs than these teach and prove nothing."""

_MEASURED = 2
"""Pairs of a chunk made for the test split, no crops, since nobody asks like that, and first sentences last.

One positive serves all of a chunk, and none of their queries stands in it."""
_TELLING: tuple[Kind, ...] = ("title", "heading", "definition", "code", "first sentence", "crop")
"""Of two kinds whose queries come from the same words the first is taken."""
_GIVEN = ("question", "user")

Given = dict[str, list[Candidate]]
"""Candidates that come from elsewhere, by id of the chunk."""


@dataclass(frozen=True, slots=True)
class PairSet:
    """What was made.

    Attributes:
        digest: sha256 over the pairs in order.
        train, test: how many pairs.
        documents: how many documents on each side.
        kinds: how many pairs of each kind.
        skipped: how many were left out, by reason.
        questions: URL, model and prompt of the language model that wrote questions; empty without one.
    """

    digest: str
    train: int
    test: int
    documents: dict[str, int]
    kinds: dict[str, int]
    skipped: dict[str, int]
    questions: dict[str, Any]


def make_pairs(
    documents: Path,
    chunks: Path,
    pairs: Path,
    *,
    seed: int = 0,
    test_share: float = 0.1,
    max_pairs: int = 20000,
    pairs_uri: str = "",
    questions: QuestionWriter | None = None,
    questions_uri: str = "",
) -> PairSet:
    """Write the training pairs of a corpus; the same for the same corpus and seed, whatever the order of documents.

    In memory are one document, some 200 bytes of each chunk, and about three times `max_pairs` pairs.

    Args:
        documents: Parquet of all documents.
        chunks: Parquet of their chunks, in the same order.
        pairs: Parquet to write, for `ragline.finetune.examples.pair.read_pairs`.
        seed: of all that is drawn.
        test_share: share of the chunks whose documents are kept out of training, to measure with.
        max_pairs: most pairs from the corpus.
        pairs_uri: JSON Lines of a user's own pairs (`ragline.finetune.examples.user_pairs`), all of which are taken.
        questions: a language model that writes questions about some chunks.
        questions_uri: golden questions (file or s3:// object), which nothing may be trained with; "" for none.

    Raises:
        InputError: too few documents or pairs, a wrong share, a wrong line in the user's pairs, or a golden question
            about unknown documents.
        RaglineError: the language model cannot be used.
    """
    _check(test_share, max_pairs)
    theirs = fetch_user_pairs(pairs_uri) if pairs_uri else []
    ids = (row["id"] for row in read_rows(documents, ["id"]))
    golden = {key_of(question.text) for question in read_golden(questions_uri, ids)} if questions_uri else set()
    division = divide(chunks, seed=seed, test_share=test_share)
    if len(division.splits) < LEAST_DOCUMENTS:
        raise InputError(
            f"training pairs: {len(division.splits)} documents with text are too few, at least {LEAST_DOCUMENTS} are "
            "needed, so that some can be kept out of training to measure with; add documents"
        )
    given = _of_users(theirs, chunks, pairs_uri)
    if questions:
        _add_questions(given, questions, chunks, division, seed)
    finder = _Finder(division, given, seed, share=max_pairs / max(1, count_rows(chunks)))
    found = [*_texts_of_users(theirs, division, seed, test_share), *finder.pairs(documents, chunks)]
    skipped = Counter({"near duplicate": len(division.duplicates)}) + finder.skipped
    free = [pair for pair in found if key_of(pair.query) not in golden]
    skipped += Counter({"golden question": len(found) - len(free)})
    kept = _kept(free, seed, {"test": round(max_pairs * test_share), "train": max_pairs}, skipped)
    _check_enough(kept, len(division.splits))
    sides = Counter(division.splits.values())
    return PairSet(
        digest=_write(kept, pairs),
        train=sum(pair.split == "train" for pair in kept),
        test=sum(pair.split == "test" for pair in kept),
        documents={"train": sides["train"], "test": sides["test"]},
        kinds={kind: count for kind in KINDS if (count := sum(pair.kind == kind for pair in kept))},
        skipped=dict(sorted(skipped.items())),
        questions=questions.record() if questions else {},
    )


def _check(test_share: float, max_pairs: int) -> None:
    if not 0 < test_share <= 0.5:
        raise InputError(f"test share {test_share}: choose 0.05 to 0.5, the rest is trained with")
    if max_pairs < (least := sum(LEAST.values())):
        raise InputError(f"max_pairs {max_pairs}: choose at least {least}; fewer pairs teach and prove nothing")


def _check_enough(pairs: Sequence[Pair], documents: int) -> None:
    for split, least in LEAST.items():
        count = sum(pair.split == split for pair in pairs)
        if count < least:
            purpose = "train" if split == "train" else "measure"
            raise InputError(
                f"training pairs: {documents} documents give {count} pairs to {purpose} with, at least {least} are "
                "needed; add documents, pairs of your own, or a language model that writes questions"
            )


def _of_users(pairs: Sequence[UserPair], chunks: Path, uri: str) -> Given:
    found = answering_chunks(pairs, chunks, uri)
    return {chunk: [Candidate(pair.query, "user") for pair in group] for chunk, group in found.items()}


def _texts_of_users(pairs: Sequence[UserPair], division: Division, seed: int, test_share: float) -> Iterator[Pair]:
    """Place the pairs with a text of their own on the side of the documents that hold nearly it, else by chance."""
    for pair in pairs:
        if pair.positive:
            drawn: Split = "test" if chosen(seed, test_share, "text", key_of(pair.positive)) else "train"
            side = division.side_of(pair.positive) or drawn
            yield Pair(pair.query, pair.positive, "", "", "user", side)


def _add_questions(given: Given, writer: QuestionWriter, chunks: Path, division: Division, seed: int) -> None:
    """Let the language model ask about some chunks, the same for the same corpus and seed."""
    asked = nsmallest(
        writer.passages,
        (
            (draw(seed, "question", chunk.id), chunk.id, f"{chunk.title}\n{chunk.section}\n{chunk.text}")
            for chunk in read_chunks(chunks)
            if chunk.id not in division.duplicates and says_enough(chunk.text)
        ),
    )
    for (_, chunk, text), questions in zip(asked, writer.questions([text for *_, text in asked]), strict=True):
        fresh = [question for question in questions if key_of(question) not in key_of(text)]
        given.setdefault(chunk, []).extend(Candidate(question, "question") for question in fresh)


@dataclass
class _Finder:
    """Finds the pairs of all documents."""

    division: Division
    given: Given
    seed: int
    share: float
    skipped: Counter[str] = field(default_factory=Counter)

    def pairs(self, documents: Path, chunks: Path) -> Iterator[Pair]:
        """Yield the pairs, one document in memory at a time."""
        counts = HeadingCounts()
        for document in read_documents(documents):
            counts.count(document)
        candidates = Candidates(counts, self.seed)
        with progress("pairs", total=count_rows(documents), unit="documents") as step:
            for document, group in _with_chunks(documents, chunks):
                for number, passage in enumerate(passages(document, group)):
                    yield from self._of(passage, candidates, opens=number == 0)
                step.advance()

    def _of(self, passage: Passage, candidates: Candidates, *, opens: bool) -> Iterator[Pair]:
        chunk = passage.chunk
        split, own = self.division.splits[chunk.document], list[Candidate]()
        if chunk.id not in self.division.duplicates and chosen(self.seed, self.share, "chunk", chunk.id):
            own = _apart(candidates.of(passage, opens=opens))
        if split == "train":
            for candidate in [*self.given.get(chunk.id, []), *own]:
                yield from self._rendered(passage, [candidate], split)
        else:
            asked = [one for one in own if one.kind != "crop"]
            measured = sorted(
                asked, key=lambda one: (one.kind == "first sentence", draw(self.seed, chunk.id, one.query))
            )
            yield from self._rendered(passage, [*self.given.get(chunk.id, []), *measured[:_MEASURED]], split)

    def _rendered(self, passage: Passage, together: list[Candidate], split: Split) -> Iterator[Pair]:
        """Yield the pairs of candidates that share one positive; the last are left out where it says too little."""
        while together:
            cuts = [cut for one in together for cut in one.cuts]
            hidden = {title for one in together for title in one.hidden}
            text = positive(passage, cuts, hidden, [one.query for one in together])
            if says_enough(text) or all(one.kind in _GIVEN for one in together):
                break
            self.skipped["positive too short"] += 1
            together = together[:-1]
        for one in together:
            yield Pair(one.query, text or passage.text, passage.chunk.id, passage.chunk.document, one.kind, split)


def _apart(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Leave out candidates whose words a more telling kind has used."""
    taken = list[Candidate]()
    for one in sorted(candidates, key=lambda one: _TELLING.index(one.kind)):
        cuts = [cut for other in taken for cut in other.cuts]
        if not any(start < end2 and start2 < end for start, end in one.cuts for start2, end2 in cuts):
            taken.append(one)
    return taken


def _with_chunks(documents: Path, chunks: Path) -> Iterator[tuple[Document, list[Chunk]]]:
    """Yield each document that has chunks, with them."""
    groups = ((key, list(group)) for key, group in groupby(read_chunks(chunks), key=lambda chunk: chunk.document))
    waiting = next(groups, None)
    for document in read_documents(documents):
        if waiting and waiting[0] == document.id:
            yield document, waiting[1]
            waiting = next(groups, None)
    if waiting:
        raise InputError(
            f"{chunks} holds chunks of document {waiting[0]!r}, which {documents} does not hold at that place; "
            "give the documents that the chunks were made of"
        )


def _kept(pairs: Iterable[Pair], seed: int, most: dict[str, int], skipped: Counter[str]) -> list[Pair]:
    """Return the pairs in the order of their draw, users' first, each query once, and no more than wanted."""
    ranked = sorted(
        pairs, key=lambda pair: (pair.kind != "user", draw(seed, pair.chunk, pair.kind, pair.query), pair.positive)
    )
    kept, asked, count = list[Pair](), set[str](), Counter[str]()
    for pair in ranked:
        key = key_of(pair.query) or pair.query
        if key in asked:
            skipped["same query"] += 1
        elif pair.kind != "user" and count[pair.split] >= most[pair.split]:
            skipped["more than max_pairs"] += 1
        else:
            asked.add(key)
            kept.append(pair)
            count[pair.split] += pair.kind != "user"
    return kept


def _write(pairs: Iterable[Pair], path: Path) -> str:
    digest = hashlib.sha256(str(VERSION).encode())
    with PairWriter(path) as writer:
        for pair in pairs:
            writer.write(pair)
            digest.update("\0".join(map(str, astuple(pair))).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
