"""Releases in an object store: manifests, the pointer, verified copies."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ragline import __version__
from ragline.documents import Document, Loaded
from ragline.errors import DamagedReleaseError, NewerFormatError, NoReleaseError, SettingError, StoreError
from ragline.object_store import open_store
from ragline.release import DOCUMENTS, FORMAT, Index, Manifest, Pointer, check_name, describe_files
from ragline.tables import DocumentWriter

INDEX_DIGEST = "3f7a0c9d2b1e4f58" + "0" * 48


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The files of a release, one in a folder below."""
    folder = tmp_path / "files"
    (folder / "chroma").mkdir(parents=True)
    (folder / "chroma" / "data.bin").write_bytes(b"vectors")
    with DocumentWriter(folder / DOCUMENTS) as writer:
        writer.write(Document("a.md", "digest of a", Loaded("")))
    return folder


@pytest.fixture
def manifest(files: Path) -> Manifest:
    """What the files are."""
    return Manifest(
        release=INDEX_DIGEST[:16],
        digests={"corpus": "c", "chunks": "k", "model": "m", "index": INDEX_DIGEST},
        embedder="all-MiniLM-L6-v2",
        counts={"documents": 1, "chunks": 2, "dimensions": 384},
        chunking={"size": 200, "overlap": 0},
        documents_uri="s3://köln/文档",
        calibration={"threshold": 0.25},
        checks={"recall": 1.0},
        files=describe_files(files),
        created="2026-01-02T03:04:05.678+00:00",
    )


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """An index of which nothing is published."""
    store = open_store(str(tmp_path / "store"))
    store.check(write=True)
    return Index(store, "docs")


def manifest_key(manifest: Manifest) -> str:
    """Return where the manifest is stored."""
    return f"indexes/docs/releases/{manifest.release}/manifest.json"


def test_a_manifest_survives_json(manifest: Manifest) -> None:
    """It is readable JSON, and reads back equal."""
    assert Manifest.from_json(manifest.to_json(), "here") == manifest
    assert "s3://köln/文档" in manifest.to_json().decode()


def test_fields_of_a_later_version_are_ignored(manifest: Manifest) -> None:
    """The format number says whether it can be read, not the fields."""
    data = json.loads(manifest.to_json()) | {"later": 1}
    assert Manifest.from_json(json.dumps(data).encode(), "here") == manifest


@pytest.mark.parametrize("kind", [Manifest, Pointer])
def test_a_newer_format_is_refused(kind: type[Manifest | Pointer], manifest: Manifest) -> None:
    """The message names both versions and the way out."""
    data = json.loads(manifest.to_json()) | {"format": FORMAT + 1, "version": "9.1"}
    message = rf"^here has format {FORMAT + 1}, written by ragline 9\.1; this is ragline {__version__}, .*: upgrade"
    with pytest.raises(NewerFormatError, match=message):
        kind.from_json(json.dumps(data).encode(), "here")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"{}", b'{"format": "x"}', b'{"format": null}', b"\xff"])
def test_what_is_no_manifest_is_damaged(data: bytes) -> None:
    """Not JSON, not an object, no format."""
    with pytest.raises(DamagedReleaseError, match=r"^here is not a manifest or pointer of ragline; index"):
        Manifest.from_json(data, "here")


def test_a_manifest_that_lacks_fields_is_damaged(manifest: Manifest) -> None:
    """The message names them."""
    data = {key: value for key, value in json.loads(manifest.to_json()).items() if key not in {"files", "checks"}}
    with pytest.raises(
        DamagedReleaseError, match=r"^here lacks checks, files; index the documents again with --rebuild"
    ):
        Manifest.from_json(json.dumps(data).encode(), "here")


def test_before_the_first_release_there_is_none(index: Index) -> None:
    """The message says how to make one."""
    with pytest.raises(
        NoReleaseError, match=r"nothing has been published; run: ragline index DOCS --store .* --name docs"
    ):
        index.current()
    assert (list(index.releases()), index.has("3f7a0c9d2b1e4f58")) == ([], False)
    with pytest.raises(NoReleaseError, match="no release '3f7a0c9d2b1e4f58'; `ragline releases` lists them"):
        index.manifest("3f7a0c9d2b1e4f58")


def test_a_release_is_current_once_the_pointer_moved(index: Index, manifest: Manifest, files: Path) -> None:
    """Adding a release does not make it current; pointing does, and says since when and by which run."""
    index.add(manifest, files)
    with pytest.raises(NoReleaseError):
        index.pointer()
    index.point(manifest, "run-1")
    pointer = index.pointer()
    assert pointer == Pointer(manifest.release, INDEX_DIGEST, pointer.since, "run-1")
    assert (index.current(), index.has(manifest.release)) == (manifest, True)


def test_releases_are_listed_oldest_first(index: Index, manifest: Manifest, files: Path) -> None:
    """Whatever their names."""
    newer = replace(manifest, release="0" * 16, created="2026-02-01T00:00:00.000+00:00")
    for release in (newer, manifest):
        index.add(release, files)
    assert list(index.releases()) == [manifest, newer]


def test_indexes_do_not_see_each_other(index: Index, manifest: Manifest, files: Path) -> None:
    """Each name has its releases and its pointer."""
    index.add(manifest, files)
    assert list(Index(index.store, "doc").releases()) == []


def test_a_fetched_release_is_an_equal_copy(index: Index, manifest: Manifest, files: Path, tmp_path: Path) -> None:
    """All files are there, and nothing else is left in the cache."""
    index.add(manifest, files)
    folder = index.fetch(manifest, tmp_path / "cache")
    assert describe_files(folder) == describe_files(files)
    assert [path.name for path in folder.parent.iterdir()] == [INDEX_DIGEST]


def test_a_second_fetch_takes_the_cached_copy(index: Index, manifest: Manifest, files: Path, tmp_path: Path) -> None:
    """The store is not asked again."""
    index.add(manifest, files)
    folder = index.fetch(manifest, tmp_path / "cache")
    for info in list(index.store.list()):
        index.store.delete(info.key)
    assert index.fetch(manifest, tmp_path / "cache") == folder


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_file_is_found_when_it_is_fetched(
    index: Index, manifest: Manifest, files: Path, tmp_path: Path, damage: str
) -> None:
    """The message names the file, and nothing is left in the cache."""
    index.add(manifest, files)
    key = f"indexes/docs/releases/{manifest.release}/chroma/data.bin"
    if damage == "changed":
        index.store.write(key, b"vectorz")
    else:
        index.store.delete(key)
    with pytest.raises(DamagedReleaseError, match=r"/chroma/data\.bin is .*; index the documents again with --rebuild"):
        index.fetch(manifest, tmp_path / "cache")
    assert list((tmp_path / "cache" / "releases").iterdir()) == []


@pytest.mark.parametrize("path", ["../../out", "/out", "a/../../../out", ""])
def test_a_manifest_cannot_write_outside_its_folder(
    index: Index, manifest: Manifest, files: Path, tmp_path: Path, path: str
) -> None:
    """A manifest is input: a path that leaves the release is no key of a store."""
    index.add(manifest, files)
    evil = replace(manifest, files={path: {"bytes": 0, "sha256": ""}})
    with pytest.raises(StoreError, match="is not a key"):
        index.fetch(evil, tmp_path / "cache")


def test_the_documents_of_a_release_are_known_without_a_fetch(index: Index, manifest: Manifest, files: Path) -> None:
    """Their ids and digests are what the next run compares with."""
    index.add(manifest, files)
    assert index.documents(manifest) == {"a.md": "digest of a"}


def test_what_a_run_says_is_kept_beside_the_releases(index: Index) -> None:
    """One folder for each run."""
    index.write_run("run-1", {"summary.json": b"{}", "report.html": b"<p>"})
    assert [info.key for info in index.store.list()] == [
        "indexes/docs/runs/run-1/report.html",
        "indexes/docs/runs/run-1/summary.json",
    ]


@pytest.mark.parametrize("name", ["docs", "a", "A-1_b.c", "9", "x" * 100])
def test_names_are_letters_digits_and_three_marks(name: str) -> None:
    """They are parts of keys, of URLs and of file names."""
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "-a", "_a", "a/b", "a b", "ä", "a\n", "x" * 101])
def test_other_names_are_refused(name: str) -> None:
    """The message says what is allowed."""
    with pytest.raises(SettingError, match="use 1 to 100 letters, digits"):
        check_name(name)
