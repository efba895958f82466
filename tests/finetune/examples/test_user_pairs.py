"""A user's own pairs are read, or refused line by line."""

import json
from pathlib import Path

import pytest

from ragline.documents import Chunk
from ragline.errors import InputError
from ragline.finetune.examples.user_pairs import UserPair, answering_chunks, fetch_user_pairs
from ragline.object_store import open_store
from ragline.tables import ChunkWriter
from tests.conftest import Bucket

CHUNKS = [
    Chunk("c1", "a.md", "Releases", "", 0, 9, "Releases are kept for ten days.", 6, ""),
    Chunk("c2", "a.md", "Releases", "Roll back", 10, 19, "Go to the one before with rollback.", 6, ""),
    Chunk(
        "c3",
        "a.md",
        "Releases",
        "Roll back > Limits",
        20,
        29,
        "Only kept releases come back.\n## Cost\nNothing.",
        6,
        "",
    ),
    Chunk("c4", "b.md", "Snapshots", "", 0, 9, "A snapshot holds all files.", 6, ""),
]


def _pairs(tmp_path: Path, *rows: object) -> str:
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return str(path)


def _chunks(tmp_path: Path) -> Path:
    with ChunkWriter(tmp_path / "chunks.parquet") as writer:
        for chunk in CHUNKS:
            writer.write(chunk)
    return tmp_path / "chunks.parquet"


def test_pairs_of_both_forms(tmp_path: Path) -> None:
    """A line gives a text, or a document with or without a section; blank lines are passed over."""
    uri = _pairs(
        tmp_path,
        {"query": " undo? ", "positive": "Run rollback."},
        "",
        {"query": "what is lost?", "document": "a.md", "section": "Limits"},
    )
    assert fetch_user_pairs(uri) == [
        UserPair("undo?", "Run rollback.", "", "", 1),
        UserPair("what is lost?", "", "a.md", "Limits", 3),
    ]


def test_pairs_from_s3(s3: Bucket, tmp_path: Path) -> None:
    """The file may be an object."""
    open_store(s3.uri).write("own.jsonl", b'{"query": "undo?", "positive": "Run rollback."}\n')
    assert fetch_user_pairs(f"{s3.uri}/own.jsonl") == [UserPair("undo?", "Run rollback.", "", "", 1)]


def test_each_bad_line_is_named(tmp_path: Path) -> None:
    """One error names every bad line with its value and what is expected."""
    uri = _pairs(
        tmp_path,
        {"query": "fine", "positive": "yes"},
        "{broken",
        ["a list"],
        {"query": "", "positive": "x"},
        {"query": 5, "positive": "x"},
        {"query": "both", "positive": "x", "document": "y"},
        {"query": "neither"},
    )
    with pytest.raises(InputError) as caught:
        fetch_user_pairs(uri)
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{uri}, line {number}" for number in range(2, 8)]
    for line, part in zip(
        lines,
        ("not JSON", "a list", '"query" is missing', "it is '5'", "both are given", "neither is given"),
        strict=True,
    ):
        assert part in line


def test_many_bad_lines_are_counted(tmp_path: Path) -> None:
    """After ten lines the error counts."""
    with pytest.raises(InputError, match="and 15 more lines"):
        fetch_user_pairs(_pairs(tmp_path, *25 * ["?"]))


def test_no_pairs_at_all(tmp_path: Path) -> None:
    """An empty file is refused, and what is not one file."""
    with pytest.raises(InputError, match="hold no pair"):
        fetch_user_pairs(_pairs(tmp_path, ""))
    (tmp_path / "more.jsonl").write_text("{}")
    with pytest.raises(InputError, match="expected one file"):
        fetch_user_pairs(str(tmp_path))


def test_the_chunk_that_answers(tmp_path: Path) -> None:
    """The chunk with most of the query's words is taken; a section narrows the choice, wherever it stands."""
    pairs = [
        UserPair("how long are releases kept in days", "", "a.md", "", 1),
        UserPair("how long are releases kept", "", "a.md", "roll back", 2),
        UserPair("which come back", "", "a.md", "Roll back > Limits", 3),
        UserPair("how much is it", "", "a.md", "Cost", 4),
        UserPair("anything", "", "b.md", "", 5),
    ]
    found = answering_chunks(pairs, _chunks(tmp_path), "own.jsonl")
    assert {key: [pair.line for pair in group] for key, group in found.items()} == {
        "c1": [1],
        "c2": [2],
        "c3": [3, 4],
        "c4": [5],
    }


def test_unknown_documents_and_sections_are_named(tmp_path: Path) -> None:
    """Both are named with the line; for a section those that there are."""
    pairs = [UserPair("q", "", "z.md", "", 1), UserPair("q", "", "a.md", "Prices", 2)]
    with pytest.raises(InputError) as caught:
        answering_chunks(pairs, _chunks(tmp_path), "own.jsonl")
    assert str(caught.value).splitlines() == [
        "own.jsonl, line 1: there is no document 'z.md'; ids are paths below the documents URI",
        "own.jsonl, line 2: 'a.md' has no section 'Prices'; it has: Roll back; Roll back > Limits",
    ]
