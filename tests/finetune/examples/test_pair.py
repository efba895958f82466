"""Pairs as a table."""

from pathlib import Path

from ragline.finetune.examples.pair import Pair, PairWriter, read_pairs

TRAINED = Pair("how to roll back", "Run ragline rollback.", "c1", "a.md", "heading", "train", ("Run ragline diff.",))
MEASURED = Pair("what is a chunk", "A piece of a document.", "", "", "user", "test")


def test_pairs_come_back_as_they_were_written(tmp_path: Path) -> None:
    """Pairs survive the table whole and in order, negatives included; a split is read alone."""
    path = tmp_path / "pairs.parquet"
    with PairWriter(path) as writer:
        for pair in (TRAINED, MEASURED):
            writer.write(pair)
    assert list(read_pairs(path)) == [TRAINED, MEASURED]
    assert list(read_pairs(path, "train")) == [TRAINED]
    assert list(read_pairs(path, "test")) == [MEASURED]
