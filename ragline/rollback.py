"""Take back a release: move the pointer to an earlier one that is proven to be there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ragline.embedding.model import find_model
from ragline.errors import ConflictError, DamagedReleaseError, ModelError, NoReleaseError
from ragline.inventory import absences, stored_sizes
from ragline.object_store import ObjectStore
from ragline.registry.registered_folder import is_at_hand
from ragline.registry.registered_model import is_reference
from ragline.release import Index, Manifest, Pointer

RUN = "rollback"
"""What the pointer names as its run when no run moved it."""


@dataclass(frozen=True, slots=True)
class Move:
    """A moved pointer.

    Attributes:
        before: the release that was live.
        after: the release that is live now; the same if it was live already.
        warning: why questions to it may fail here, "" if nothing speaks against it.
    """

    before: str
    after: str
    warning: str = ""


def roll_back(index: Index, release: str = "", *, scratch: Path | None = None) -> Move:
    """Make an earlier release current.

    Args:
        index: of the release.
        release: its name; "" means the one that was live before the current one, so that repeating walks back.
        scratch: where to download the release first, to compare all checksums; None compares names and sizes only.

    Raises:
        NoReleaseError: there is no such release, or nothing to go back to.
        DamagedReleaseError: a file of it is missing or damaged; the pointer was not moved.
        ConflictError: someone else moved the pointer, or collected the release, meanwhile.
    """
    planned, pointer = index.pointer_digest(), index.pointer()
    release = release or _release_before(index, pointer)
    if release == pointer.release:
        return Move(release, release)
    manifest = index.manifest(release)
    _check(index, manifest, pointer.release, scratch)
    index.point(manifest, RUN, planned=planned, before=_before(pointer, release))
    if not index.has(release):  # collected since it was checked: `gc` and we each look after we write
        index.point(index.manifest(pointer.release), RUN, before=pointer.before)
        raise ConflictError(f"release {release} was collected meanwhile; {pointer.release} stays current")
    return Move(pointer.release, release, embedder_problem(manifest, index.store))


def _release_before(index: Index, pointer: Pointer) -> str:
    earlier = (release for release in pointer.before if release != pointer.release)
    if found := next(filter(index.has, earlier), ""):
        return found
    raise NoReleaseError(
        f"index {index.name!r} in {index.store.uri}: no release was live before {pointer.release}, or it was "
        "collected; `ragline releases` lists what is there, and `ragline rollback RELEASE` goes to any of them"
    )


def _before(pointer: Pointer, release: str) -> Sequence[str] | None:
    """Return what to go back to from a release: what was live before it, or, if it was not, what is live now."""
    before = list(pointer.before)
    return before[before.index(release) + 1 :] if release in before else None


def _check(index: Index, manifest: Manifest, current: str, scratch: Path | None) -> None:
    if scratch:
        # Opening indexes imports Chroma, which takes longer than to move a pointer.
        from ragline.verification import verify_release

        problems = list(verify_release(index, manifest.release, scratch).problems)
    else:
        problems = list(absences(manifest, stored_sizes(index, manifest.release)))
    if problems:
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        raise DamagedReleaseError(
            f"release {manifest.release}: {problems[0]}{more}; {current} stays current. "
            f"See: ragline verify {manifest.release}"
        )


def embedder_problem(manifest: Manifest, store: ObjectStore) -> str:
    """Return why questions to a release cannot be embedded on this machine, "" if they can; downloads nothing."""
    name = manifest.embedder
    if is_reference(name):
        return "" if is_at_hand(manifest, store) else f"embedder {name!r} is not in the store; only the registry has it"
    if _is_on_hub_only(name):
        return f"embedder {name!r} is not on this machine; it will be downloaded when a question needs it"
    try:
        digest = find_model(name).digest
    except ModelError as exc:
        return str(exc)
    return "" if digest == manifest.digests["model"] else f"embedder {name!r} is another model here, with other vectors"


def _is_on_hub_only(name: str) -> bool:
    if name.count("/") != 1 or name.startswith((".", "/", "~")) or Path(name).exists():
        return False
    from huggingface_hub import try_to_load_from_cache

    return not isinstance(try_to_load_from_cache(name, "config.json"), str)
