"""A release that cannot be served: not tried again at once, for each try may fetch all of it."""

import time
from dataclasses import dataclass
from typing import Self

from ragline.errors import ReleaseError
from ragline.release import Index, Manifest, Pointer

FIRST_WAIT = 60.0
LONGEST_WAIT = 900.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was tried in vain, why, and when to try again.

    Attributes:
        pointer: that named the release.
        manifest: of the release; None if it could not be read.
        reason: for a person.
        wait: seconds until the next try.
        until: the time of the next try, on the monotonic clock.
    """

    pointer: Pointer
    manifest: Manifest | None
    reason: str
    wait: float
    until: float

    @classmethod
    def after(cls, before: Self | None, pointer: Pointer, index: Index, reason: str) -> Self:
        """Return the refusal that follows another of the same release, or the first one.

        Raises:
            StoreError: the store cannot be reached any more.
        """
        manifest = _manifest(index, pointer.release)
        is_same = before is not None and (before.pointer, before.manifest) == (pointer, manifest)
        wait = min(2 * before.wait, LONGEST_WAIT) if before is not None and is_same else FIRST_WAIT
        return cls(pointer, manifest, reason, wait, time.monotonic() + wait)

    @property
    def release(self) -> str:
        """The name of the release."""
        return self.pointer.release

    def holds(self, pointer: Pointer, index: Index) -> bool:
        """Tell whether it is still in vain: the pointer stands, the release was not made anew, it is not time yet.

        Raises:
            StoreError: the store cannot be reached.
        """
        if pointer != self.pointer or time.monotonic() >= self.until:
            return False
        return _manifest(index, pointer.release) == self.manifest


def _manifest(index: Index, release: str) -> Manifest | None:
    try:
        return index.manifest(release)
    except ReleaseError:
        return None
