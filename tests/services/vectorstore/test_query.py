"""What an instance may say."""

import pytest

from ragline.errors import InputError
from ragline.services.vectorstore.query import Query


def test_what_is_left_out_has_a_default() -> None:
    """A field that is null is left out; white space around a question is nothing."""
    assert Query.of({"input": " What? "}) == Query("What?", 4, None, "hybrid", False)
    nothing = {"input": "What?", "num_docs": None, "filter": None, "mode": None, "quotes": None}
    assert Query.of(nothing) == Query("What?")
    everything = {"input": "What?", "num_docs": 50, "filter": {"source": "a.md"}, "mode": "dense", "quotes": True}
    assert Query.of(everything) == Query("What?", 50, {"source": "a.md"}, "dense", True)


def test_half_a_surrogate_pair_is_refused() -> None:
    """It could not be sent to the embedder, and would take its whole batch along."""
    with pytest.raises(InputError, match="half a surrogate pair at character 1"):
        Query.of({"input": "a\ud800"})


def test_queries_of_one_group_can_be_searched_for_at_once() -> None:
    """The order of a filter's keys does not matter; 1, 1.0 and true are three filters."""
    one, same = ({"input": "a", "filter": {"$and": [{"a": 1}, {"b": 2}]}} for _ in range(2))
    assert Query.of(one).group == Query.of(same).group
    groups = {Query.of({"input": "a", "filter": {"a": value}}).group for value in (1, 1.0, True)}
    assert len(groups) == 3


def test_a_deep_filter_is_counted_without_recursion() -> None:
    """However deep it is, the message is one line."""
    where: dict[str, object] = {"a": 1}
    for _ in range(3000):
        where = {"$and": [where, {"a": 1}]}
    with pytest.raises(InputError, match="filter: 6001 conditions with 3001 values; at most 200 with 5000 are taken"):
        Query.of({"input": "a", "filter": where})
