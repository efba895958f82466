"""What holds for the chunks of every text."""

import random
import time
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from ragline.chunking import Chunker, ChunkSize, section_path
from ragline.documents import Document, Heading, Loaded
from ragline.embedding.embedder import load_tokenizer
from ragline.embedding.model import DEFAULT, find_model
from ragline.errors import SettingError

SMALL = ChunkSize(text=32, whole=64)


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """The embedded default's WordPiece tokenizer."""
    return load_tokenizer(find_model(DEFAULT))


def document(text: str, *, title: str = "", blocks: tuple[tuple[int, int], ...] = ()) -> Document:
    """Return a document whose headings are the lines that begin with '#'."""
    headings, start = [], 0
    for line in text.splitlines(keepends=True):
        if name := line.strip().lstrip("#").strip():
            level = len(line) - len(line.lstrip("#"))
            headings += [Heading(start, level, name)] if level else []
        start += len(line)
    return Document("guide.md", "", Loaded(text, title, tuple(headings), blocks))


def prose(words: int, seed: int = 1) -> str:
    """Return sentences of short words, without a line end."""
    random_words = random.Random(seed)
    return " ".join(
        random_words.choice(["river", "stone", "cloud", "tree", "light"]) + ("." if index % 9 == 8 else "")
        for index in range(words)
    )


_PIECES = st.sampled_from(
    [
        "word ",
        "Sentence. ",
        "line\n",
        "\n\n",
        "# Head\n",
        "\n## Sub\n\n",
        "中文。",
        "한국어 ",
        "é",
        "\t",
        "\u200b",
        "🙂",
        "'.) ",
    ]
)
_TEXTS = st.one_of(st.text(max_size=300), st.lists(_PIECES, max_size=250).map("".join))


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Any text, with headings and blocks that a loader could have found in it."""
    text = draw(_TEXTS)
    edges = sorted(draw(st.sets(st.integers(0, len(text)), max_size=6)))
    blocks = tuple(zip(edges[::2], edges[1::2], strict=False))
    return document(text, title=draw(st.sampled_from(["", "A title", "Head"])), blocks=blocks)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents(), st.sampled_from([SMALL, ChunkSize(16, 0, 24), ChunkSize(40, 13, 64)]))
def test_chunks_of_any_text_keep_their_promises(tokenizer: Tokenizer, source: Document, size: ChunkSize) -> None:
    """Nothing that has a token is lost, offsets are exact, ids are unique, nothing exceeds the model's input."""
    chunker = Chunker(tokenizer, size)
    chunks = list(chunker.chunks(source))
    text = source.content.text
    covered = {position for chunk in chunks for position in range(chunk.start, chunk.end)}
    tokens = tokenizer.encode(text, add_special_tokens=False).offsets
    assert [span for span in tokens if text[slice(*span)].strip() and not covered.issuperset(range(*span))] == []
    assert [chunk.text for chunk in chunks] == [text[chunk.start : chunk.end] for chunk in chunks]
    assert len({chunk.id for chunk in chunks}) == len(chunks)
    assert [chunk.section for chunk in chunks] == [section_path(source.content, chunk.start) for chunk in chunks]
    for chunk in chunks:
        encoded = tokenizer.encode(chunker.embedded_text(chunk)).ids
        assert (len(encoded), len(encoded) <= size.whole) == (chunk.tokens, True)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents())
def test_without_overlap_every_character_is_in_one_chunk(tokenizer: Tokenizer, source: Document) -> None:
    """Between chunks there is white space only, and they never overlap; a text without tokens has none."""
    chunks = list(Chunker(tokenizer, SMALL).chunks(source))
    text = source.content.text
    edges = [0, *(edge for chunk in chunks for edge in (chunk.start, chunk.end)), len(text)]
    between = "".join(text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True))
    assert edges == sorted(edges)
    assert between.strip() == "" if tokenizer.encode(text, add_special_tokens=False).ids else not chunks


def cut(tokenizer: Tokenizer, source: Document, size: ChunkSize = SMALL) -> list[str]:
    """Return the texts of the chunks."""
    return [chunk.text for chunk in Chunker(tokenizer, size).chunks(source)]


def test_a_short_document_is_one_chunk_with_all_its_facts(tokenizer: Tokenizer) -> None:
    """The chunk says where it is from, and its tokens are those of title and text, special tokens included."""
    source = document("A river.\n", title="Water")
    [chunk] = Chunker(tokenizer, SMALL).chunks(source)
    facts = (chunk.document, chunk.title, chunk.section, chunk.start, chunk.end, chunk.text, chunk.tokens)
    assert facts == ("guide.md", "Water", "", 0, 8, "A river.", 6)
    assert (len(chunk.id), len(chunk.digest)) == (32, 64)


@pytest.mark.parametrize("text", ["", " \n\t\n", "\u200b"])
def test_nothing_makes_no_chunk(tokenizer: Tokenizer, text: str) -> None:
    """White space has nothing to embed."""
    assert cut(tokenizer, document(text)) == []


def test_a_heading_begins_its_chunk_and_stays_with_its_text(tokenizer: Tokenizer) -> None:
    """Sections that are large enough are cut before their headings, never behind."""
    sections = [f"## Part {number}\n\n{prose(20, number)}" for number in range(5)]
    assert cut(tokenizer, document("\n\n".join(sections))) == sections


def test_the_section_is_the_path_of_headings_without_the_title(tokenizer: Tokenizer) -> None:
    """A heading ends those of its level and below; the title is not said twice."""
    names = ["# Guide", "## Install", "### Linux", "## Run", "# Other"]
    source = document("\n\n".join(f"{name}\n\n{prose(20)}" for name in names), title="Guide")
    sections = [chunk.section for chunk in Chunker(tokenizer, SMALL).chunks(source)]
    assert sections == ["", "Install", "Install > Linux", "Run", "Other"]


def test_the_heading_path_is_embedded_and_kept_within_its_budget(tokenizer: Tokenizer) -> None:
    """A path that is too long is shortened, not the text."""
    source = document(f"# {prose(60)}\n\n{prose(24, 2)}", title="Guide")
    chunker = Chunker(tokenizer, SMALL)
    chunk = list(chunker.chunks(source))[-1]
    path, _, text = chunker.embedded_text(chunk).partition("\n")
    assert (path[:8], text) == ("Guide > ", chunk.text)
    assert len(tokenizer.encode(path, add_special_tokens=False).ids) == SMALL.path


def test_a_block_that_fits_is_not_cut(tokenizer: Tokenizer) -> None:
    """A code block or table goes whole into the next chunk rather than in halves into two."""
    block = "\n".join(f"| cell {row} | value |" for row in range(4))
    before, after = prose(18) + "\n\n", "\n\n" + prose(28, 2)
    source = document(before + block + after, blocks=((len(before), len(before + block)),))
    assert [text for text in cut(tokenizer, source) if block in text] != []


def test_a_block_that_does_not_fit_is_cut_between_lines(tokenizer: Tokenizer) -> None:
    """Rows stay whole; sentences within them are no boundaries."""
    rows = [f"| Row. {row} | One. Two. |" for row in range(20)]
    block = "\n".join(rows)
    assert "\n".join(cut(tokenizer, document(block, blocks=((0, len(block)),)))).split("\n") == rows


def test_sentences_and_words_stay_whole(tokenizer: Tokenizer) -> None:
    """Text is cut between sentences; where there are none, between words."""
    assert {text[-1] for text in cut(tokenizer, document(prose(297)))} == {"."}
    words = " ".join(["incomprehensibilities", "counterrevolutionaries"] * 60)
    assert " ".join(cut(tokenizer, document(words))) == words


def test_overlap_repeats_whole_sentences(tokenizer: Tokenizer) -> None:
    """Every chunk begins with the end of the one before, at a sentence, and with at most the overlap asked for."""
    source = document(prose(300))
    chunks = list(Chunker(tokenizer, ChunkSize(text=32, overlap=12, whole=64)).chunks(source))
    repeated = [source.content.text[right.start : left.end] for left, right in pairwise(chunks)]
    assert all(text.endswith(".") for text in repeated)
    assert {len(tokenizer.encode(text, add_special_tokens=False).ids) for text in repeated} == {10}


def test_the_same_document_gives_the_same_chunks(tokenizer: Tokenizer) -> None:
    """Chunks are a function of document and size; their ids of the document's id too."""
    source = document(f"# Head\n\n{prose(300)}")
    first, again = (list(Chunker(tokenizer, SMALL).chunks(source)) for _ in range(2))
    moved = list(Chunker(tokenizer, SMALL).chunks(Document("moved.md", "", source.content)))
    assert first == again
    assert [chunk.digest for chunk in first] == [chunk.digest for chunk in moved]
    assert {chunk.id for chunk in first}.isdisjoint(chunk.id for chunk in moved)


def test_repeated_text_has_one_digest_and_several_ids(tokenizer: Tokenizer) -> None:
    """The digest names what is embedded, the id where it is."""
    paragraph = prose(24)
    chunks = list(Chunker(tokenizer, SMALL).chunks(document("\n\n".join([paragraph] * 3))))
    assert (len(chunks), len({c.digest for c in chunks}), len({c.id for c in chunks})) == (3, 1, 3)


@pytest.mark.parametrize(
    "unit", ["x", "a/+b9", "漢字", "word ", "- "], ids=["letter", "base64", "ideographs", "words", "rules"]
)
def test_a_megabyte_in_one_line_is_cut_in_linear_time(tokenizer: Tokenizer, unit: str) -> None:
    """Without a line end or a space there are chunks all the same, none beyond the model, and nothing is lost."""
    text = (unit * 1_000_000)[:1_000_000].strip()
    begun = time.process_time()
    chunker = Chunker(tokenizer, ChunkSize())
    chunks = list(chunker.chunks(document(text)))
    assert time.process_time() - begun < 10
    assert "".join(chunk.text for chunk in chunks).replace(" ", "") == text.replace(" ", "")
    lengths = [len(tokenizer.encode(chunk.text).ids) for chunk in chunks[:50]]
    assert max(lengths) <= ChunkSize().whole


def test_a_tail_of_a_long_word_is_counted_anew(tokenizer: Tokenizer) -> None:
    """A word beyond the tokenizer's limit is one token, its last characters are many: counted, and cut if need be."""
    text = "a/b " * 6 + "z" * 550 + "qxj" * 30
    chunks = list(Chunker(tokenizer, SMALL).chunks(document(text)))
    assert [chunk.tokens for chunk in chunks] == [len(tokenizer.encode(chunk.text).ids) for chunk in chunks]
    assert max(chunk.tokens for chunk in chunks) <= SMALL.whole


@pytest.mark.parametrize(
    ("text", "overlap", "whole", "message"),
    [
        (15, 0, 256, "chunk size: 15 tokens; choose 16 to 248 "),
        (249, 0, 256, "chunk size: 249 tokens; choose 16 to 248 "),
        (200, 101, 256, "chunk overlap: 101 tokens; choose 0 to 100,"),
        (200, -1, 256, "chunk overlap: -1 tokens; choose 0 to 100,"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(text: int, overlap: int, whole: int, message: str) -> None:
    """The message names the sizes that would do."""
    with pytest.raises(SettingError, match=message):
        ChunkSize(text, overlap, whole)
