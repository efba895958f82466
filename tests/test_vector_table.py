"""The vectors of a release by row: rounded little, searched exactly, and the same answers without them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragline import vector_table
from ragline.release import VECTOR_TABLE
from ragline.retrieval import Mode, Passage, Retriever
from ragline.vector_table import VectorTable, write_vector_table
from tests.small_releases import make_release

WORDS = "apple brick cedar drum eagle flint grape hazel".split()


def unit_vectors(count: int, dimensions: int = 24) -> np.ndarray:
    """Return random directions."""
    vectors = np.random.default_rng(3).normal(size=(count, dimensions)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_rounding_moves_a_cosine_by_a_hundred_thousandth(tmp_path: Path) -> None:
    """Rows come back in order, as float32, and their cosines are those of the vectors that were written."""
    vectors = unit_vectors(20_000, 384)
    write_vector_table(vectors, tmp_path / "table")
    table = VectorTable.read(tmp_path / "table")
    rows = table.of_rows([7, 19_999, 0])
    assert (len(table), rows.dtype, rows.shape) == (20_000, np.dtype(np.float32), (3, 384))
    assert np.abs(rows @ vectors[1] - vectors[[7, 19_999, 0]] @ vectors[1]).max() < 2e-5
    assert (table.of_rows([]) @ vectors[1]).shape == (0,)


@pytest.mark.parametrize("count", [1, 5, 300])
def test_a_small_table_gives_exactly_the_nearest(tmp_path: Path, count: int) -> None:
    """However many are asked for: at most all of them."""
    vectors, questions = unit_vectors(count), unit_vectors(70)
    write_vector_table(vectors, tmp_path / "table")
    found = list(VectorTable.read(tmp_path / "table").nearest(questions, 10))
    assert len(found) == len(questions)
    for question, (rows, scores) in zip(questions, found, strict=True):
        exact = vectors @ question
        assert np.allclose(scores, exact, atol=1e-3)
        assert sorted(scores[rows])[::-1] == pytest.approx(sorted(scores)[::-1][:10])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of eight chunks, each with a word of its own and a direction of its own."""
    folder = tmp_path_factory.mktemp("table") / "release"
    make_release(folder, "a", {f"{word}.md": f"the {word} of {word}s" for word in WORDS}, created="2020")
    return folder


def _search(folder: Path, mode: Mode) -> list[list[Passage]]:
    questions = ["eagle", "the grape", "nothing"]
    with Retriever(folder) as retriever:
        return retriever.search_all(questions, unit_vectors(3, 8), 4, mode=mode)


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_a_large_table_and_none_give_the_same_passages(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    """Chroma's graph takes the place of exact search, and a release of an earlier version has no table."""
    expected = _search(folder, mode)
    monkeypatch.setattr(vector_table, "EXACT_BYTES", 0)
    assert _comparable(_search(folder, mode)) == _comparable(expected)
    kept = tmp_path / "table"
    (folder / VECTOR_TABLE).rename(kept)
    try:
        assert _comparable(_search(folder, mode)) == _comparable(expected)
    finally:
        kept.rename(folder / VECTOR_TABLE)


def _comparable(found: list[list[Passage]]) -> list[list[tuple[str, float, float]]]:
    return [[(each.source, round(each.score, 3), round(each.similarity, 3)) for each in some] for some in found]


@given(st.lists(st.integers(-40, 40), min_size=1, max_size=3000), st.integers(1, 300))
def test_the_highest_are_found_whatever_a_sample_tells(values: list[int], count: int) -> None:
    """Also with many equal scores."""
    scores, count = np.array(values, np.float32), min(count, len(values))
    found = vector_table._highest(scores, count)
    assert len(set(found.tolist())) == count
    assert np.sort(scores[found]).tolist() == np.sort(scores)[-count:].tolist()
