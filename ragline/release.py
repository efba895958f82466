"""Releases: an index that never changes, and one pointer that says which is current.

    indexes/<name>/releases/<release>/manifest.json    written last: without it there is no release
    indexes/<name>/releases/<release>/...              the files that the manifest lists
    indexes/<name>/current.json                        the pointer, moved after everything else

A release is named by the digest of what it was made from, so publishing the same index twice is one release.
"""

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from ragline import __version__, digests
from ragline.errors import (
    ConflictError,
    DamagedReleaseError,
    InputError,
    NewerFormatError,
    NoReleaseError,
    ObjectNotFoundError,
    SettingError,
)
from ragline.object_store import ObjectStore
from ragline.tables import read_rows
from ragline.transfers import side_by_side

FORMAT = 1
"""Schema version of manifests and pointers; a newer one is refused."""

INDEX_VERSION = 3
"""Part of a release's name: raised when the same chunks would give another index or another calibration."""

DOCUMENTS, CHUNKS, VECTORS, LEXICAL = "documents.parquet", "chunks.arrow", "chroma", "lexical"
"""What a release holds: the documents without their text, the chunks, the two indexes."""

VECTOR_TABLE = "vectors.f16.npy"
"""The vectors in row order, rounded, for ranking; a release made before there was one is read without it."""

EXACT = "vectors.npy"
"""The vectors in row order, which checks need beside an index; not published."""

ADDED = "added.npy"
"""The rows that a vector index which was changed from another got anew, which checks look at; not published."""

_REMEMBERED = 20
"""How many releases a pointer names as those before it."""

_LATER = {"format", "before"}
"""Fields that need not be there: those that came after the first version have a default."""

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a release is made from and consists of.

    Attributes:
        release: its name: the first 16 characters of `digests["index"]`.
        digests: of `corpus`, `chunker`, `chunks`, `model` and `index` (sha256, hex).
        embedder: the embedder's name as given, of a registered model its version (models:/NAME/3); `digests["model"]`
            identifies it.
        counts: `documents`, `chunks`, `dimensions`, and `deleted`: vectors that were deleted from the vector
            index since it was last built from nothing, and still take room in it.
        chunking: `size` and `overlap`, in tokens.
        documents_uri: where the documents came from.
        calibration: what tells an answer from nothing relevant (`ragline.calibration`).
        checks: what the gates measured.
        files: path below the release to size in bytes and sha256.
        created: ISO 8601, UTC.
        version: the ragline that made it.
    """

    release: str
    digests: Mapping[str, str]
    embedder: str
    counts: Mapping[str, int]
    chunking: Mapping[str, int]
    documents_uri: str
    calibration: Mapping[str, float]
    checks: Mapping[str, float]
    files: Mapping[str, Mapping[str, Any]]
    created: str
    version: str = __version__
    format: int = FORMAT

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Self:
        """Read a manifest.

        Raises:
            NewerFormatError: written by a newer ragline.
            DamagedReleaseError: not a manifest.
        """
        return cls(**_checked(data, where, {f.name for f in fields(cls)}))

    def to_json(self) -> bytes:
        """Return the manifest as readable JSON."""
        return _json(asdict(self))


@dataclass(frozen=True, slots=True)
class Pointer:
    """Which release is current, since when, and by which run.

    Attributes:
        before: the releases that were current before this one, the last one first.
    """

    release: str
    digest: str
    since: str
    run: str
    before: Sequence[str] = ()
    format: int = field(default=FORMAT)

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Self:
        """Read a pointer; errors as `Manifest.from_json`."""
        value = _checked(data, where, {f.name for f in fields(cls)})
        return cls(**{**value, "before": tuple(value.get("before", ()))})


class Index:
    """The releases of one index in an object store.

    Example:
        >>> Index(open_store(".ragline"), "default").current().release  # doctest: +SKIP
        '3f7a0c9d2b1e4f58'
    """

    def __init__(self, store: ObjectStore, name: str) -> None:
        self.store = store
        self.name = check_name(name)
        self._prefix = f"indexes/{name}/"

    def pointer(self) -> Pointer:
        """Return the pointer.

        Raises:
            NoReleaseError: nothing has been published.
        """
        key = f"{self._prefix}current.json"
        try:
            return Pointer.from_json(self.store.read(key), self._where(key))
        except ObjectNotFoundError as exc:
            raise NoReleaseError(
                f"index {self.name!r} in {self.store.uri}: nothing has been published; "
                f"run: ragline index DOCS --store {self.store.uri} --name {self.name}"
            ) from exc

    def current(self) -> Manifest:
        """Return the manifest of the current release."""
        return self.manifest(self.pointer().release)

    def manifest(self, release: str) -> Manifest:
        """Return the manifest of a release.

        Raises:
            NoReleaseError: there is no such release.
        """
        key = f"{self._release(release)}manifest.json"
        try:
            return Manifest.from_json(self.store.read(key), self._where(key))
        except ObjectNotFoundError as exc:
            raise self._no_release(release) from exc

    def releases(self) -> Iterator[Manifest]:
        """Yield the manifests of all releases, oldest first."""
        keys = [info.key for info in self.store.list(f"{self._prefix}releases/") if info.key.endswith("/manifest.json")]
        manifests = [Manifest.from_json(self.store.read(key), self._where(key)) for key in keys]
        yield from sorted(manifests, key=lambda manifest: manifest.created)

    def documents(self, manifest: Manifest) -> dict[str, str]:
        """Return the digest of each document of a release, by document id."""
        with self.file(manifest, DOCUMENTS) as path:
            return {row["id"]: row["digest"] for row in read_rows(path, ["id", "digest"])}

    @contextmanager
    def file(self, manifest: Manifest, path: str) -> Iterator[Path]:
        """Give a local, verified copy of one file of a release; errors as `fetch`."""
        with tempfile.TemporaryDirectory(prefix="ragline-") as folder:
            target = Path(folder) / path
            self._fetch_file(manifest, path, target)
            yield target

    def has(self, release: str) -> bool:
        """Tell whether a release is there, whole."""
        return self.store.exists(f"{self._release(release)}manifest.json")

    def add(self, manifest: Manifest, folder: Path) -> None:
        """Store a release: its files from `folder`, then the manifest."""
        prefix = self._release(manifest.release)
        side_by_side(lambda path: self.store.upload(prefix + path, folder / path), manifest.files)
        self.store.write(f"{self._release(manifest.release)}manifest.json", manifest.to_json())

    def pointer_digest(self) -> str:
        """Return what identifies the pointer as it is now, for `point`; "" if nothing has been published."""
        return digests.of_bytes(data) if (data := self._read_pointer()[0]) else ""

    def point(
        self, manifest: Manifest, run: str, *, planned: str | None = None, before: Sequence[str] | None = None
    ) -> None:
        """Make a release current; nothing is written if it is already, and a damaged pointer is replaced.

        Args:
            manifest: of the release, which is stored whole.
            run: that makes it current.
            planned: the `pointer_digest` that this was decided upon; None for the one that is there now.
            before: the releases to go back to, the last one first; None for the current one and those before it.

        Raises:
            ConflictError: someone else has moved the pointer since; theirs stands.
        """
        data, tag = self._read_pointer()
        current = self._parsed(data)
        if current and current.release == manifest.release:
            return
        if planned is not None and planned != (digests.of_bytes(data) if data else ""):
            raise self._overtaken(current)
        if before is None:
            before = (current.release, *current.before)[:_REMEMBERED] if current else ()
        pointer = Pointer(manifest.release, manifest.digests["index"], now(), run, before)
        try:
            self.store.write_if(f"{self._prefix}current.json", _json(asdict(pointer)), tag)
        except ConflictError as exc:
            current = self._parsed(self._read_pointer()[0])
            if not current or current.release != manifest.release:
                raise self._overtaken(current) from exc

    def _read_pointer(self) -> tuple[bytes, str | None]:
        try:
            return self.store.read_tagged(f"{self._prefix}current.json")
        except ObjectNotFoundError:
            return b"", None

    def _parsed(self, data: bytes) -> Pointer | None:
        try:
            return Pointer.from_json(data, self._where(f"{self._prefix}current.json")) if data else None
        except DamagedReleaseError:
            return None

    def _overtaken(self, current: Pointer | None) -> ConflictError:
        live = f"release {current.release}, published by {current.run}, is live" if current else "there is none"
        return ConflictError(
            f"the current release of index {self.name!r} in {self.store.uri} changed meanwhile: {live}, and stays so; "
            "start the run again"
        )

    def write_run(self, run: str, files: Mapping[str, bytes]) -> None:
        """Keep what a run has to say (its summary and report) beside the releases."""
        for name, data in files.items():
            self.store.write(f"{self._prefix}runs/{run}/{name}", data)

    def last_run(self) -> dict[str, Any]:
        """Return the summary of the run that published the current release; empty if there is none."""
        try:
            data = self.store.read(f"{self._prefix}runs/{self.pointer().run}/summary.json")
        except (NoReleaseError, ObjectNotFoundError):
            return {}
        summary: dict[str, Any] = json.loads(data)
        return summary

    def fetch(self, manifest: Manifest, cache: Path) -> Path:
        """Return a local, verified copy of a release, made once and shared by all who run here.

        Raises:
            DamagedReleaseError: a file is missing or not what the manifest says.
        """
        target = cache / "releases" / manifest.digests["index"]
        if target.is_dir():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetch-") as scratch:
            folder = Path(scratch) / "release"
            self.bring(manifest, manifest.files, folder)
            _move_into_place(folder, target)
        return target

    def bring(self, manifest: Manifest, paths: Iterable[str], folder: Path) -> None:
        """Store verified copies of some files of a release below `folder`; errors as `fetch`."""
        side_by_side(lambda path: self._fetch_file(manifest, path, folder / path), paths)

    def _fetch_file(self, manifest: Manifest, path: str, target: Path) -> None:
        key = self._release(manifest.release) + path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.store.download(key, target)
        except ObjectNotFoundError as exc:
            raise DamagedReleaseError(
                f"{self._where(key)} is missing; index the documents again with --rebuild"
            ) from exc
        if digests.of_file(target) != manifest.files[path]["sha256"]:
            raise DamagedReleaseError(
                f"{self._where(key)} is not what its manifest says; index the documents again with --rebuild"
            )

    def _release(self, release: str) -> str:
        return f"{self._prefix}releases/{check_name(release)}/"

    def _where(self, key: str) -> str:
        return f"{self.store.uri.rstrip('/')}/{key}"

    def _no_release(self, release: str) -> NoReleaseError:
        where = f"index {self.name!r} in {self.store.uri}"
        return NoReleaseError(f"{where}: no release {release!r}; `ragline releases` lists them")

    def prefix_of(self, release: str) -> str:
        """Return what the keys of a release begin with."""
        return self._release(release)

    def names(self) -> list[str]:
        """Return the names of all releases, sorted; their manifests are not read."""
        prefix, end = f"{self._prefix}releases/", "/manifest.json"
        keys = [info.key.removeprefix(prefix) for info in self.store.list(prefix)]
        return [key.removesuffix(end) for key in keys if key.count("/") == 1 and key.endswith(end)]

    def find(self, reference: str) -> str:
        """Return the name of the release that a person means: "current", its name, or how it alone begins.

        Raises:
            NoReleaseError: there is none, or nothing has been published.
            InputError: the names of several releases begin so.
        """
        if reference == "current":
            return self.pointer().release
        names = self.names()
        found = [reference] if reference in names else [name for name in names if name.startswith(reference)]
        if len(found) > 1:
            raise InputError(f"release {reference!r}: {', '.join(found)} begin so; give more of the name")
        if not found:
            raise self._no_release(reference)
        return found[0]


def check_name(name: str) -> str:
    """Return the name of an index or a release.

    Raises:
        SettingError: it is empty, too long, or has characters that are not for keys.
    """
    if not 1 <= len(name) <= 100 or not set(name) <= _NAME_CHARACTERS or not name[0].isalnum():
        raise SettingError(f"name {name!r}: use 1 to 100 letters, digits, '.', '_' or '-', a letter or digit first")
    return name


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return path, size and sha256 of every file below `folder` that is published, as a manifest lists them."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        name: {"bytes": path.stat().st_size, "sha256": digests.of_file(path)}
        for name, path in files.items()
        if name not in (EXACT, ADDED) and not name.endswith(".lock")
    }


def now() -> str:
    """Return the time as manifests write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _move_into_place(folder: Path, target: Path) -> None:
    try:
        folder.rename(target)
    except OSError:
        if not target.is_dir():  # else another process was first, with the same bytes
            raise
        shutil.rmtree(folder)


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _checked(data: bytes, where: str, known: set[str]) -> dict[str, Any]:
    try:
        value = json.loads(data)
        version = int(value["format"])
    except (ValueError, KeyError, TypeError) as exc:
        raise DamagedReleaseError(
            f"{where} is not a manifest or pointer of ragline; index the documents again with --rebuild"
        ) from exc
    if version > FORMAT:
        raise NewerFormatError(
            f"{where} has format {version}, written by ragline {value.get('version', 'newer than this one')}; "
            f"this is ragline {__version__}, which reads up to {FORMAT}: upgrade ragline"
        )
    if missing := known - value.keys() - _LATER:
        raise DamagedReleaseError(
            f"{where} lacks {', '.join(sorted(missing))}; index the documents again with --rebuild"
        )
    return {key: value[key] for key in known & value.keys()}
