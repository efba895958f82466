"""Two real corpora, each at two moments: what the plan says, what is answered, what is never served again."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ragline.chunk_table import ChunkTable
from ragline.evaluation import fetch_questions, read_questions, score_questions
from ragline.release import CHUNKS
from ragline.serving import open_answerer
from tests.reindex.conftest import Corpus

pytestmark = pytest.mark.slow


def replace(corpus: Corpus, snapshot: Path) -> None:
    """Put a snapshot in the place of the documents."""
    shutil.rmtree(corpus.documents, ignore_errors=True)
    shutil.copytree(snapshot, corpus.documents)


def served_texts(corpus: Corpus) -> list[tuple[str, str]]:
    """Return document and text of every chunk that is served."""
    with corpus.index.file(corpus.index.current(), CHUNKS) as path, ChunkTable(path) as chunks:
        columns = chunks.columns
        return list(zip(columns["document"].to_pylist(), columns["text"].to_pylist(), strict=True))


@pytest.mark.parametrize("name", ["docs-determined", "docs-kubeflow"])
def test_the_second_snapshot_replaces_the_first(name: str, corpus: Corpus, shared: Path) -> None:
    """The plan says what changes.json says; nothing of what is gone is served; moved files have their new path."""
    folder = shared / "data" / name
    changes: dict[str, Any] = json.loads((folder / "changes.json").read_text())
    replace(corpus, folder / changes["from"])
    first = corpus.run().manifest
    before = corpus.index.documents(first)
    replace(corpus, folder / changes["to"])
    run = corpus.run()
    after = corpus.index.documents(run.manifest)
    unread_before = set(changes["deleted"] + changes["modified"] + changes["unchanged"]) - before.keys()
    unread_after = set(changes["added"] + changes["modified"] + changes["unchanged"]) - after.keys()
    moved = {(each["from"], each["to"]) for each in changes["moved_unchanged_content"]}
    plan = run.plan.changes
    assert {*plan.added, *(new for _, new in plan.moved)} == {*changes["added"]} - unread_after
    assert {*plan.removed, *(old for old, _ in plan.moved)} == {*changes["deleted"]} - unread_before
    assert {*plan.changed} == {*changes["modified"]} - unread_before - unread_after
    assert {pair for pair in moved if pair[0] in before and pair[1] in after} == {*plan.moved}

    texts = {path: (corpus.documents / path).read_text(errors="replace") for path in after}
    served = served_texts(corpus)
    assert {document for document, _ in served} <= after.keys()
    assert not {document for document, _ in served} & {*changes["deleted"]}
    words = [(document, text.split()) for document, text in served if document.endswith(".md")]
    assert all(first_words(text) in texts[document] for document, text in words)


def first_words(words: list[str]) -> str:
    """Return the first word that markup does not touch."""
    return next((word for word in words if word.isalpha()), "")


def test_questions_follow_the_documents(corpus: Corpus, shared: Path) -> None:
    """What only the new documents answer is answered after the run; evidence that is gone is in no chunk."""
    folder = shared / "data" / "docs-determined"
    changes = json.loads((folder / "changes.json").read_text())
    rows = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    only_old = [row for row in rows if row["status"] == "only-old"]
    replace(corpus, folder / changes["from"])
    corpus.run()
    old = [text for _, text in served_texts(corpus)]
    replace(corpus, folder / changes["to"])
    corpus.run()
    new = [text for _, text in served_texts(corpus)]
    gone = [answer for row in only_old for answer in row["answer_any_of"] if any(answer in text for text in old)]
    evidence = [answer for answer in gone if not any(answer in text for text in new)]
    assert evidence, "the questions of the old snapshot should tell the two apart"
    questions = read_questions(folder / "questions.jsonl", changes["to"])
    by_id = {row["id"]: row for row in rows}
    only_new = [question for question in questions if by_id[question.id]["status"] == "only-new"]
    with open_answerer(corpus.store_uri, corpus.name) as answerer:
        scores = score_questions(only_new, answerer.ask)
        moved = [question for question in questions if by_id[question.id]["moved"]]
        cited = {citation.source for question in moved for citation in answerer.ask(question.text).citations}
    assert (scores["answerable"], scores["refused_answerable"]) == (len(only_new), 0.0)
    assert scores["source_hit@4"] == 1.0
    assert not cited & {*changes["deleted"]}
    assert len(fetch_questions(str(folder / "questions.jsonl"))) == len(rows)
