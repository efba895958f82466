"""Releases: an index that never changes, and one pointer that says which is current.

    indexes/<name>/releases/<release>/manifest.json    written last: without it there is no release
    indexes/<name>/releases/<release>/...              the files that the manifest lists
    indexes/<name>/current.json                        the pointer, moved after everything else

A release is named by the digest of what it was made from, so publishing the same index twice is one release.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from ragline import __version__, digests
from ragline.errors import DamagedReleaseError, NewerFormatError, NoReleaseError, ObjectNotFoundError, SettingError
from ragline.object_store import ObjectStore
from ragline.tables import read_rows

FORMAT = 1
"""Schema version of manifests and pointers; a newer one is refused."""

INDEX_VERSION = 1
"""Part of a release's name: raised when the same chunks would give another index or another calibration."""

DOCUMENTS, CHUNKS, VECTORS, LEXICAL = "documents.parquet", "chunks.arrow", "chroma", "lexical"
"""What a release holds: the documents without their text, the chunks, the two indexes."""

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a release is made from and consists of.

    Attributes:
        release: its name: the first 16 characters of `digests["index"]`.
        digests: of `corpus`, `chunks`, `model` and `index` (sha256, hex).
        embedder: the embedder's name as given; `digests["model"]` identifies it.
        counts: `documents`, `chunks`, `dimensions`.
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
    """Which release is current, since when, and by which run."""

    release: str
    digest: str
    since: str
    run: str
    format: int = field(default=FORMAT)

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Self:
        """Read a pointer; errors as `Manifest.from_json`."""
        return cls(**_checked(data, where, {f.name for f in fields(cls)}))


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
            raise NoReleaseError(
                f"index {self.name!r} in {self.store.uri}: no release {release!r}; `ragline releases` lists them"
            ) from exc

    def releases(self) -> Iterator[Manifest]:
        """Yield the manifests of all releases, oldest first."""
        keys = [info.key for info in self.store.list(f"{self._prefix}releases/") if info.key.endswith("/manifest.json")]
        manifests = [Manifest.from_json(self.store.read(key), self._where(key)) for key in keys]
        yield from sorted(manifests, key=lambda manifest: manifest.created)

    def documents(self, manifest: Manifest) -> dict[str, str]:
        """Return the digest of each document of a release, by document id."""
        with tempfile.TemporaryDirectory(prefix="ragline-") as folder:
            path = Path(folder) / DOCUMENTS
            self._fetch_file(manifest, DOCUMENTS, manifest.files[DOCUMENTS], path)
            return {row["id"]: row["digest"] for row in read_rows(path)}

    def has(self, release: str) -> bool:
        """Tell whether a release is there, whole."""
        return self.store.exists(f"{self._release(release)}manifest.json")

    def add(self, manifest: Manifest, folder: Path) -> None:
        """Store a release: its files from `folder`, then the manifest."""
        for path in manifest.files:
            self.store.upload(self._release(manifest.release) + path, folder / path)
        self.store.write(f"{self._release(manifest.release)}manifest.json", manifest.to_json())

    def point(self, manifest: Manifest, run: str) -> None:
        """Make a release current."""
        pointer = Pointer(manifest.release, manifest.digests["index"], now(), run)
        self.store.write(f"{self._prefix}current.json", _json(asdict(pointer)))

    def write_run(self, run: str, files: Mapping[str, bytes]) -> None:
        """Keep what a run has to say (its summary and report) beside the releases."""
        for name, data in files.items():
            self.store.write(f"{self._prefix}runs/{run}/{name}", data)

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
            for path, facts in manifest.files.items():
                self._fetch_file(manifest, path, facts, folder / path)
            _move_into_place(folder, target)
        return target

    def _fetch_file(self, manifest: Manifest, path: str, facts: Mapping[str, Any], target: Path) -> None:
        key = self._release(manifest.release) + path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.store.download(key, target)
        except ObjectNotFoundError as exc:
            raise DamagedReleaseError(f"{self._where(key)} is missing; publish the index again") from exc
        if digests.of_file(target) != facts["sha256"]:
            raise DamagedReleaseError(f"{self._where(key)} is not what its manifest says; publish the index again")

    def _release(self, release: str) -> str:
        return f"{self._prefix}releases/{check_name(release)}/"

    def _where(self, key: str) -> str:
        return f"{self.store.uri.rstrip('/')}/{key}"


def check_name(name: str) -> str:
    """Return the name of an index or a release.

    Raises:
        SettingError: it is empty, too long, or has characters that are not for keys.
    """
    if not 1 <= len(name) <= 100 or not set(name) <= _NAME_CHARACTERS or not name[0].isalnum():
        raise SettingError(f"name {name!r}: use 1 to 100 letters, digits, '.', '_' or '-', a letter or digit first")
    return name


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return path, size and sha256 of every file below `folder`, as a manifest lists them."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock"))
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": digests.of_file(path)}
        for path in paths
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
        raise DamagedReleaseError(f"{where} is not a manifest or pointer of ragline; publish the index again") from exc
    if version > FORMAT:
        raise NewerFormatError(
            f"{where} has format {version}, written by ragline {value.get('version', 'newer than this one')}; "
            f"this is ragline {__version__}, which reads up to {FORMAT}: upgrade ragline"
        )
    if missing := known - value.keys() - {"format"}:
        raise DamagedReleaseError(f"{where} lacks {', '.join(sorted(missing))}; publish the index again")
    return {key: value[key] for key in known}
