"""The choice of a loader, compression, and input made to break a reader."""

import gzip
import time

import pytest

from ragline import loaders
from ragline.errors import Unreadable
from ragline.loaders import EXTENSIONS, BadRow, load


def texts(name: str, data: bytes) -> list[str]:
    """Return the texts, or the reason."""
    try:
        return [each.error.reason if isinstance(each, BadRow) else each.text for each in load(name, data)]
    except Unreadable as error:
        return [error.reason]


@pytest.mark.parametrize(
    ("name", "data", "media_type"),
    [
        ("a.md", b"x", "text/markdown"),
        ("dir.d/UPPER.MD", b"x", "text/markdown"),
        ("a.mdx", b"x", "text/markdown"),
        ("a.rst", b"x", "text/x-rst"),
        ("a.htm", b"x", "text/html"),
        ("a.log", b"x", "text/plain"),
        ("a.csv", b"x", "text/csv"),
        ("a.json", b'{"text": "x"}', "application/json"),
        ("a.ndjson", b'{"text": "x"}', "application/x-ndjson"),
        ("a.ipynb", b'{"cells": [{"cell_type": "markdown", "source": "x"}]}', "application/x-ipynb+json"),
        ("README", b"x", "text/plain"),
        (".hidden", b"<!DOCTYPE html><p>x", "text/html"),
        ("notes-1.2", b"x", "text/plain"),
        ("..md", b"x", "text/markdown"),
        ("new\nline.md", b"x", "text/markdown"),
        ("a.txt.gz", gzip.compress(b"x"), "text/plain"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "x"}\n'), "application/x-ndjson"),
        ("README.gz", gzip.compress(b"x") + gzip.compress(b" x"), "text/plain"),
    ],
)
def test_the_name_decides_and_content_helps(name: str, data: bytes, media_type: str) -> None:
    """The extension names the type in any case; without one the content does; gzip is seen through."""
    assert [each.media_type for each in load(name, data) if not isinstance(each, BadRow)] == [media_type]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\n", "unknown type"),
        ("a.zip", b"PK\x03\x04", "unknown type"),
        ("a.py", b"print(1)", "unknown type"),
        ("a.tar.gz", gzip.compress(b"x"), "unknown type"),
        ("binary", bytes(range(256)) * 10, "unknown type"),
        ("a.txt", bytes(range(256)) * 10, "unknown type"),
        ("a.md", b"%PDF-1.4 ...", "unknown type"),
        ("a.md", b"", "empty"),
        ("a.png", b"", "empty"),
        ("a.md", b" \n\t\n", "empty"),
        ("a.txt", b"\xef\xbb\xbf", "empty"),
        ("a.md.gz", b"not gzip", "damaged"),
        ("a.md.gz", gzip.compress(b"x" * 1000)[:-10], "damaged"),
        ("a.md.gz", gzip.compress(b""), "empty"),
    ],
)
def test_what_cannot_be_indexed_has_a_reason(name: str, data: bytes, reason: str) -> None:
    """Each file that is not indexed is told apart by one of a few reasons."""
    assert texts(name, data) == [reason]


def test_decompression_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file that would become a huge one is not expanded."""
    monkeypatch.setattr(loaders, "LARGEST", 1 << 20)
    assert texts("a.txt.gz", gzip.compress(b"0" * (2 << 20))) == ["too large"]


def test_loading_is_deterministic() -> None:
    """The same bytes give equal documents."""
    data = "# A\n\nÜber | b\n--- | ---\n1 | 2\n".encode("cp1252")
    assert list(load("a.md", data)) == list(load("a.md", data))


HOSTILE = {
    "brackets": "[" * 300_000,
    "open links": "[a](" * 100_000,
    "link of parentheses": "[a](" + "()" * 150_000,
    "images": "![" * 150_000,
    "backticks": "`" * 300_000,
    "pairs of backticks": "``a" * 100_000,
    "parentheses": "(" * 300_000,
    "less-than": "<" * 300_000,
    "open tags": "<a " * 100_000,
    "comments": "<!--" * 80_000,
    "scripts": "<script>\n" * 30_000,
    "tables": "<table>\n" * 30_000,
    "nested": "<div>" * 60_000,
    "lists": "<ul><li>" * 40_000,
    "hidden": "<p hidden>" * 30_000,
    "menus": "<div class=nav></div>" * 15_000,
    "shortcodes": "{{<" * 100_000,
    "stars": "*" * 300_000,
    "strong": "**a" * 100_000,
    "underscores": "_" * 300_000,
    "spaces": "x" + " " * 300_000 + "x",
    "leading spaces": " " * 300_000 + "x",
    "cells": "|" + " " * 300_000 + "|" * 1000,
    "fences": "```\n" * 75_000,
    "rules": "---\n" * 75_000,
    "front matter": "---\na: " + "[" * 60_000 + "\n---\nx",
    "indented": "    a\n\n" * 40_000,
    "directives": ".. a::\n\n   " * 30_000,
    "literal blocks": "x::\n" * 75_000,
    "nested notes": "\n".join(" " * depth + ".. note::\n" for depth in range(700)),
    "roles": ":a" * 150_000,
    "grid": "+-" * 150_000,
    "simple table": "== ==\n" * 50_000,
    "blank lines": "\n" * 300_000 + "x",
    "json": "[" * 300_000,
    "open objects": '{"a":' * 60_000,
}


@pytest.mark.parametrize("extension", sorted(EXTENSIONS - {"pdf", "docx"}))
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_takes_linear_time(name: str, extension: str) -> None:
    """No pattern of characters makes a loader crash or take long: what is quadratic would take minutes here."""
    begun = time.process_time()
    texts(f"a.{extension}", HOSTILE[name].encode())
    assert time.process_time() - begun < 5
