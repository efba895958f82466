"""Fusing two rankings, and searching a release with both."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragline.retrieval import fuse

_SCORES = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-1, 1), min_size=1, max_size=20)


def test_scores_are_the_mean_of_both_z_scores() -> None:
    """A row that leads both rankings leads; one without a common word counts 0 among the words."""
    assert fuse({"1": 0.9, "2": 0.5, "3": 0.1}, {"1": 8.0, "3": 4.0}) == pytest.approx(
        {"1": 1.2247449, "2": -0.6123724, "3": -0.6123724}, abs=1e-6
    )


@pytest.mark.parametrize("lexical", [{}, {"1": 3.0, "2": 3.0}], ids=["no word", "all alike"])
def test_a_ranking_that_says_nothing_changes_nothing(lexical: dict[str, float]) -> None:
    """Where all rows have the same score, the other ranking decides alone."""
    assert fuse({"1": 0.2, "2": 0.4}, lexical) == pytest.approx({"1": -0.5, "2": 0.5})
    assert fuse(dict.fromkeys("abc", 0.1), {}) == dict.fromkeys("abc", 0.0)


def test_one_candidate_and_none_are_no_special_case() -> None:
    """A single row scores 0, for there is nothing to compare it with."""
    assert fuse({"7": 0.3}, {"7": 2.0}) == {"7": 0.0}
    assert fuse({}, {}) == {}


@given(_SCORES, _SCORES)
def test_fusion_ranks_every_candidate_and_respects_both_orders(
    similarities: dict[str, float], lexical: dict[str, float]
) -> None:
    """A row that is better in both rankings is never worse in their fusion; words of no candidate are ignored."""
    fused = fuse(similarities, lexical)
    assert list(fused) == list(similarities)
    for left in fused:
        for right in fused:
            if similarities[left] >= similarities[right] and lexical.get(left, 0) >= lexical.get(right, 0):
                assert fused[left] >= fused[right] - 1e-9
