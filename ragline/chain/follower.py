"""Follows the pointer of an index: the model of a new release is loaded into the embedder before anyone asks for it."""

import logging
import threading
from dataclasses import dataclass

from ragline.chain.board import Board
from ragline.chain.embedder import EmbedderService
from ragline.errors import RaglineError, StoreError
from ragline.release import Index

_log = logging.getLogger(__name__)

INTERVAL, LONGEST_INTERVAL = 1.0, 30.0
"""Seconds between two looks; after a failure each time twice as many."""


@dataclass(eq=False)
class Follower(threading.Thread):
    """The thread that watches the pointer.

    Attributes:
        index: to follow.
        embedder: to prepare.
        board: where to say so.
        stopping: ends the thread.
        release: for which the embedder is prepared.
    """

    index: Index
    embedder: EmbedderService
    board: Board
    stopping: threading.Event
    release: str

    def __post_init__(self) -> None:
        super().__init__(name="follow", daemon=True)

    def run(self) -> None:
        """Follow until `stopping` is set."""
        failures = 0
        while not self.stopping.wait(min(INTERVAL * 2.0 ** min(failures, 10), LONGEST_INTERVAL)):
            try:
                self._look()
                failures = 0
            except StoreError as exc:
                failures += 1
                _log.warning("the index cannot be followed: %s", exc)
            except RaglineError as exc:
                failures += 1
                _log.warning("the embedder of the current release cannot be loaded: %s", exc)
            except Exception:  # noqa: BLE001  the edge: without this thread no new model would be loaded
                failures += 1
                _log.exception("the index cannot be followed")

    def _look(self) -> None:
        release = self.index.pointer().release
        if release == self.release:
            return
        prepared = self.embedder.prepare(release)
        self.embedder.load(prepared)
        self.release = release
        _log.info("release %s: embedder version %d, %s", release, prepared.version, prepared.made)
        self.board.set(release=release)
