"""Prove that a release in the store is whole: its files, their checksums, what they count."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from chromadb.errors import ChromaError

from ragline import digests
from ragline.chunk_table import ChunkTable
from ragline.errors import DamagedReleaseError, NewerFormatError, NoReleaseError, ObjectNotFoundError, RaglineError
from ragline.inventory import MANIFEST, Problem, absences, stored_sizes
from ragline.lexical import LexicalIndex
from ragline.release import CHUNKS, DOCUMENTS, LEXICAL, VECTORS, Index, Manifest
from ragline.tables import count_rows
from ragline.vector_store import VectorStore

_UNREADABLE = (RaglineError, ChromaError, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found.

    Attributes:
        release: its name.
        files: how many the manifest lists.
        bytes: their size by the manifest.
        problems: none if the release is whole.
        unlisted: objects beside the files, which no reader ever asks for; a warning.
    """

    release: str
    files: int
    bytes: int
    problems: tuple[Problem, ...]
    unlisted: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify_release(index: Index, release: str, scratch: Path) -> Verification:
    """Download a release file by file and compare everything that its manifest says; memory stays flat.

    Args:
        index: of the release.
        release: its name.
        scratch: folder for a copy of the release, which is removed again; made if it is missing.

    Raises:
        NoReleaseError: there is no such release.
    """
    try:
        manifest = index.manifest(release)
    except (DamagedReleaseError, NewerFormatError) as exc:
        return Verification(release, 0, 0, (Problem(MANIFEST, f"cannot be used: {exc}"),))
    sizes = stored_sizes(index, release)
    problems = [*_names(index, release, manifest), *absences(manifest, sizes)]
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="verify-", dir=scratch) as folder:
        problems += _checksums(index, manifest, {problem.file for problem in problems}, Path(folder))
        problems += _counts(manifest, {problem.file for problem in problems}, Path(folder))
    return Verification(
        release=release,
        files=len(manifest.files),
        bytes=sum(facts["bytes"] for facts in manifest.files.values()),
        problems=tuple(sorted(problems, key=lambda problem: problem.file)),
        unlisted=tuple(sorted(sizes.keys() - manifest.files.keys())),
    )


def _names(index: Index, release: str, manifest: Manifest) -> Iterator[Problem]:
    digest = manifest.digests["index"]
    if not manifest.release == release == digest[: len(release)]:
        yield Problem(MANIFEST, f"names release {manifest.release!r} with digest {digest!r}, not {release!r}")
    try:
        pointer = index.pointer()
    except NoReleaseError:
        return
    if pointer.release == release and pointer.digest != digest:
        yield Problem("current.json", f"points to digest {pointer.digest!r}, the manifest has {digest!r}")


def _checksums(index: Index, manifest: Manifest, known: Iterable[str], folder: Path) -> Iterator[Problem]:
    for path in manifest.files.keys() - set(known):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            index.store.download(index.prefix_of(manifest.release) + path, target)
        except ObjectNotFoundError:
            yield Problem(path, "is missing")
            continue
        if (found := digests.of_file(target)) != (expected := manifest.files[path]["sha256"]):
            yield Problem(path, f"has sha256 {found}, {expected} in the manifest")


def _counts(manifest: Manifest, damaged: Iterable[str], folder: Path) -> Iterator[Problem]:
    """Open every part whose files are as they should be, and compare how much it holds."""
    for part, (kind, count) in _PARTS.items():
        if not any(_belongs(path, part) for path in manifest.files):
            yield Problem(part, "is not in the manifest")
        elif not any(_belongs(path, part) for path in damaged):
            try:
                found = count(folder / part)
            except _UNREADABLE as exc:
                yield Problem(part, f"cannot be opened: {exc}")
                continue
            if found != manifest.counts[kind]:
                yield Problem(part, f"holds {found} {kind}, {manifest.counts[kind]} in the manifest")


def _belongs(path: str, part: str) -> bool:
    return path == part or path.startswith(f"{part}/")


def _chunks(path: Path) -> int:
    with ChunkTable(path) as chunks:
        return len(chunks)


def _vectors(folder: Path) -> int:
    with VectorStore(folder) as vectors:
        return len(vectors)


def _entries(folder: Path) -> int:
    return len(LexicalIndex(folder))


_PARTS: Mapping[str, tuple[str, Callable[[Path], int]]] = {
    DOCUMENTS: ("documents", count_rows),
    CHUNKS: ("chunks", _chunks),
    VECTORS: ("chunks", _vectors),
    LEXICAL: ("chunks", _entries),
}
