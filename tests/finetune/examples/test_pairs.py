"""Training pairs are made of a corpus, of users' lines, and of a language model's questions."""

import json
from collections import defaultdict
from pathlib import Path

import pytest

from ragline.errors import InputError
from ragline.finetune.examples.pair import Pair, read_pairs
from ragline.finetune.examples.pairs import PairSet, make_pairs
from ragline.finetune.examples.questions import QuestionWriter
from ragline.finetune.examples.scrubbing import key_of
from ragline.settings import LlmSettings
from ragline.tables import ChunkWriter, read_chunks
from tests.finetune.examples.chat_server import chat_server
from tests.finetune.small_corpus import THINGS, Corpus, guide, reversed_corpus, write_corpus

CORPUS_KINDS = {"title", "heading", "first sentence", "definition", "code", "crop"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Return the guides, cut."""
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def _make(
    corpus: Corpus,
    path: Path,
    *,
    seed: int = 0,
    uri: str = "",
    questions: QuestionWriter | None = None,
    golden: str = "",
) -> tuple[PairSet, list[Pair]]:
    made = make_pairs(
        corpus.documents,
        corpus.chunks,
        path,
        seed=seed,
        test_share=0.3,
        pairs_uri=uri,
        questions=questions,
        questions_uri=golden,
    )
    return made, list(read_pairs(path))


def test_pairs_of_all_kinds(corpus: Corpus, tmp_path: Path) -> None:
    """A corpus gives pairs of every kind; the counts are those of the table."""
    made, pairs = _make(corpus, tmp_path / "pairs.parquet")
    assert {pair.kind for pair in pairs} == CORPUS_KINDS == set(made.kinds)
    assert (made.train, made.test) == tuple(sum(pair.split == split for pair in pairs) for split in ("train", "test"))
    assert sum(made.kinds.values()) == len(pairs)
    assert made.questions == {}


def test_a_positive_holds_no_query(corpus: Corpus, tmp_path: Path) -> None:
    """No query stands in its positive; those of a measured chunk share one positive, which holds none of them."""
    _, pairs = _make(corpus, tmp_path / "pairs.parquet")
    measured = defaultdict(list)
    for pair in pairs:
        assert pair.query.casefold() not in " ".join(pair.positive.casefold().split())
        if pair.split == "test":
            measured[pair.chunk].append(pair)
    assert any(len(group) > 1 for group in measured.values())
    for group in measured.values():
        assert len({pair.positive for pair in group}) == 1
        assert {pair.kind for pair in group} <= CORPUS_KINDS - {"crop"}


def test_each_query_is_asked_once_and_each_document_is_on_one_side(corpus: Corpus, tmp_path: Path) -> None:
    """Queries that differ in case and punctuation alone are the same; no document is on both sides."""
    _, pairs = _make(corpus, tmp_path / "pairs.parquet")
    assert len({key_of(pair.query) for pair in pairs}) == len(pairs)
    sides = defaultdict(set)
    for pair in pairs:
        sides[pair.document].add(pair.split)
    assert {len(splits) for splits in sides.values()} == {1}


def test_the_same_whatever_the_order(corpus: Corpus, tmp_path: Path) -> None:
    """The order of documents changes nothing, another seed does."""
    first = _make(corpus, tmp_path / "a.parquet")
    assert _make(reversed_corpus(corpus, tmp_path), tmp_path / "b.parquet") == first
    assert _make(corpus, tmp_path / "c.parquet", seed=1)[0].digest != first[0].digest


def test_no_more_pairs_than_wanted(corpus: Corpus, tmp_path: Path) -> None:
    """The most is kept to, on both sides."""
    made = make_pairs(corpus.documents, corpus.chunks, tmp_path / "p.parquet", test_share=0.3, max_pairs=60)
    assert made.train <= 60
    assert made.test <= 18


def test_own_pairs_are_all_taken(corpus: Corpus, tmp_path: Path) -> None:
    """A document's pair has a chunk and its side; a text's pair has none; a query of their own precedes others."""
    _, before = _make(corpus, tmp_path / "before.parquet")
    rival = next(pair for pair in before if pair.split == "train")
    rows = [
        {"query": "who sweeps the kiln?", "document": "guides/kiln.md", "section": "Clean the"},
        {"query": "may I bring a dog?", "positive": "Dogs wait outside."},
        {"query": rival.query.upper(), "positive": "An answer of their own."},
    ]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    made, pairs = _make(corpus, tmp_path / "pairs.parquet", uri=str(tmp_path / "own.jsonl"))
    theirs = {pair.query: pair for pair in pairs if pair.kind == "user"}
    assert made.kinds["user"] == 3
    kiln = theirs["who sweeps the kiln?"]
    (chunk,) = [chunk for chunk in read_chunks(corpus.chunks) if chunk.id == kiln.chunk]
    assert (kiln.document, "Every week" in chunk.text) == ("guides/kiln.md", True)
    assert {pair.split for pair in pairs if pair.document == "guides/kiln.md"} == {kiln.split}
    dog = theirs["may I bring a dog?"]
    assert (dog.positive, dog.chunk, dog.document) == ("Dogs wait outside.", "", "")
    assert [pair.kind for pair in pairs if key_of(pair.query) == key_of(rival.query)] == ["user"]


def test_questions_of_a_language_model(corpus: Corpus, tmp_path: Path) -> None:
    """They are pairs of their kind, of the passages asked about; URL, model and prompt are kept with the set."""
    with chat_server() as chat:
        chat.write = lambda passage: (
            f"What about {passage.split()[-1]} in {passage.split()[1]}?\n{passage.split(chr(10))[-1][:60]}"
        )
        writer = QuestionWriter(chat.url, "small", passages=20, settings=LlmSettings())
        made, pairs = _make(corpus, tmp_path / "pairs.parquet", questions=writer)
        assert len(chat.requests) == 20
        assert made.questions == writer.record()
        assert _make(corpus, tmp_path / "again.parquet", questions=writer)[0] == made
    questions = [pair for pair in pairs if pair.kind == "question"]
    assert 0 < len(questions) <= 20
    assert all(pair.query.startswith("What about") for pair in questions)


def test_nothing_is_trained_with_a_golden_question(corpus: Corpus, tmp_path: Path) -> None:
    """What the gate asks is no pair, whichever side it would be on."""
    _, before = _make(corpus, tmp_path / "before.parquet")
    known, golden = before[0], tmp_path / "golden.jsonl"
    golden.write_text(json.dumps({"id": "1", "question": known.query.upper(), "gold_files": [known.document]}))
    made, pairs = _make(corpus, tmp_path / "pairs.parquet", golden=str(golden))
    assert made.skipped["golden question"] >= 1
    assert known.query not in {pair.query for pair in pairs}
    golden.write_text(json.dumps({"id": "1", "question": "Where?", "gold_files": ["nowhere.md"]}))
    with pytest.raises(InputError, match=r"golden\.jsonl, question '1' .* gold file 'nowhere.md' is nowhere"):
        _make(corpus, tmp_path / "pairs.parquet", golden=str(golden))


def test_too_few_documents(tmp_path: Path) -> None:
    """The error says how many there are and how many are needed."""
    pages = {f"{thing}.md": guide(thing) for thing in THINGS[:3]}
    with pytest.raises(InputError, match=r"3 documents with text are too few, at least 8 are needed"):
        _make(write_corpus(tmp_path, pages), tmp_path / "pairs.parquet")


def test_too_few_pairs(tmp_path: Path) -> None:
    """Documents that say next to nothing give too few pairs."""
    pages = {
        f"{thing}.md": f"The {thing} is one of the things that there are in the town at the river." for thing in THINGS
    }
    with pytest.raises(InputError, match=r"16 documents give \d+ pairs to train with, at least 32 are needed"):
        _make(write_corpus(tmp_path, pages), tmp_path / "pairs.parquet")


@pytest.mark.parametrize(
    ("share", "most", "message"), [(0, 100, "test share 0"), (0.9, 100, "0.05 to 0.5"), (0.1, 9, "at least 40")]
)
def test_wrong_parameters(corpus: Corpus, tmp_path: Path, share: float, most: int, message: str) -> None:
    """They are refused before anything is read."""
    with pytest.raises(InputError, match=message):
        make_pairs(corpus.documents, corpus.chunks, tmp_path / "p", test_share=share, max_pairs=most)


def test_chunks_of_other_documents_are_refused(corpus: Corpus, tmp_path: Path) -> None:
    """Tables that do not belong together are found out."""
    with ChunkWriter(tmp_path / "chunks.parquet") as writer:
        for chunk in sorted(read_chunks(corpus.chunks), key=lambda chunk: chunk.document, reverse=True):
            writer.write(chunk)
    with pytest.raises(InputError, match="does not hold at that place"):
        _make(Corpus(corpus.documents, tmp_path / "chunks.parquet"), tmp_path / "pairs.parquet")


@pytest.mark.parametrize("name", ["docs-determined/snapshot-2024-05-31", "docs-kubeflow/snapshot-2025-08-29"])
def test_real_documentation(shared: Path, tmp_path: Path, name: str) -> None:
    """Real documentation gives thousands of pairs, none of which holds its query."""
    if not (folder := shared / "data" / name).is_dir():
        pytest.skip(f"{folder} is absent")
    pages = {
        str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.suffix in {".md", ".rst"}
    }
    made, pairs = _make(write_corpus(tmp_path, pages), tmp_path / "pairs.parquet")
    assert made.train > 2000
    assert made.test > 200
    assert [pair for pair in pairs if pair.query.casefold() in " ".join(pair.positive.casefold().split())] == []
