"""How the documents of a snapshot differ from those of a release."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Changes:
    """How documents differ, by document id.

    Attributes:
        moved: pairs of old and new id of documents whose bytes are the same.
    """

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    moved: tuple[tuple[str, str], ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: int = 0

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """Read what JSON holds."""
        return cls(
            added=tuple(value["added"]),
            changed=tuple(value["changed"]),
            moved=tuple((old, new) for old, new in value["moved"]),
            removed=tuple(value["removed"]),
            unchanged=value["unchanged"],
        )

    @property
    def before(self) -> int:
        """Number of documents before."""
        return len(self.changed) + len(self.moved) + len(self.removed) + self.unchanged

    def counts(self) -> dict[str, int]:
        """Return how many documents are of each kind."""
        return {
            "added": len(self.added),
            "changed": len(self.changed),
            "moved": len(self.moved),
            "removed": len(self.removed),
            "unchanged": self.unchanged,
        }


def compare(before: Mapping[str, str], after: Mapping[str, str]) -> Changes:
    """Return how documents changed, given id to digest before and after.

    A new id whose bytes stood under an id that is gone was moved; of several equal ones, each old id
    is taken once, in order.
    """
    gone = [key for key in before if key not in after]
    new = [key for key in after if key not in before]
    by_digest = _by_digest(gone, before)
    moved = tuple((by_digest[after[key]].pop(0), key) for key in new if by_digest.get(after[key]))
    left, arrived = {old for old, _ in moved}, {key for _, key in moved}
    changed = tuple(key for key in after if key in before and after[key] != before[key])
    return Changes(
        added=tuple(key for key in new if key not in arrived),
        changed=changed,
        moved=moved,
        removed=tuple(key for key in gone if key not in left),
        unchanged=len(after) - len(new) - len(changed),
    )


def _by_digest(keys: Iterable[str], digests: Mapping[str, str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        groups[digests[key]].append(key)
    return groups
