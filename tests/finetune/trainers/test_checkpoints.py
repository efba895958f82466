"""Checkpoints: only whole ones count, here and in a store."""

from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="trains models: pip install 'ragline[train]'")

from ragline.finetune.trainers.checkpoints import MARK, Checkpoints, seconds_of
from ragline.object_store import ObjectStore


def write(folder: Path, step: int) -> Path:
    """Write the files of a checkpoint, without its mark; return its folder."""
    checkpoint = folder / f"checkpoint-{step}"
    (checkpoint / "1_Pooling").mkdir(parents=True)
    (checkpoint / "weights").write_bytes(b"w" * step)
    (checkpoint / "1_Pooling" / "config.json").write_text("{}")
    return checkpoint


def test_the_newest_whole_one_counts(tmp_path: Path) -> None:
    """By number, not by name; one without a mark or with a shorter file is removed."""
    kept = Checkpoints(tmp_path)
    for step in (9, 10, 11):
        kept.keep(write(tmp_path, step), seconds=step)
    (tmp_path / "checkpoint-11" / "weights").write_bytes(b"cut")
    write(tmp_path, 12)
    last = kept.last_whole()
    assert last == tmp_path / "checkpoint-10"
    assert seconds_of(last) == 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-9"]


def test_none_at_first(tmp_path: Path) -> None:
    """A training begins without one."""
    assert Checkpoints(tmp_path / "new").last_whole() is None
    assert seconds_of(None) == 0


def test_another_machine_goes_on(tmp_path: Path, store: ObjectStore) -> None:
    """The newest whole one comes back from the store; older ones and half-sent ones do not."""
    store.check(write=True)
    here = Checkpoints(tmp_path / "here", store, "key/")
    for step in (5, 10):
        here.keep(write(here.folder, step), seconds=step)
    store.write("key/checkpoint-15/weights", b"half")
    there = Checkpoints(tmp_path / "there", store, "key/")
    last = there.last_whole()
    assert last == there.folder / "checkpoint-10"
    assert (last / "weights").read_bytes() == b"w" * 10
    assert (last / "1_Pooling" / "config.json").read_text() == "{}"
    assert not store.exists(f"key/checkpoint-5/{MARK}")
    there.remove()
    assert list(store.list("key/")) == []
