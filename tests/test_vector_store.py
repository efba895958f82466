"""The vector index of a release."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ragline.errors import DamagedReleaseError, InputError
from ragline.vector_store import BATCH, Difference, VectorStore, build_vector_store, unlike, update_vector_store

IDS = [f"id{number}" for number in range(6)]
VECTORS = np.array([[np.cos(angle), np.sin(angle)] for angle in np.arange(6) / 4], dtype=np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of six directions, the odd ones in German."""
    folder = tmp_path_factory.mktemp("chroma")
    metadata = iter([{"language": "de" if number % 2 else "en", "year": 2020 + number} for number in range(6)])
    assert list(build_vector_store(folder, IDS, VECTORS, metadata)) == [6]
    return folder


@pytest.fixture
def vectors(folder: Path) -> Iterator[VectorStore]:
    """The opened index."""
    with VectorStore(folder) as vectors:
        yield vectors


def test_the_nearest_rows_come_first_with_their_cosine(vectors: VectorStore) -> None:
    """By the ids they were given."""
    found = vectors.search(VECTORS[1], 3)
    assert found == pytest.approx({"id1": 1.0, "id0": np.cos(0.25), "id2": np.cos(0.25)}, abs=1e-6)
    assert next(iter(found)) == "id1"
    assert len(vectors) == 6


def test_more_than_there_is_gives_all(vectors: VectorStore) -> None:
    """The limit is no demand."""
    assert list(vectors.search(VECTORS[0], 100)) == IDS


def test_a_filter_leaves_out_what_does_not_fit(vectors: VectorStore) -> None:
    """By equality, comparison and their combination; nothing fits is no error."""
    where = {"$and": [{"language": "de"}, {"year": {"$gt": 2021}}]}
    assert list(vectors.search(VECTORS[0], 10, where)) == ["id3", "id5"]
    assert vectors.ids(where) == {"id3", "id5"}
    assert (vectors.search(VECTORS[0], 10, {"language": "fr"}), vectors.ids({"unknown": 1})) == ({}, set())


@pytest.mark.parametrize(
    "where",
    [{"$near": 1}, {"a": 1, "b": 2}, {"year": {"$foo": 1}}, {"year": None}, {"$and": []}, {"year": [1]}, {1: 2}],
)
def test_a_malformed_filter_is_the_callers_mistake(vectors: VectorStore, where: dict[str, object]) -> None:
    """The message repeats the filter and names the page that explains it."""
    with pytest.raises(InputError, match=r"^filter \{.*\}: .*; see docs/cli.md"):
        vectors.search(VECTORS[0], 3, where)
    with pytest.raises(InputError, match=r"^filter \{.*\}: .*; see docs/cli.md"):
        vectors.ids(where)


def test_stored_vectors_are_those_that_were_given(vectors: VectorStore) -> None:
    """An id without a vector is left out."""
    stored = vectors.stored(["id4", "nobody", "id0"])
    assert set(stored) == {"id0", "id4"}
    assert np.allclose([stored["id0"], stored["id4"]], VECTORS[[0, 4]], atol=1e-6)


def test_a_folder_that_is_no_index_is_a_damaged_release(tmp_path: Path) -> None:
    """The message says what to do."""
    with pytest.raises(DamagedReleaseError, match=r"holds no vector index .*; index the documents again"):
        VectorStore(tmp_path)


def test_no_rows_make_an_empty_index(tmp_path: Path) -> None:
    """It finds nothing."""
    assert list(build_vector_store(tmp_path, [], np.empty((0, 2), dtype=np.float32), iter([]))) == []
    with VectorStore(tmp_path) as vectors:
        assert (len(vectors), vectors.search(VECTORS[0], 3)) == (0, {})


def test_large_indexes_are_written_in_batches(tmp_path: Path) -> None:
    """Each batch reports how far it is."""
    angles = np.linspace(0, np.pi, BATCH + 5)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    ids = [str(number) for number in range(len(angles))]
    assert list(build_vector_store(tmp_path, ids, vectors, iter([{"source": "a"}] * len(ids)))) == [BATCH, BATCH + 5]
    with VectorStore(tmp_path) as store:
        assert next(iter(store.search(vectors[-1], 1))) == str(BATCH + 4)


def test_a_changed_copy_is_the_index_of_what_is_there_now(tmp_path: Path) -> None:
    """Removed ids are gone, added ones found, and metadata replaced, not merged."""
    folder = tmp_path / "chroma"
    metadata: list[dict[str, str | int]] = [{"language": "de", "year": number} for number in range(6)]
    list(build_vector_store(folder, IDS, VECTORS, iter(metadata)))
    update_vector_store(
        folder,
        Difference(
            removed=["id0", "id1"],
            added=["new"],
            vectors=-VECTORS[:1],
            metadata=[{"language": "fr"}],
            changed={"id2": (metadata[2], {"language": "en"})},
        ),
    )
    with VectorStore(folder) as vectors:
        assert list(vectors.search(VECTORS[2], 10)) == ["id2", "id3", "id4", "id5", "new"]
        assert np.array_equal(vectors.stored(["new"])["new"], -VECTORS[0])
        assert vectors.ids({"language": "en"}) == {"id2"}
        assert vectors.ids({"year": {"$gte": 0}}) == {"id3", "id4", "id5"}
        assert vectors.ids({"language": "fr"}) == {"new"}


def test_missing_and_other_vectors_are_told(vectors: VectorStore) -> None:
    """Whatever the order; a vector that is as it should be is not named."""
    wanted = np.array([VECTORS[3], VECTORS[0], VECTORS[1], VECTORS[2]])
    assert unlike(vectors, ["id3", "nobody", "id5", "id2"], wanted) == ["nobody", "id5"]
    assert unlike(vectors, IDS, VECTORS) == []
