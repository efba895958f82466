"""Batches without false negatives."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from ragline.finetune.examples.pair import Pair
from ragline.finetune.trainers.batches import batches, keys_of

KEYS = st.lists(st.frozensets(st.sampled_from("abcdefgh"), min_size=1, max_size=3), min_size=2, max_size=40)


@given(KEYS, st.integers(2, 6), st.integers(1, 20), st.integers(0, 3))
def test_rows_of_a_batch_share_nothing(keys: list[frozenset[str]], size: int, count: int, seed: int) -> None:
    """Each batch has rows that share no key; their number is as asked, and the seed decides them."""
    made = batches(keys, size, count, seed=seed)
    assert len(made) == count
    assert made == batches(keys, size, count, seed=seed)
    for batch in made:
        assert 1 <= len(batch) <= size
        assert all(keys[one].isdisjoint(keys[other]) for one, other in combinations(batch, 2))


def test_every_row_once_a_pass() -> None:
    """Without conflicts a pass takes each row once, and the next pass has another order."""
    keys = [frozenset({str(row)}) for row in range(12)]
    made = batches(keys, 4, 6, seed=0)
    first, second = ([row for batch in half for row in batch] for half in (made[:3], made[3:]))
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second


def test_keys_are_texts_and_the_chunk() -> None:
    """Two crops of one chunk do not come together; a user's pairs have no chunk."""
    pair = Pair("q", "p", "chunk", "document", "title", "train")
    assert keys_of(pair, ("q", "p", "n")) == {"q", "p", "n", "\0chunk"}
    assert keys_of(Pair("q", "p", "", "", "user", "train"), ("q", "p")) == {"q", "p"}
