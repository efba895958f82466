"""Vectors in the object store, under the digest of their text."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragline import digests
from ragline.errors import IntegrityError, SettingError
from ragline.object_store import ObjectStore, open_store
from ragline.vectors import Shard, Vectors


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    """An empty store in a folder."""
    store = open_store(str(tmp_path / "store"))
    store.check(write=True)
    return store


def keys_of(count: int) -> list[str]:
    """Return some digests."""
    return [digests.of_text(str(number)) for number in range(count)]


def rows_of(keys: list[str], width: int = 3) -> np.ndarray:
    """Return a vector for each key that only depends on the key."""
    values = [[int(key[at : at + 4], 16) for at in range(0, 4 * width, 4)] for key in keys]
    return np.array(values, dtype=np.float32).reshape(len(keys), width)


def read(vectors: Vectors, keys: list[str]) -> np.ndarray:
    """Return the vectors of keys."""
    out = np.full((len(keys), 3), np.nan, dtype=np.float32)
    vectors.read(keys, out)
    return out


def test_vectors_come_back_in_the_order_asked_for(store: ObjectStore) -> None:
    """Written in one order, read in another, some twice."""
    keys = keys_of(20)
    vectors = Vectors(store, "model")
    vectors.write(Shard(), keys[:12], rows_of(keys[:12]))
    vectors.write(Shard(), keys[12:], rows_of(keys[12:]))
    asked = [*reversed(keys), keys[3], keys[3]]
    assert read(vectors, asked).tolist() == rows_of(asked).tolist()
    assert vectors.known(Shard()) == set(keys)


def test_the_same_part_twice_is_one(store: ObjectStore) -> None:
    """A run that is repeated writes over its own part."""
    keys = keys_of(3)
    vectors = Vectors(store, "model")
    for _ in range(2):
        vectors.write(Shard(), keys, rows_of(keys))
    assert len(list(store.list())) == 2
    assert read(vectors, keys).tolist() == rows_of(keys).tolist()


def test_a_key_in_two_parts_is_read_once(store: ObjectStore) -> None:
    """Two runs at a time may both embed a text."""
    keys = keys_of(4)
    vectors = Vectors(store, "model")
    vectors.write(Shard(), keys[:3], rows_of(keys[:3]))
    vectors.write(Shard(), keys[1:], rows_of(keys[1:]))
    assert read(vectors, keys).tolist() == rows_of(keys).tolist()


def test_a_missing_vector_is_an_error(store: ObjectStore) -> None:
    """It says how many, where, and what to do."""
    keys = keys_of(3)
    vectors = Vectors(store, "model")
    vectors.write(Shard(), keys[:1], rows_of(keys[:1]))
    with pytest.raises(IntegrityError, match=r"2 of 3 chunks have no vector under .*/vectors/model/; run the embed"):
        read(vectors, keys)


def test_a_part_without_its_keys_does_not_exist(store: ObjectStore) -> None:
    """The keys are written last: a run that was killed before leaves nothing that is believed."""
    keys = keys_of(2)
    vectors = Vectors(store, "model")
    vectors.write(Shard(), keys, rows_of(keys))
    [written] = [info.key for info in store.list() if info.key.endswith(".keys")]
    store.delete(written)
    assert vectors.known(Shard()) == set()
    with pytest.raises(IntegrityError, match="2 of 2 chunks"):
        read(vectors, keys)


def test_models_do_not_share_vectors(store: ObjectStore) -> None:
    """A vector belongs to the model that made it."""
    keys = keys_of(2)
    Vectors(store, "one").write(Shard(), keys, rows_of(keys))
    assert Vectors(store, "two").known(Shard()) == set()


def test_a_shard_knows_its_own_keys_only(store: ObjectStore) -> None:
    """Whatever part they are in."""
    keys = keys_of(40)
    vectors = Vectors(store, "model")
    vectors.write(Shard(), keys, rows_of(keys))
    assert vectors.known(Shard(0, 0x7F)) == {key for key in keys if key < "8"}


def test_nothing_asked_for_is_nothing_read(store: ObjectStore) -> None:
    """An empty index has no vectors."""
    assert read(Vectors(store, "model"), []).shape == (0, 3)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 256])
def test_shards_cover_every_digest_once(count: int) -> None:
    """Every first byte belongs to exactly one shard, and names are read back."""
    shards = Shard.split(count)
    holding = [[shard for shard in shards if shard.holds(f"{byte:02x}")] for byte in range(256)]
    assert ({len(found) for found in holding}, len(shards)) == ({1}, count)
    assert [Shard.parse(str(shard)) for shard in shards] == shards


@pytest.mark.parametrize("name", ["", "00", "00-", "zz-ff", "7f"])
def test_what_is_no_shard_is_refused(name: str) -> None:
    """The message shows the form."""
    with pytest.raises(SettingError, match="expected two hexadecimal bytes, as in 00-7f"):
        Shard.parse(name)


def test_shards_overlap_where_they_share_a_byte() -> None:
    """Parts of other runs may be cut elsewhere."""
    pairs = [(Shard(0, 9), Shard(9, 20)), (Shard(0, 9), Shard(10, 20)), (Shard(), Shard(5, 5))]
    assert [(left.overlaps(right), right.overlaps(left)) for left, right in pairs] == [
        (True,) * 2,
        (False,) * 2,
        (True,) * 2,
    ]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=15, unique=True), min_size=1, max_size=4),
    shards=st.integers(1, 5),
    data=st.data(),
)
def test_any_parts_give_every_vector(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[int]], shards: int, data: st.DataObject
) -> None:
    """However runs and shards divided the work, reading gives each key its vector."""
    store = open_store(str(tmp_path_factory.mktemp("store")))
    vectors = Vectors(store, "model")
    for numbers in parts:
        keys = [digests.of_text(str(number)) for number in numbers]
        for shard in Shard.split(shards):
            if mine := [key for key in keys if shard.holds(key)]:
                vectors.write(shard, mine, rows_of(mine))
    written = sorted({number for numbers in parts for number in numbers})
    asked = [digests.of_text(str(number)) for number in data.draw(st.lists(st.sampled_from(written), max_size=20))]
    assert read(vectors, asked).tolist() == rows_of(asked).tolist()
    assert set().union(*(vectors.known(shard) for shard in Shard.split(shards))) == {
        digests.of_text(str(number)) for number in written
    }
