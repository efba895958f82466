"""Documents are divided so that nothing measured has been trained with."""

import random
from pathlib import Path

from ragline.documents import Chunk
from ragline.finetune.examples.division import Division, divide
from ragline.tables import ChunkWriter

_WORDS = [f"word{number}" for number in range(2000)]


def _chunk(document: str, number: int, text: str) -> Chunk:
    return Chunk(f"{document}-{number}", document, document, "", number, number + 1, text, 9, "")


def _text(seed: str) -> str:
    return " ".join(random.Random(seed).choices(_WORDS, k=120))


def _divide(tmp_path: Path, chunks: list[Chunk], *, seed: int = 0) -> Division:
    with ChunkWriter(tmp_path / "chunks.parquet") as writer:
        for chunk in chunks:
            writer.write(chunk)
    return divide(tmp_path / "chunks.parquet", seed=seed, test_share=0.2)


def _chunks(documents: int, each: int = 5) -> list[Chunk]:
    return [_chunk(f"{d:02}", n, _text(f"{d} {n}")) for d in range(documents) for n in range(each)]


def test_the_share_is_kept_whatever_the_order(tmp_path: Path) -> None:
    """A fifth of the chunks is measured with; the order of documents changes nothing, another seed does."""
    chunks = _chunks(40)
    division = _divide(tmp_path, chunks)
    assert sum(split == "test" for split in division.splits.values()) == 8
    assert _divide(tmp_path, chunks[::-1]).splits == division.splits
    assert _divide(tmp_path, chunks, seed=1).splits != division.splits
    assert division.duplicates == frozenset()


def test_near_duplicate_documents_are_on_the_same_side(tmp_path: Path) -> None:
    """A copy of a document, with some words changed, goes where the document goes, and gives no pairs again."""
    chunks = _chunks(20)
    copies = [
        _chunk(f"copy {chunk.document}", chunk.start, chunk.text.replace("word1 ", "other ") + " end")
        for chunk in chunks
    ]
    division = _divide(tmp_path, [*chunks, *copies])
    sides = {division.splits[f"{number:02}"] == division.splits[f"copy {number:02}"] for number in range(20)}
    assert sides == {True}
    assert set(division.splits.values()) == {"train", "test"}
    assert len(division.duplicates) >= 95


def test_a_passage_on_both_sides_gives_no_pairs(tmp_path: Path) -> None:
    """What documents of both sides say alike is neither trained nor measured with."""
    shared = [_chunk(f"{number:02}", 9, _text("everywhere")) for number in range(40)]
    division = _divide(tmp_path, [*_chunks(40, each=8), *shared])
    assert sorted(division.duplicates) == sorted(chunk.id for chunk in shared)
    assert set(division.splits.values()) == {"train", "test"}


def test_one_large_document_does_not_fill_the_test_side(tmp_path: Path) -> None:
    """A document that is half of the share alone is trained with while others will do."""
    large = [_chunk("large", number, _text(f"large {number}")) for number in range(100)]
    for seed in range(5):
        assert _divide(tmp_path, [*large, *_chunks(20)], seed=seed).splits["large"] == "train"


def test_a_text_from_elsewhere_goes_where_it_stands(tmp_path: Path) -> None:
    """Nearly the text of a test document is on the test side; unknown texts have no side."""
    chunks = _chunks(20)
    division = _divide(tmp_path, chunks)
    tested = next(chunk for chunk in chunks if division.splits[chunk.document] == "test")
    assert division.side_of(tested.text + " end") == "test"
    assert division.side_of(_text("unknown")) is None
