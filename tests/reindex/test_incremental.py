"""A run does what changed, and comes to what a run from nothing would come to."""

import json
from pathlib import Path

import numpy as np
import pytest

from ragline.errors import ConflictError, DamagedReleaseError, GateError
from ragline.reindex.build import Built
from ragline.reindex.check import check_index
from ragline.reindex.chunk import chunk_documents
from ragline.reindex.snapshot import snapshot_documents
from ragline.release import ADDED, EXACT
from ragline.tables import read_rows
from ragline.verification import verify_release
from tests.reindex.conftest import EMBEDDER, Corpus, Started, content

LONG = "\n\n".join(
    f"## Part {part}\n\n" + f"Sentence {part} about the harbour and its boats. " * 15 for part in range(8)
)


def fill(corpus: Corpus) -> None:
    """Write a corpus in which one document is a small share."""
    corpus.write(**{f"note{number}": f"# Note {number}\n\nThe keeper wrote note {number}." for number in range(30)})
    corpus.write(harbour=LONG, facts="---\nyear: 1931\n---\n# Facts\n\nThe tower is green.")


@pytest.fixture
def filled(corpus: Corpus) -> Corpus:
    """A corpus that is indexed once."""
    fill(corpus)
    run = corpus.run()
    assert (run.plan.embed, run.embedded, run.built.base) == (run.plan.chunks, run.embedded, "")
    return corpus


def test_only_what_changed_is_embedded(filled: Corpus) -> None:
    """One word of a long document costs one chunk; a move, a copy, a deletion and a metadata change cost nothing."""
    docs = filled.documents
    steps = []
    docs.joinpath("harbour.md").write_text(LONG.replace("Sentence 5 about", "Sentence 5 on", 1))
    steps.append(filled.run().embedded)
    docs.joinpath("note1.md").rename(docs / "renamed.md")
    steps.append(filled.run().embedded)
    docs.joinpath("copy.md").write_text(docs.joinpath("note2.md").read_text())
    steps.append(filled.run().embedded)
    docs.joinpath("note3.md").unlink()
    steps.append(filled.run().embedded)
    docs.joinpath("facts.md").write_text("---\nyear: 1932\n---\n# Facts\n\nThe tower is green.")
    steps.append(filled.run().embedded)
    docs.joinpath("note4.md").write_text("# Note 4\n\nThe keeper wrote another note.")
    steps.append(filled.run().embedded)
    assert steps == [1, 0, 0, 0, 0, 1]


def test_an_index_that_was_changed_is_the_index_built_from_nothing(filled: Corpus, tmp_path: Path) -> None:
    """The same ids, the same vectors bit for bit, the same metadata, the same digest."""
    docs = filled.documents
    docs.joinpath("harbour.md").write_text(LONG.replace("boats", "ships", 1))
    docs.joinpath("facts.md").write_text("---\nyear: 1932\ncity: Brenholm\n---\n# Facts\n\nThe tower is green.")
    docs.joinpath("note1.md").rename(docs / "renamed.md")
    docs.joinpath("note3.md").unlink()
    before = filled.index.pointer().release
    run = filled.run()
    assert (run.built.base, run.built.deleted) == (before, run.manifest.counts["deleted"])
    assert run.built.deleted > 0
    (tmp_path / "other").mkdir()
    fresh = Corpus(docs, str(tmp_path / "other"), tmp_path / "fresh")
    rebuilt = fresh.run()
    assert rebuilt.built == Built(run.built.chunks, "", 0)
    assert rebuilt.manifest.digests == run.manifest.digests
    assert content(fresh) == content(filled)


def test_too_many_changes_build_the_index_from_nothing(filled: Corpus) -> None:
    """Deleted vectors do not pile up."""
    for number in range(12):
        filled.documents.joinpath(f"note{number}.md").unlink()
    run = filled.run()
    assert (run.built.base, run.built.deleted) == ("", 0)


def test_chunks_of_unchanged_documents_are_taken_over(filled: Corpus, tmp_path: Path) -> None:
    """The table is the same, row by row, as if all documents were cut anew; other sizes cut all anew."""
    filled.write(note7="# Note 7\n\nAnother text.", zz="A new one at the end.", aa="A new one at the start.")
    filled.documents.joinpath("note9.md").unlink()
    documents = tmp_path / "documents"
    snapshot_documents(str(filled.documents), documents, tmp_path / "unreadable")
    made = chunk_documents(documents, tmp_path / "again", embedder=EMBEDDER, store_uri=filled.store_uri)
    anew = chunk_documents(documents, tmp_path / "anew", embedder=EMBEDDER)
    assert (made.digest, made.chunks) == (anew.digest, anew.chunks)
    assert (made.reused, anew.reused) == (made.chunks - 3, 0)
    assert list(read_rows(tmp_path / "again")) == list(read_rows(tmp_path / "anew"))
    other = chunk_documents(documents, tmp_path / "other", embedder=EMBEDDER, size=100, store_uri=filled.store_uri)
    assert other.reused == 0


def test_nothing_changed_is_nothing_to_do(filled: Corpus, tmp_path: Path) -> None:
    """The plan says so; the release is the one that is live."""
    plan = filled.plan(tmp_path)
    assert not plan.changed
    assert (plan.embed, plan.changes.unchanged, plan.origin.release) == (0, 32, plan.previous)
    assert str(plan).endswith("; nothing to do")


def test_losing_most_documents_is_refused(filled: Corpus, tmp_path: Path) -> None:
    """The message says what is gone, from where, and how to go on; a larger allowance goes on."""
    for path in sorted(filled.documents.glob("note*.md"))[:20]:
        path.unlink()
    before = filled.index.pointer()
    message = r"^'.*docs' has 12 documents, 20 fewer than the 32 before \('note0.md' is gone\), more than .* 0.5; "
    with pytest.raises(GateError, match=message + r"release \w+ serves on.*--allow-shrink"):
        filled.plan(tmp_path)
    assert filled.index.pointer() == before
    assert filled.run(max_shrink=0.7).manifest.counts["documents"] == 12


def test_other_documents_from_another_place_are_meant(filled: Corpus, tmp_path: Path) -> None:
    """All documents are others, and so is the place; with one in common it is a loss."""
    other = Corpus(tmp_path / "others", filled.store_uri, tmp_path / "w")
    other.write(one="Another corpus.")
    assert other.plan(tmp_path).changed
    other.write(harbour=LONG)
    with pytest.raises(GateError, match="has 2 documents, 30 fewer than the 32 before"):
        other.plan(tmp_path)


def test_of_two_runs_at_once_the_second_is_refused(filled: Corpus) -> None:
    """It was planned against a release that is no longer live; what the first published stands."""
    filled.write(second="The second run reads this.")
    late = filled.start()
    filled.write(first="The first run publishes this as well.")
    first = filled.run()
    with pytest.raises(ConflictError, match=f"{first.manifest.release}.*again"):
        filled.publish(late)
    assert filled.index.current() == first.manifest


def test_a_corpus_may_be_reorganised(filled: Corpus) -> None:
    """Most documents are gone, and as many are new."""
    for path in filled.documents.glob("note*.md"):
        path.unlink()
    filled.write(**{f"page{number}": f"# Page {number}\n\nPage {number}." for number in range(25)})
    assert filled.run().manifest.counts["documents"] == 27


def test_an_index_that_answers_golden_questions_worse_is_not_published(filled: Corpus, tmp_path: Path) -> None:
    """The message says which score fell, from what to what; what answers them as well goes live."""
    questions = tmp_path / "golden.jsonl"
    row = {"question": "What colour is the tower?", "answers": ["green"], "gold_files": ["facts.md"]}
    questions.write_text(json.dumps(row) + "\n")
    filled.questions_uri = str(questions)
    filled.write(one="# One\n\nAnother document.")
    first = filled.run().manifest
    assert {key: first.checks[key] for key in ("source_hit@4", "answer_contained")} == {
        "source_hit@4": 1.0,
        "answer_contained": 1.0,
    }
    filled.write(facts="# Facts\n\nThe tower is gone.")
    message = r"golden\.jsonl are answered worse: answer_contained from 1\.000 to 0\.000, .* serves on"
    with pytest.raises(GateError, match=message):
        filled.run()
    assert filled.index.current() == first


def test_a_damaged_release_is_made_anew(filled: Corpus, tmp_path: Path) -> None:
    """Without being told, a run leaves it; with `rebuild` it is whole again, under the same name."""
    manifest = filled.index.current()
    damaged = Path(filled.store_uri) / "indexes" / "default" / "releases" / manifest.release / "documents.parquet"
    damaged.write_bytes(b"not a table")
    with pytest.raises(DamagedReleaseError, match=r"documents\.parquet is not what its manifest says; .* --rebuild"):
        filled.plan(tmp_path)
    run = filled.run(rebuild=True)
    assert (run.manifest.release, run.embedded, run.built.base) == (manifest.release, 0, "")
    (tmp_path / "scratch").mkdir()
    assert verify_release(filled.index, manifest.release, tmp_path / "scratch").problems == ()


@pytest.mark.parametrize("rebuild", [False, True], ids=["changed", "from nothing"])
def test_a_wrong_vector_does_not_go_live(filled: Corpus, *, rebuild: bool) -> None:
    """Neither in an index that was changed, of which a sample is compared, nor in one that was built from nothing."""
    started = start_with_one_more(filled, rebuild=rebuild)
    assert bool(started.built.base) is not rebuild
    turn_vector(started, 0)
    with pytest.raises(GateError, match="1 chunks have no or a wrong vector"):
        check(filled, started)


def test_every_added_vector_is_compared(filled: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the sample is."""
    monkeypatch.setattr("ragline.reindex.check._SAMPLE", 0)
    started = start_with_one_more(filled)
    added = np.load(started.work / "index" / ADDED).tolist()
    assert len(added) == 1
    turn_vector(started, added[0])
    with pytest.raises(GateError, match="1 chunks have no or a wrong vector"):
        check(filled, started)


def test_what_only_checks_need_is_not_published(filled: Corpus) -> None:
    """Whichever way the index was made."""
    filled.write(added="# Added\n\nOne more document.")
    changed, anew = filled.run(), filled.run(rebuild=True)
    assert (changed.built.base != "", anew.built.base) == (True, "")
    assert [{EXACT, ADDED} & run.manifest.files.keys() for run in (changed, anew)] == [set(), set()]


def start_with_one_more(filled: Corpus, *, rebuild: bool = False) -> Started:
    """Publish, add a document, and build the next index."""
    filled.run()
    filled.write(added="# Added\n\nOne more document.")
    return filled.start(rebuild=rebuild)


def turn_vector(started: Started, row: int) -> None:
    """Say that the vector of a row should be its opposite."""
    vectors = np.load(started.work / "index" / EXACT, mmap_mode="r+")
    vectors[row] = -vectors[row]
    vectors.flush()


def check(filled: Corpus, started: Started) -> None:
    """Check the index that was built."""
    origin = started.plan.origin
    check_index(
        *(started.work / "index", started.work / "checks"),
        base=started.built.base,
        store_uri=filled.store_uri,
        name=filled.name,
        embedder=origin.embedder,
        model_digest=origin.model,
    )
