"""Fusing two rankings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragline.retrieval import fuse

_SCORES = st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 1)), min_size=1, max_size=20)


def test_scores_are_the_mean_of_both_z_scores() -> None:
    """A row that leads both rankings leads; one without a common word counts 0 among the words."""
    fused = fuse(np.array([0.9, 0.5, 0.1]), np.array([8.0, 4.0, 0.0]))
    assert fused.tolist() == pytest.approx([1.2247449, 0.0, -1.2247449], abs=1e-6)


@pytest.mark.parametrize("words", [[0.0, 0.0], [3.0, 3.0]], ids=["no word", "all alike"])
def test_a_ranking_that_says_nothing_changes_nothing(words: list[float]) -> None:
    """Where all rows have the same score, the other ranking decides alone."""
    assert fuse(np.array([0.2, 0.4]), np.array(words)).tolist() == pytest.approx([-0.5, 0.5])
    assert fuse(np.full(3, 0.1), np.zeros(3)).tolist() == [0.0, 0.0, 0.0]


def test_one_candidate_and_none_are_no_special_case() -> None:
    """A single row scores 0, for there is nothing to compare it with."""
    assert fuse(np.array([0.3]), np.array([2.0])).tolist() == [0.0]
    assert fuse(np.empty(0), np.empty(0)).tolist() == []


@given(_SCORES)
def test_fusion_respects_both_orders(scores: list[tuple[float, float]]) -> None:
    """A row that is better in both rankings is never worse in their fusion."""
    similarities, words = np.array(scores).T
    fused = fuse(similarities, words)
    for left in range(len(scores)):
        for right in range(len(scores)):
            if similarities[left] >= similarities[right] and words[left] >= words[right]:
                assert fused[left] >= fused[right] - 1e-9
