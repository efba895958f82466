"""How a snapshot differs from a release."""

from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from ragline.reindex.changes import Changes, compare

_DOCUMENTS = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from("1234"))


def test_every_kind_of_change_is_told() -> None:
    """A document whose bytes stood elsewhere was moved, not removed and added."""
    before = {"same": "1", "edited": "2", "old name": "3", "gone": "4"}
    after = {"same": "1", "edited": "5", "new name": "3", "new": "6"}
    changes = compare(before, after)
    assert changes == Changes(("new",), ("edited",), (("old name", "new name"),), ("gone",), 1)
    assert changes.counts() == {"added": 1, "changed": 1, "moved": 1, "removed": 1, "unchanged": 1}
    assert changes.before == 4
    assert Changes.of(asdict(changes)) == changes


def test_a_copy_is_no_move() -> None:
    """The original is still there; of two copies under one id that is gone, one was moved."""
    assert compare({"a": "1"}, {"a": "1", "b": "1"}) == Changes(added=("b",), unchanged=1)
    assert compare({"a": "1"}, {"b": "1", "c": "1"}) == Changes(added=("c",), moved=(("a", "b"),))


@given(_DOCUMENTS, _DOCUMENTS)
def test_every_document_is_of_one_kind(before: dict[str, str], after: dict[str, str]) -> None:
    """Nothing is counted twice or left out, on either side."""
    changes = compare(before, after)
    arrived = [new for _, new in changes.moved]
    left = [old for old, _ in changes.moved]
    assert changes.before == len(before)
    assert len(changes.added) + len(changes.changed) + len(arrived) + changes.unchanged == len(after)
    assert {*changes.added, *arrived} == after.keys() - before.keys()
    assert {*changes.removed, *left} == before.keys() - after.keys()
    assert all(before[old] == after[new] for old, new in changes.moved)
