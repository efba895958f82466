"""Documents and chunks in Parquet files."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragline import tables
from ragline.documents import Chunk, Document, Heading, Loaded
from ragline.tables import ChunkWriter, DocumentWriter, count_rows, read_chunks, read_documents, read_rows

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_NUMBER = st.integers(0, 2**40)
_SCALARS = st.one_of(_TEXT, st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False))
_CONTENTS = st.builds(
    Loaded,
    text=_TEXT,
    title=_TEXT,
    headings=st.lists(st.builds(Heading, _NUMBER, st.integers(1, 6), _TEXT), max_size=4).map(tuple),
    blocks=st.lists(st.tuples(_NUMBER, _NUMBER), max_size=4).map(tuple),
    media_type=_TEXT,
    metadata=st.dictionaries(_TEXT, _SCALARS, max_size=4),
    row=_TEXT,
)
_DOCUMENTS = st.lists(st.builds(Document, _TEXT, _TEXT, _CONTENTS), max_size=6)
_CHUNKS = st.lists(st.builds(Chunk, _TEXT, _TEXT, _TEXT, _TEXT, _NUMBER, _NUMBER, _TEXT, _NUMBER, _TEXT), max_size=6)
_settings = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_settings
@given(_DOCUMENTS)
def test_documents_come_back_as_they_were(tmp_path: Path, documents: list[Document]) -> None:
    """Every field survives, whatever characters it has."""
    with DocumentWriter(tmp_path / "documents") as writer:
        for document in documents:
            writer.write(document)
    assert list(read_documents(tmp_path / "documents")) == documents
    assert count_rows(tmp_path / "documents") == len(documents)


@_settings
@given(_CHUNKS)
def test_chunks_come_back_as_they_were(tmp_path: Path, chunks: list[Chunk]) -> None:
    """Every field survives, whatever characters it has."""
    with ChunkWriter(tmp_path / "chunks") as writer:
        for chunk in chunks:
            writer.write(chunk)
    assert list(read_chunks(tmp_path / "chunks")) == chunks


def chunk(number: int) -> Chunk:
    """Return one of many chunks."""
    return Chunk(f"id{number}", "a.md", "", "", 0, 4, "text", 6, f"digest{number}")


def test_a_row_group_is_flushed_when_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory holds one row group, and the file is many."""
    monkeypatch.setattr(tables, "ROW_GROUP_BYTES", 2040)
    with ChunkWriter(tmp_path / "chunks") as writer:
        for number in range(25):
            writer.write(chunk(number))
    metadata = pq.read_metadata(tmp_path / "chunks")
    assert [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)] == [10, 10, 5]
    assert list(read_chunks(tmp_path / "chunks")) == [chunk(number) for number in range(25)]


def test_only_the_columns_asked_for_are_read(tmp_path: Path) -> None:
    """A reader of digests does not pay for texts."""
    with ChunkWriter(tmp_path / "chunks") as writer:
        writer.write(chunk(1))
    assert list(read_rows(tmp_path / "chunks", ["digest", "tokens"])) == [{"digest": "digest1", "tokens": 6}]


def test_the_same_rows_make_the_same_file(tmp_path: Path) -> None:
    """A table can be named by the digest of its bytes."""
    for name in ("one", "two"):
        with ChunkWriter(tmp_path / name) as writer:
            writer.write(chunk(1))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
