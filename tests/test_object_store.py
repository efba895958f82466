"""Object stores: one behaviour on a folder and on a real S3 server; what is special to folders; URIs."""

import os
import random
import socket
import subprocess
import sys
import tracemalloc
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ragline.errors import (
    ObjectNotFoundError,
    SettingError,
    StoreError,
)
from ragline.object_store import ObjectStore, ObjectUnreadableError, open_documents, open_store, s3
from ragline.object_store.objects import temporary_name

ODD_KEYS = [
    *(" leading space.md", "trailing space .md", "tab\tname.md", "new\nline.md", "carriage\rreturn.md", "bell\x07.md"),
    *(
        "hash#percent%20and?question.md",
        "%2e%2e%2fescape.md",
        "..md",
        "...",
        "plus+and&=,;:@$!*'().md",
        "a",
        "~tilde.md",
    ),
    *('quote\'s & "double" <tag>.md', "semi;colon$dollar`tick|pipe.md", "日本語の名前.md", "emoji-🚀.md", "\uffe5.md"),
    *(unicodedata.normalize("NFC", "übersicht.md"), unicodedata.normalize("NFD", "übersicht.md")),
    *("x" * 200 + ".md", "/".join(["deep"] * 50) + "/file.md", "-dash.md", ".hidden", "UPPER.MD", "no_extension"),
]


def _keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [info.key for info in store.list(prefix)]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


# ---- the same on a folder and on S3


def test_what_is_written_can_be_read(store: ObjectStore) -> None:
    """Bytes come back unchanged, also when there are none, and after being replaced."""
    store.write("a/b.bin", b"first\r\n\x00\xff")
    store.write("a/empty", b"")
    assert (store.read("a/b.bin"), store.read("a/empty")) == (b"first\r\n\x00\xff", b"")
    before = {info.key: info.etag for info in store.list()}
    store.write("a/b.bin", b"second")
    after = {info.key: info.etag for info in store.list()}
    assert store.read("a/b.bin") == b"second"
    assert [key for key in before if before[key] != after[key]] == ["a/b.bin"]


def test_files_are_copied_both_ways(store: ObjectStore, tmp_path: Path) -> None:
    """An upload of several parts and its download give the same bytes; the download replaces what was there."""
    data = random.Random(1).randbytes((16 << 20) + 12345)
    source, target = tmp_path / "source", tmp_path / "new folder" / "target"
    source.write_bytes(data)
    target.parent.mkdir()
    target.write_bytes(b"old")
    store.upload("big", source)
    store.download("big", target)
    assert target.read_bytes() == data
    assert [(info.key, info.size) for info in store.list()] == [("big", len(data))]
    assert _names(target.parent) == ["target"]


def test_missing_object(store: ObjectStore, tmp_path: Path) -> None:
    """Reading it is an error that names the key, deleting it is none; a failed download leaves the file."""
    (tmp_path / "file").write_bytes(b"kept")
    store.write("folder/object", b"")
    for key in ("no such", "folder", "folder/object/below", "folder/objec"):
        with pytest.raises(ObjectNotFoundError, match=key):
            store.read(key)
        with pytest.raises(ObjectNotFoundError, match=key):
            store.download(key, tmp_path / "file")
        assert not store.exists(key)
        store.delete(key)
    assert (tmp_path / "file").read_bytes() == b"kept"
    assert _keys(store) == ["folder/object"]


def test_deleted_object_is_gone(store: ObjectStore) -> None:
    """It is neither listed nor found any more; its neighbours are."""
    store.write("a/1", b"")
    store.write("a/2", b"")
    assert store.exists("a/1")
    store.delete("a/1")
    assert (store.exists("a/1"), store.exists("a/2"), _keys(store)) == (False, True, ["a/2"])


def test_listing_is_in_the_order_of_key_bytes(store: ObjectStore) -> None:
    """Also where folders and files interleave: "a-b" comes before "a/b", and that before "a0"."""
    keys = ["a/b", "a-b", "a b", "a.md", "a0", "A", "z/é", "z!", "z/1/2", "z/1-", "\uffe5", "🚀", "é"]
    for key in random.Random(1).sample(keys, len(keys)):
        store.write(key, key.encode())
    assert list(store.list()) == sorted(store.list(), key=lambda info: info.key.encode())
    assert _keys(store) == sorted(keys, key=str.encode)
    assert [info.size for info in store.list("a")] == [3, 3, 4, 3, 2]


def test_prefix_is_a_plain_string(store: ObjectStore) -> None:
    """It may end within a name, and selects nothing else."""
    for key in ("docs/a.md", "docs/b/c.md", "docs-old/a.md", "doc", "other/docs/a.md"):
        store.write(key, b"")
    assert _keys(store, "docs") == ["docs-old/a.md", "docs/a.md", "docs/b/c.md"]
    assert _keys(store, "docs/") == ["docs/a.md", "docs/b/c.md"]
    assert _keys(store, "docs/b") == ["docs/b/c.md"]
    assert _keys(store, "docs/b/c.md") == ["docs/b/c.md"]
    assert _keys(store, "nothing") == []


def test_odd_keys(store: ObjectStore) -> None:
    """White space, quotes, escapes, control characters and both Unicode forms are kept apart and unchanged."""
    for key in ODD_KEYS:
        store.write(key, key.encode())
    assert _keys(store) == sorted(ODD_KEYS, key=str.encode)
    assert [key for key in ODD_KEYS if store.read(key) != key.encode()] == []
    for key in ODD_KEYS:
        store.delete(key)
    assert _keys(store) == []


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a/.", "nul\0", temporary_name()])
def test_refused_keys(store: ObjectStore, key: str) -> None:
    """What would mean one thing in a folder and another in S3 is no key."""
    with pytest.raises(StoreError, match="is not a key"):
        store.write(key, b"data")
    with pytest.raises(StoreError, match="is not a key"):
        store.delete(key)


def test_many_objects_from_many_threads(store: ObjectStore) -> None:
    """More objects than fit on a page of an S3 listing, written and read by threads that share the store."""
    keys = sorted(f"{number % 7}/{number}" for number in range(1050))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.write(key, key.encode()), keys))
        assert list(pool.map(store.read, keys[::50])) == [key.encode() for key in keys[::50]]
    assert _keys(store) == keys


def test_large_files_take_little_memory(store: ObjectStore, tmp_path: Path) -> None:
    """Copying 80 MB either way holds no more than a few parts."""
    with (tmp_path / "source").open("wb") as file:
        file.truncate(80 << 20)
    tracemalloc.start()
    try:
        store.upload("big", tmp_path / "source")
        store.download("big", tmp_path / "target")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "target").stat().st_size == 80 << 20
    assert peak < 3 * s3.PART_BYTES


def test_check_leaves_nothing_behind(store: ObjectStore) -> None:
    """The proof that writing works is not seen afterwards."""
    store.check()
    store.check(write=True)
    assert _keys(store) == []


def test_single_document(store: ObjectStore) -> None:
    """The URI of one file or object gives its parent's store, in which only this one is listed."""
    for key in ("a.md", "a.md.old", "b/a.md", "b/c.md"):
        store.write(key, key.encode())
    one = open_documents(f"{store.uri}/a.md")
    assert (_keys(one), one.read("a.md"), _keys(one, "b")) == (["a.md"], b"a.md", [])
    assert one.uri == f"{store.uri}/a.md"
    assert _keys(open_documents(f"{store.uri}/b")) == ["a.md", "c.md"]
    assert _keys(open_documents(f"{store.uri}/b/c.md")) == ["c.md"]


# ---- a folder


def test_folder_file_names_of_any_bytes(tmp_path: Path) -> None:
    """Names that are not UTF-8 and names with a backslash are listed, read and written."""
    names = [b"latin1-\xfcbersicht.md", b"back\\slash.md", b"x" * 255, b"folder-\xff"]
    for name in names[:3]:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(name)
    store = open_store(str(tmp_path))
    store.write(os.fsdecode(names[3]) + "/new", names[3])
    expected = sorted([*names[:3], names[3] + b"/new"])
    assert [os.fsencode(key) for key in _keys(store)] == expected
    assert [store.read(os.fsdecode(name)) for name in names[:3]] == names[:3]


def test_folder_entries_that_are_no_objects_are_named(tmp_path: Path) -> None:
    """Links that lead outside or nowhere, to folders, pipes and sockets: listed with the problem, never followed."""
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_bytes(b"text")
    links: dict[str, Path | str] = {
        "out": outside / "secret",
        "out-folder": outside,
        "up": folder,
        "broken": "nowhere",
        "loop": "loop",
    }
    for name, target in (links | {"inside": "sub/file", "again": "sub"}).items():
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        store = open_store(str(folder))
        problems = {info.key: info.problem for info in store.list()}
        for key in problems.keys() - {"inside", "sub/file", "again", "up"}:
            with pytest.raises(ObjectUnreadableError):
                store.read(key)
            assert not store.exists(key)
    assert problems == {
        "again": "'again' is a link to a folder, which is not followed",
        "broken": "'broken' is a broken link",
        "inside": "",
        "loop": "'loop' is a broken link",
        "out": f"'out' is a link that leads outside {folder}",
        "out-folder": f"'out-folder' is a link that leads outside {folder}",
        "pipe": "'pipe' is not a file but a named pipe",
        "socket": "'socket' is not a file but a socket",
        "sub/file": "",
        "up": "'up' is a link to a folder, which is not followed",
    }
    assert store.read("inside") == b"text"


def test_folder_nothing_is_reached_through_links_that_lead_outside(tmp_path: Path) -> None:
    """Neither reading, writing nor deleting gets out of the folder."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"kept")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "link").symlink_to(tmp_path / "outside")
    store = open_store(str(tmp_path / "store"))
    for attempt in (store.read, store.delete, lambda key: store.write(key, b"changed")):
        with pytest.raises(StoreError, match="outside"):
            attempt("link/file")
    assert (tmp_path / "outside" / "file").read_bytes() == b"kept"


_AS_NOBODY = """
import os, sys
from ragline.object_store import ObjectUnreadableError, open_store
os.setgroups([]); os.setgid(65534); os.setuid(65534)
store = open_store(sys.argv[1])
for info in store.list():
    try:
        print(info.key, info.problem or store.read(info.key))
    except ObjectUnreadableError as exc:
        print(info.key, exc)
"""


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root, to become someone without permission")
def test_folder_without_permission(tmp_path: Path) -> None:
    """A file or folder that may not be read is named, and the rest is read."""
    for folder in (*tmp_path.parents[:-1], tmp_path):
        folder.chmod(folder.stat().st_mode | 0o005) if folder.stat().st_mode & 0o005 != 0o005 else None
    for name in ("a", "b", "closed/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"text")
    (tmp_path / "b").chmod(0)
    (tmp_path / "closed").chmod(0)
    command = [sys.executable, "-c", _AS_NOBODY, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "a b'text'",
        "b 'b' cannot be read: Permission denied",
        "closed the folder cannot be listed: Permission denied",
    ]


def test_folder_never_shows_half_an_object(tmp_path: Path) -> None:
    """A write that fails leaves the old object and no litter; what a crash leaves behind is not listed."""
    store = open_store(str(tmp_path))
    store.write("object", b"old")
    with pytest.raises(TypeError):
        store.write("object", "not bytes")  # type: ignore[arg-type]
    assert (store.read("object"), _names(tmp_path)) == (b"old", ["object"])
    (tmp_path / temporary_name()).write_bytes(b"ha")
    assert _keys(store) == ["object"]


def test_folder_file_in_the_way(tmp_path: Path) -> None:
    """A folder cannot hold "a" and "a/b"; the error says what and where."""
    store = open_store(str(tmp_path))
    store.write("a", b"")
    with pytest.raises(StoreError, match=f"cannot write 'a/b' to {tmp_path}: "):
        store.write("a/b", b"")


def test_folder_is_made_for_writing_only(tmp_path: Path) -> None:
    """A missing folder is an error to read from, and made to write to."""
    store = open_store(str(tmp_path / "new" / "store"))
    with pytest.raises(StoreError, match="new/store does not exist"):
        store.check()
    store.check(write=True)
    assert (_keys(store), _names(tmp_path)) == ([], ["new", "store"])


def test_file_is_not_a_store(tmp_path: Path) -> None:
    """A file, and a path through a file, are refused in one line."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="file is a file, not a folder"):
        open_store(str(tmp_path / "file")).check(write=True)
    with pytest.raises(StoreError, match=r"cannot make .*below: Not a directory"):
        open_store(str(tmp_path / "file" / "below")).check(write=True)


# ---- URIs


def test_forms_of_a_local_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path, an absolute one and file: are the same folder; escapes are those of a URI."""
    monkeypatch.chdir(tmp_path)
    uris = ["a #b", "./a #b", str(tmp_path / "a #b"), f"file://{tmp_path}/a%20%23b", f"file:{tmp_path}/a #b"]
    assert {open_store(uri).uri for uri in uris} == {str(tmp_path / "a #b")}


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("", "names no folder"),
        ("  ", "names no folder"),
        ("gs://bucket/prefix", "gs:// is not supported: give a folder, file:///folder or s3://bucket/prefix"),
        ("https://key:Hidden@host/x", "https:// is not supported"),
        ("file://host/folder", "names a host"),
        ("s3://", "is not an S3 URI: expected s3://bucket/prefix"),
        ("s3:bucket", "is not an S3 URI"),
        ("s3://b", "is not an S3 URI"),
        ("s3://bucket/a/../b", "is not an S3 URI"),
        ("s3://key:Hidden@bucket/prefix", "holds credentials"),
        ("s3:key:Hidden@bucket/prefix", "holds credentials"),
        ("file://key:Hidden@host/x", "names a host"),
    ],
)
def test_uri_that_is_no_store(uri: str, message: str) -> None:
    """The message says what is expected, and repeats no credentials."""
    with pytest.raises(SettingError, match=message) as caught:
        open_store(uri)
    assert "Hidden" not in str(caught.value)
