"""Finding chunks by their words."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tantivy

from ragline.documents import Chunk
from ragline.lexical import LexicalIndex, analyzer, build_lexical

Build = Callable[..., LexicalIndex]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """A factory of indexes over the given texts."""

    def make(*texts: str) -> LexicalIndex:
        folder = tmp_path / "lexical"
        folder.mkdir()
        chunks = [Chunk(str(row), "a.md", "", "", 0, len(text), text, 1, "") for row, text in enumerate(texts)]
        assert build_lexical(folder, chunks) == len(texts)
        return LexicalIndex(folder)

    return make


def test_rows_that_share_more_words_come_first(build: Build) -> None:
    """BM25 scores, best first, and only rows that share a word."""
    index = build("a cat", "the cat sat on the mat", "a dog")
    found = index.search("cat mat", 10)
    assert list(found) == [1, 0]
    assert found[1] > found[0] > 0
    assert (len(index), list(index.search("cat mat", 1))) == (3, [1])


def test_endings_case_and_accents_do_not_matter(build: Build) -> None:
    """A word is found in its other forms."""
    index = build("Releases were ROLLED back", "un café à Orléans")
    assert [list(index.search(query, 5)) for query in ("rolling", "release", "cafe orleans")] == [[0], [0], [1]]


def test_chinese_and_japanese_are_found_without_spaces(build: Build) -> None:
    """Every character is a word; a document that has more of them ranks higher."""
    index = build("数据库的发布流程", "リリースの手順", "unrelated")
    assert [next(iter(index.search(query, 5))) for query in ("发布", "手順")] == [0, 1]
    assert index.terms("发布 v2") == ["发", "布", "v2"]


@pytest.mark.parametrize(
    "query",
    ['a:b "c', "(cat", "cat)", "*", "cat* +dog -cat", "^~[x TO y]{", "\\", "AND OR NOT", "body:cat", "a\0b", "'"],
)
def test_characters_of_a_query_language_are_harmless(build: Build, query: str) -> None:
    """A question is words, never a query: nothing in it is an operator."""
    index = build("cat and dog")
    assert set(index.search(query, 5)) <= {0}
    assert list(index.search(f"{query} cat", 5)) == [0]


@pytest.mark.parametrize("query", ["", "  ", "?!", "x" * 100])
def test_a_query_without_words_finds_nothing(build: Build, query: str) -> None:
    """So does a word that is longer than any that is indexed."""
    assert build("cat").search(query, 5) == {}


def test_title_and_section_are_found_too(tmp_path: Path) -> None:
    """A chunk that does not repeat its heading's words is found by them."""
    build_lexical(tmp_path, [Chunk("0", "a.md", "Handbook", "Backups", 0, 4, "text", 1, "")])
    index = LexicalIndex(tmp_path)
    assert [list(index.search(query, 5)) for query in ("handbook", "backup", "text")] == [[0]] * 3


def test_document_frequency_counts_chunks(build: Build) -> None:
    """A term in every chunk says little, one in none nothing."""
    index = build("cat cat", "cats", "dog")
    assert [index.document_frequency(term) for term in (*index.terms("cats dog"), "cow")] == [2, 1, 0]


def test_no_chunks_make_an_empty_index(build: Build) -> None:
    """It finds nothing."""
    index = build()
    assert (len(index), index.search("cat", 5)) == (0, {})


def test_an_index_of_an_earlier_version_names_chunks_by_id(tmp_path: Path) -> None:
    """It held ids instead of rows; who opens it says which row each id has."""
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    schema = builder.add_text_field("body", tokenizer_name="ragline").build()
    index = tantivy.Index(schema, path=str(tmp_path))
    index.register_tokenizer("ragline", analyzer())
    writer = index.writer(15_000_000, 1)
    for key, body in (("x", "a cat"), ("y", "a dog"), ("z", "a cat and a dog")):
        writer.add_document(tantivy.Document(id=key, body=body))
    writer.commit()
    writer.wait_merging_threads()
    found = LexicalIndex(tmp_path, lambda: {"x": 7, "y": 5, "z": 2})
    assert (list(found.search("cat", 5)), list(found.search("dogs", 5))) == ([7, 2], [5, 2])
