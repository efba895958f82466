"""Checkpoints of a training: only whole ones count, and they may be kept in an object store.

A checkpoint is a folder `checkpoint-STEP` that the trainer writes file by file. `whole.json`, written last and
at once, says that nothing is missing: names and sizes of all files. A folder without it, or that does not agree
with it, is what a killed training left behind, and is removed.
"""

import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from ragline.object_store import ObjectStore

MARK = "whole.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of one training.

    Attributes:
        folder: where the trainer writes them; of this training alone.
        store: where copies are kept, for a training that goes on in another pod; None: nowhere.
        prefix: key of the copies in the store, ending in "/".
    """

    folder: Path
    store: ObjectStore | None = None
    prefix: str = ""

    def last_whole(self) -> Path | None:
        """Return the newest whole checkpoint, fetched from the store when the folder has none.

        Left-overs of a killed training are removed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        found = self._last_here()
        if found is None and self.store is not None:
            self._fetch(self.store)
            found = self._last_here()
        return found

    def keep(self, checkpoint: Path, *, seconds: float) -> None:
        """Mark a written checkpoint as whole, and copy it to the store.

        Args:
            checkpoint: its folder.
            seconds: how long the training has worked so far, earlier attempts included.
        """
        files = {str(path.relative_to(checkpoint)): path.stat().st_size for path in _files(checkpoint)}
        written = checkpoint / f".{MARK}"
        written.write_text(json.dumps({"seconds": round(seconds, 3), "files": files}), encoding="utf-8")
        written.replace(checkpoint / MARK)
        if self.store is not None:
            self._copy(self.store, checkpoint, [*files, MARK])

    def remove(self) -> None:
        """Remove all of them: the training has ended."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.store is not None:
            self._delete(self.store, [info.key for info in self.store.list(self.prefix)])

    def _last_here(self) -> Path | None:
        whole = []
        for path in self.folder.glob("checkpoint-*"):
            if _is_whole(path):
                whole.append(path)
            else:
                _log.warning("checkpoint %s is not whole and is removed", path.name)
                shutil.rmtree(path)
        return max(whole, key=step_of, default=None)

    def _copy(self, store: ObjectStore, checkpoint: Path, names: list[str]) -> None:
        older = [info.key for info in store.list(self.prefix)]
        for name in names:  # the mark comes last
            store.upload(f"{self.prefix}{checkpoint.name}/{name}", checkpoint / name)
        self._delete(store, [key for key in older if not key.startswith(f"{self.prefix}{checkpoint.name}/")])

    def _delete(self, store: ObjectStore, keys: list[str]) -> None:
        for key in sorted(keys, key=lambda key: not key.endswith(f"/{MARK}")):  # the mark goes first
            store.delete(key)

    def _fetch(self, store: ObjectStore) -> None:
        keys = [info.key for info in store.list(self.prefix)]
        marks = [key for key in keys if key.endswith(f"/{MARK}")]
        if not marks:
            return
        newest = max((mark.removesuffix(MARK) for mark in marks), key=lambda key: step_of(Path(key)))
        for key in keys:
            if key.startswith(newest):
                path = self.folder / key.removeprefix(self.prefix)
                path.parent.mkdir(parents=True, exist_ok=True)
                store.download(key, path)


def step_of(checkpoint: Path) -> int:
    """Return the step after which a checkpoint was written."""
    return int(checkpoint.name.rpartition("-")[2])


def seconds_of(checkpoint: Path | None) -> float:
    """Return how long the training had worked when the checkpoint was written; 0 without one."""
    return float(json.loads((checkpoint / MARK).read_text(encoding="utf-8"))["seconds"]) if checkpoint else 0.0


def _is_whole(checkpoint: Path) -> bool:
    try:
        files = json.loads((checkpoint / MARK).read_text(encoding="utf-8"))["files"]
        return all((checkpoint / name).stat().st_size == size for name, size in files.items())
    except (OSError, ValueError, KeyError):
        return False


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in {MARK, f".{MARK}"})
