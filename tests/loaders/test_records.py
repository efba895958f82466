"""JSON, JSON Lines and notebooks."""

import json
from typing import Any

import pytest

from ragline.documents import BadRow, Loaded
from ragline.errors import Unreadable
from ragline.loaders.records import load_json, load_json_lines, load_notebook


def dump(value: Any) -> bytes:
    """Return a value as JSON."""
    return json.dumps(value).encode()


def rows_of(data: bytes, text_field: str = "") -> list[tuple[str, str]]:
    """Return (row, text or reason) of JSON Lines."""
    found = load_json_lines(data, text_field=text_field)
    return [(each.row, each.error.reason if isinstance(each, BadRow) else each.text) for each in found]


def test_an_object_with_text_is_one_document() -> None:
    """Text and title are found under their usual names; the other scalars are metadata."""
    record = {"title": "T", "text": "Body.", "year": 2024, "ok": True, "tags": ["x"], "note": "n", "none": None}
    assert list(load_json(dump(record))) == [
        Loaded("Body.", "T", media_type="application/json", metadata={"year": 2024, "ok": True, "note": "n"})
    ]


def test_an_array_of_objects_is_one_document_each() -> None:
    """Rows are named by their id, or by their place."""
    found = list(load_json(dump([{"_id": 7, "body": "A"}, {"content": "B"}])))
    assert found == [
        Loaded("A", media_type="application/json", metadata={"_id": 7}, row="7"),
        Loaded("B", media_type="application/json", row="item-2"),
    ]


def test_any_other_structure_becomes_lines_of_paths() -> None:
    """Nested values keep their path, so that they can be found and understood."""
    found = list(load_json(dump({"a": [{"title": "T0", "n": 1}], "b": {"c": False}, "e": "", "f": None})))
    assert [each.text for each in found if isinstance(each, Loaded)] == ["a[0].title: T0\na[0].n: 1\nb.c: false"]


def test_the_text_field_can_be_chosen() -> None:
    """A dotted path leads below the top level; a row without the field is reported by name."""
    data = b'{"id": "1", "doc": {"md": "Deep"}, "text": "no"}\n{"id": "2", "text": "only"}\n{"doc.md": "Flat"}\n'
    assert rows_of(data, "doc.md") == [("1", "Deep"), ("line-2", "empty"), ("line-3", "Flat")]
    with pytest.raises(Unreadable, match="empty: it has no text in the field 'body'"):
        list(load_json(b'{"text": "x"}', text_field="body"))


def test_a_bad_row_is_reported_and_the_others_go_on() -> None:
    """Broken JSON, blank text and wrong bytes cost one row each; blank lines cost nothing."""
    data = b'\xef\xbb\xbf{"id": "a", "text": "A"}\n\n{"id": "b", "text": \n{"text": "  "}\n{"text": "C"}\n["x", "y"]\n'
    assert rows_of(data) == [
        ("a", "A"),
        ("line-3", "damaged"),
        ("line-4", "empty"),
        ("line-5", "C"),
        ("line-6", "[0]: x\n[1]: y"),
    ]


def test_equal_row_ids_are_kept_apart() -> None:
    """No row is lost because its id came before, not even one that looks like the replacement."""
    names = ["x", "x", "x~2", "x", "7"]
    data = b"\n".join(dump({"id": name, "text": f"t{index}"}) for index, name in enumerate(names))
    assert rows_of(data) == [("x", "t0"), ("x~2", "t1"), ("x~2~2", "t2"), ("x~3", "t3"), ("7", "t4")]


def test_a_title_alone_is_a_row() -> None:
    """A row with an empty text and a title can be found by its title."""
    assert rows_of(b'{"_id": "5", "title": "Known", "text": ""}\n') == [("5", "Known")]


def test_rows_in_other_encodings_are_read() -> None:
    """UTF-16 files and single rows in Latin-1 are decoded."""
    assert rows_of('{"text": "Größe"}\n'.encode("utf-16")) == [("line-1", "Größe")]
    assert rows_of(b'{"text": "a"}\n{"text": "Gr\xf6\xdfe"}\n') == [("line-1", "a"), ("line-2", "Größe")]


def test_the_name_may_be_wrong_about_the_kind_of_json() -> None:
    """Rows in a .json file are rows, and one indented value in a .jsonl file is one value."""
    assert [each.text for each in load_json(b'{"text": "A"}\n{"text": "B"}\n') if isinstance(each, Loaded)] == [
        "A",
        "B",
    ]
    assert rows_of(b'[\n {"text": "A"},\n {"text": "B"}\n]\n') == [("item-1", "A"), ("item-2", "B")]


@pytest.mark.parametrize("data", [b"not json", b'{"a": 1', b"[" * 100_000, b"hello\n" * 50])
def test_a_file_without_json_is_damaged_once(data: bytes) -> None:
    """A file of which nothing parses is one finding, not one for each line."""
    for load in (load_json, load_json_lines):
        with pytest.raises(Unreadable, match="damaged"):
            list(load(data))


def test_unreadable_characters_do_not_pass() -> None:
    """Escaped lone surrogates and NUL would break the tables."""
    found = list(
        load_json(b'{"id": "a\\ud800\\n b", "title": "T\\u0000", "text": "x\\ud800y", "k\\ud800": "v\\ud800"}')
    )
    assert found == [
        Loaded("xy", "T", media_type="application/json", metadata={"id": "a b", "k": "v"}),
    ]


def test_notebooks_give_text_and_code() -> None:
    """Markdown cells are Markdown and code cells are blocks; outputs are left out."""
    notebook = {
        "cells": [
            {"cell_type": "markdown", "source": ["# Title\n", "Learning **rate**"]},
            {"cell_type": "code", "source": "print(1)", "outputs": [{"text": "1"}]},
            {"cell_type": "raw", "source": "no"},
        ],
        "metadata": {"language_info": {"name": "python"}},
    }
    loaded = load_notebook(dump(notebook))
    assert (loaded.title, loaded.text) == ("Title", "# Title\nLearning rate\n\n```python\nprint(1)\n```")
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": ["x = 1"]}]}]}
    assert load_notebook(dump(old)).text == "```\nx = 1\n```"
    with pytest.raises(Unreadable, match="damaged"):
        load_notebook(b"[1]")
