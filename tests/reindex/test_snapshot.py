"""Snapshots of folders of documents."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragline import loaders
from ragline.documents import Document, Loaded
from ragline.errors import DocumentsError
from ragline.reindex.snapshot import Snapshot, snapshot_documents
from ragline.tables import read_documents


class Taken:
    """A snapshot with what it wrote."""

    def __init__(self, snapshot: Snapshot, documents: Path, unreadable: Path) -> None:
        self.snapshot = snapshot
        self.documents: list[Document] = list(read_documents(documents))
        self.unreadable = [json.loads(line) for line in unreadable.read_text(encoding="utf-8").splitlines()]

    @property
    def ids(self) -> list[str]:
        """The ids of the documents."""
        return [document.id for document in self.documents]

    @property
    def problems(self) -> list[tuple[str, str]]:
        """Source and reason of what could not be read."""
        return [(each["source"], each["reason"]) for each in self.unreadable]


def take(folder: Path, out: Path, *, text_field: str = "", max_megabytes: float = 64) -> Taken:
    """Take a snapshot of a folder."""
    paths = (out / "documents.parquet", out / "unreadable.jsonl")
    return Taken(snapshot_documents(str(folder), *paths, text_field=text_field, max_megabytes=max_megabytes), *paths)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for documents."""
    path = tmp_path / "docs"
    path.mkdir()
    return path


def write(folder: Path, **files: bytes) -> None:
    """Write files; "__" in a name stands for ".", "/" cannot be written so."""
    for name, data in files.items():
        (folder / name.replace("__", ".")).write_bytes(data)


def test_every_file_is_indexed_or_named(folder: Path, tmp_path: Path) -> None:
    """Documents come in order of their keys; everything else is in the report with its reason."""
    write(folder, b__md=b"# B\n\ntext", a__txt=b"one", c__png=b"\x89PNG", d__md=b"", e__pdf=b"<html>")
    (folder / "sub").mkdir()
    write(folder / "sub", a__txt=b"one", _hidden__txt=b"hidden")
    taken = take(folder, tmp_path)
    assert taken.ids == ["a.txt", "b.md", "sub/_hidden.txt", "sub/a.txt"]
    assert taken.problems == [("c.png", "unknown type"), ("d.md", "empty"), ("e.pdf", "damaged")]
    assert (taken.snapshot.documents, taken.snapshot.unreadable, taken.snapshot.bytes) == (4, 3, 31)
    assert taken.documents[0].digest == taken.documents[3].digest


def test_rows_are_documents_and_bad_rows_are_named(folder: Path, tmp_path: Path) -> None:
    """A row is known by its file and its id; a bad one by its line."""
    write(folder, r__jsonl=b'{"id": "x", "text": "A"}\n{bad\n{"id": "x", "text": "B"}\n')
    taken = take(folder, tmp_path)
    assert taken.ids == ["r.jsonl#x", "r.jsonl#x~2"]
    assert taken.problems == [("r.jsonl#line-2", "damaged")]


def test_a_row_is_never_taken_for_a_file(folder: Path, tmp_path: Path) -> None:
    """A file that is named as a row of another file gets an id of its own."""
    write(folder, **{"r.jsonl": b'{"id": "x.md", "text": "A"}\n', "r.jsonl#x.md": b"B", "a#b.md": b"C"})
    assert take(folder, tmp_path).ids == ["a#b.md", "r.jsonl#x.md", "r.jsonl%23x.md"]


def test_the_text_field_is_part_of_the_corpus(folder: Path, tmp_path: Path) -> None:
    """Another text field gives another corpus of the same files."""
    write(folder, r__jsonl=b'{"id": "x", "text": "A", "body": "B"}\n')
    default, chosen = take(folder, tmp_path), take(folder, tmp_path, text_field="body")
    assert [chosen.documents[0].content.text, default.documents[0].content.text] == ["B", "A"]
    assert chosen.snapshot.digest != default.snapshot.digest


def test_the_digest_depends_on_names_contents_and_loaders(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same input gives the same digest; any change of a name, a text or the loaders gives another."""
    write(folder, a__md=b"one", b__md=b"two")
    digests = [take(folder, tmp_path).snapshot.digest for _ in range(2)]
    assert digests[0] == digests[1]
    write(folder, a__md=b"one!")
    digests.append(take(folder, tmp_path).snapshot.digest)
    (folder / "b.md").rename(folder / "c.md")
    digests.append(take(folder, tmp_path).snapshot.digest)
    monkeypatch.setattr(loaders, "VERSION", loaders.VERSION + 1)
    digests.append(take(folder, tmp_path).snapshot.digest)
    assert len(set(digests)) == 4


def test_large_files_are_reported_and_not_read(folder: Path, tmp_path: Path) -> None:
    """The limit is named with the way to raise it."""
    write(folder, a__txt=b"small", b__txt=b"x" * 2_000_000)
    taken = take(folder, tmp_path, max_megabytes=1)
    detail = "1.9 MB; the limit is 1 MB (raise max_megabytes to index it)"
    assert (taken.ids, taken.unreadable) == (["a.txt"], [{"source": "b.txt", "reason": "too large", "detail": detail}])


def test_tool_folders_are_one_line_each(folder: Path, tmp_path: Path) -> None:
    """Thousands of files of version control are not thousands of findings, and are not indexed."""
    for name in ("a/.git", "a/.git/node_modules", "z/node_modules/x", ".github"):
        (folder / name).mkdir(parents=True)
        for number in range(3):
            (folder / name / f"{number}.md").write_bytes(b"x")
    taken = take(folder, tmp_path)
    assert taken.ids == [f".github/{number}.md" for number in range(3)]
    assert [(each["source"], each["detail"].count("(6)")) for each in taken.unreadable] == [
        ("a/.git/", 1),
        ("z/node_modules/", 0),
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_reported(folder: Path, tmp_path: Path) -> None:
    """One file that cannot be opened does not stop the others."""
    write(folder, a__md=b"one", b__md=b"two")
    (folder / "a.md").chmod(0)
    taken = take(folder, tmp_path)
    assert (taken.ids, taken.problems) == (["b.md"], [("a.md", "not readable")])


def test_a_broken_link_is_reported(folder: Path, tmp_path: Path) -> None:
    """A link to nowhere is named."""
    write(folder, b__md=b"two")
    (folder / "a.md").symlink_to("nowhere.md")
    assert take(folder, tmp_path).problems == [("a.md", "not readable")]


def test_a_crash_of_a_loader_costs_one_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error that nobody foresaw is reported for its file and logged; the run goes on."""
    load = loaders.load

    def load_or_crash(name: str, data: bytes, *, text_field: str = "") -> Iterator[Loaded | loaders.BadRow]:
        if data == b"crash":
            raise RecursionError("too deep")
        yield from load(name, data, text_field=text_field)

    monkeypatch.setattr(loaders, "load", load_or_crash)
    write(folder, a__md=b"crash", b__md=b"two")
    taken = take(folder, tmp_path)
    assert taken.ids == ["b.md"]
    assert taken.unreadable == [{"source": "a.md", "reason": "damaged", "detail": "RecursionError: too deep"}]
    assert "a.md cannot be indexed: RecursionError: too deep" in caplog.text


def test_a_single_file_is_a_corpus(folder: Path, tmp_path: Path) -> None:
    """The documents URI may name one file."""
    write(folder, a__md=b"one", b__md=b"two")
    assert take(folder / "b.md", tmp_path).ids == ["b.md"]


@pytest.mark.parametrize("uri", ["", " ", "missing"])
def test_no_documents_uri_is_an_error(uri: str, tmp_path: Path) -> None:
    """An empty or missing place is one clear line."""
    with pytest.raises(DocumentsError, match=r"documents URI is empty|missing.* does not exist"):
        snapshot_documents(uri and str(tmp_path / uri) if uri.strip() else uri, tmp_path / "d", tmp_path / "u")


def test_nothing_to_index_is_an_error(folder: Path, tmp_path: Path) -> None:
    """An empty folder, and one with nothing that can be indexed, name what to do; the report is written."""
    with pytest.raises(DocumentsError, match="there are no files in"):
        take(folder, tmp_path)
    write(folder, a__png=b"\x89PNG", b__md=b"")
    with pytest.raises(DocumentsError, match=r"\(1 unknown type, 1 empty\): a.png: unknown type, .*\.md, "):
        take(folder, tmp_path)
    assert len((tmp_path / "unreadable.jsonl").read_text().splitlines()) == 2
