"""Hard negatives look like answers and are none."""

from dataclasses import replace
from pathlib import Path

import pytest

from ragline.chunking import Chunker, ChunkSize
from ragline.embedding.embedder import Embedder
from ragline.embedding.model import DEFAULT
from ragline.errors import InputError, ModelError, SettingError
from ragline.finetune.examples.negatives import mine_negatives
from ragline.finetune.examples.pair import Pair, PairWriter, read_pairs
from ragline.finetune.examples.pairs import make_pairs
from ragline.finetune.examples.scrubbing import passage_text
from ragline.object_store import open_store
from ragline.tables import read_chunks
from ragline.vectors import Shard, Vectors
from tests.finetune.small_corpus import Corpus, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Return the guides, cut, with a copy of one."""
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def pairs(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the pairs of the guides."""
    path = tmp_path_factory.mktemp("pairs") / "pairs.parquet"
    make_pairs(corpus.documents, corpus.chunks, path, test_share=0.3)
    return path


def test_negatives_of_a_corpus(corpus: Corpus, pairs: Path, tmp_path: Path) -> None:
    """Training pairs get passages of other sections that are no test documents'; all else stays as it was."""
    made = mine_negatives(pairs, corpus.chunks, tmp_path / "mined.parquet", embedder=DEFAULT, count=3)
    before, after = list(read_pairs(pairs)), list(read_pairs(tmp_path / "mined.parquet"))
    assert [replace(pair, negatives=()) for pair in after] == before
    assert (made.pairs, made.negatives) == (len(before), sum(len(pair.negatives) for pair in after))
    assert made.without < 0.1 * len(before)
    assert {"same section", "as similar as the positive"} <= made.left_out.keys()
    chunks = {chunk.id: (chunk.document, chunk.section) for chunk in read_chunks(corpus.chunks)}
    sections = {passage_text(chunk): chunks[chunk.id] for chunk in read_chunks(corpus.chunks)}
    sections |= {pair.positive: chunks[pair.chunk] for pair in before}
    tested = {pair.document for pair in before if pair.split == "test"}
    for pair in after:
        assert len(pair.negatives) <= (3 if pair.split == "train" else 0)
        for negative in pair.negatives:
            assert sections[negative] != chunks[pair.chunk]
            assert sections[negative][0] not in tested


def test_negatives_have_lost_what_positives_have_lost(corpus: Corpus, pairs: Path, tmp_path: Path) -> None:
    """A chunk that answers some query stands as that answer: its heading must not tell that it is a negative."""
    mine_negatives(pairs, corpus.chunks, tmp_path / "mined.parquet", embedder=DEFAULT, count=3)
    answering = {pair.chunk for pair in read_pairs(pairs, "train")}
    whole = {passage_text(chunk) for chunk in read_chunks(corpus.chunks) if chunk.id in answering}
    positives = {pair.positive for pair in read_pairs(pairs, "train")}
    negatives = {text for pair in read_pairs(tmp_path / "mined.parquet") for text in pair.negatives}
    assert negatives & positives
    assert negatives & (whole - positives) == set()


def test_mining_again_gives_the_same(corpus: Corpus, pairs: Path, tmp_path: Path) -> None:
    """The same pairs and model give the same table."""
    first, second = (
        mine_negatives(pairs, corpus.chunks, tmp_path / name, embedder=DEFAULT) for name in ("a.parquet", "b.parquet")
    )
    assert first == second


def test_stored_vectors_are_used(corpus: Corpus, pairs: Path, tmp_path: Path) -> None:
    """What a run has embedded before is not embedded again."""
    embedder, chunks = Embedder.named(DEFAULT), list(read_chunks(corpus.chunks))
    chunker = Chunker(embedder.tokenizer, ChunkSize())
    texts = {chunk.digest: chunker.embedded_text(chunk) for chunk in chunks}
    vectors = Vectors(open_store(str(tmp_path)), embedder.model.digest)
    (tmp_path / "vectors").mkdir()
    vectors.write(Shard(), list(texts), embedder.embed(list(texts.values())))
    fresh = mine_negatives(pairs, corpus.chunks, tmp_path / "a.parquet", embedder=DEFAULT)
    reused = mine_negatives(pairs, corpus.chunks, tmp_path / "b.parquet", embedder=DEFAULT, store_uri=str(tmp_path))
    assert fresh.embedded > 0
    assert reused.embedded == 0
    assert reused.negatives == fresh.negatives


def test_what_answers_as_well_is_no_negative(corpus: Corpus, tmp_path: Path) -> None:
    """The passage that a user's text is nearly the same as, and one that holds the query, are left out."""
    chunk = next(chunk for chunk in read_chunks(corpus.chunks) if "Every week" in chunk.text)
    query = " ".join(chunk.text.split("Every week")[1].split()[:8])
    own = [
        Pair("when is the cleaning done?", chunk.text + " So it is.", "", "", "user", "train"),
        Pair(query, "Something else that was written by hand about the cleaning.", "", "", "user", "train"),
    ]
    with PairWriter(tmp_path / "own.parquet") as writer:
        for pair in own:
            writer.write(pair)
    made = mine_negatives(
        tmp_path / "own.parquet", corpus.chunks, tmp_path / "mined.parquet", embedder=DEFAULT, margin=0
    )
    assert made.negatives > 0
    for pair in read_pairs(tmp_path / "mined.parquet"):
        assert passage_text(chunk) not in pair.negatives


def test_wrong_parameters(corpus: Corpus, pairs: Path, tmp_path: Path) -> None:
    """They are refused with what to choose."""
    mined = tmp_path / "mined.parquet"
    with pytest.raises(SettingError, match="choose 1 to 32"):
        mine_negatives(pairs, corpus.chunks, mined, embedder=DEFAULT, count=0)
    with pytest.raises(SettingError, match=r"margin 1\.5"):
        mine_negatives(pairs, corpus.chunks, mined, embedder=DEFAULT, margin=1.5)
    with pytest.raises(ModelError, match="not a folder"):
        mine_negatives(pairs, corpus.chunks, mined, embedder="./nowhere")


def test_nothing_to_choose_from(corpus: Corpus, tmp_path: Path) -> None:
    """Where all documents are measured with, there is no passage for a negative."""
    with PairWriter(tmp_path / "pairs.parquet") as writer:
        for chunk in read_chunks(corpus.chunks):
            writer.write(Pair(chunk.id, chunk.text, chunk.id, chunk.document, "title", "test"))
    with pytest.raises(InputError, match="no chunk of a document that is trained with"):
        mine_negatives(tmp_path / "pairs.parquet", corpus.chunks, tmp_path / "mined.parquet", embedder=DEFAULT)
