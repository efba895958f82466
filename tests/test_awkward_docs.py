"""Documents that break careless ingestion: every one is indexed, or named with the reason.

The files lie beside the checkout (../shared/data/awkward-docs); each behaviour is proven without them in
tests/loaders and tests/reindex.
"""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from ragline.errors import Unreadable
from ragline.loaders import BadRow, load
from ragline.reindex.snapshot import snapshot_documents
from ragline.tables import read_documents

AWKWARD = Path(__file__).resolve().parents[2] / "shared" / "data" / "awkward-docs"

UNREADABLE = {
    "files/pdf/scanned-no-text-layer.pdf": "no text layer",
    "files/pdf/encrypted-user-password.pdf": "encrypted",
    "files/pdf/truncated.pdf": "damaged",
    "files/pdf/not-a-pdf.pdf": "damaged",
    "files/pdf/zero-bytes.pdf": "empty",
    "files/pdf/libreoffice-writer-password.pdf": "encrypted",
    "files/pdf/imagemagick-images.pdf": "no text layer",
    "files/docx/truncated.docx": "damaged",
    "files/docx/zip-not-docx.docx": "damaged",
    "files/empty/empty.txt": "empty",
    "files/empty/only-whitespace.md": "empty",
    "files/empty/only-bom.txt": "empty",
    "files/encoding/binary-named.txt": "unknown type",
}
EXACT = {
    "files/empty/only-front-matter.md": "Nothing here",
    "files/encoding/crlf-and-cr.txt": "Line one\nLine two\nLine three",
    "files/encoding/nul-bytes.txt": "Text with NUL bytes inside 1.",
    "files/hostile/script-in-markdown.md": "# Links\n\n click\n\nThe port is 8010.",
}


def entries(name: str) -> list[Any]:
    """Return the lines of a manifest as parameters, or one that is skipped."""
    path = AWKWARD / name
    if not path.exists():
        return [pytest.param({}, marks=pytest.mark.skip(reason=f"{path} is not there"))]
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [pytest.param(line, id=ascii(line.get("file", line.get("name", "bytes")))[:60]) for line in lines]


def collapsed(text: str) -> str:
    """Return text with each run of white space as one space."""
    return " ".join(text.split())


@pytest.mark.parametrize("entry", entries("manifest.jsonl"))
def test_every_line_of_the_manifest_holds(entry: dict[str, Any]) -> None:
    """What must be in a text is, what must not is not, and what has no text has the right reason."""
    data = (AWKWARD / entry["file"]).read_bytes()
    if entry["file"] in UNREADABLE:
        with pytest.raises(Unreadable) as caught:
            list(load(entry["file"], data))
        assert caught.value.reason == UNREADABLE[entry["file"]]
        return
    [loaded] = load(entry["file"], data)
    assert not isinstance(loaded, BadRow)
    text = collapsed(loaded.text)
    assert [wanted for wanted in entry.get("must_contain", []) if collapsed(wanted) not in text] == []
    unwanted = entry.get("must_not_contain", []) + entry.get("repeated_boilerplate", [])
    assert [phrase for phrase in unwanted if phrase in text] == []
    assert entry.get("gold", "") in text
    assert entry["file"] not in EXACT or loaded.text == EXACT[entry["file"]]


@pytest.fixture(scope="module")
def files() -> Path:
    """The folder of the files."""
    if not AWKWARD.exists():
        pytest.skip(f"{AWKWARD} is not there")
    return AWKWARD / "files"


def test_the_whole_folder_is_one_run(files: Path, tmp_path: Path) -> None:
    """Every file is either indexed or in the report; twice the same digest; copies are both documents."""
    paths = (tmp_path / "documents", tmp_path / "unreadable")
    first = snapshot_documents(str(files), *paths)
    documents = {document.id: document for document in read_documents(paths[0])}
    reported = {json.loads(line)["source"]: json.loads(line)["reason"] for line in paths[1].read_text().splitlines()}
    assert reported == {name.removeprefix("files/"): reason for name, reason in UNREADABLE.items()}
    names = {entry.values[0]["file"].removeprefix("files/") for entry in entries("manifest.jsonl")}
    assert documents.keys() | reported.keys() == names
    assert documents["duplicates/original.md"].digest == documents["duplicates/exact-copy.md"].digest
    assert snapshot_documents(str(files), *paths) == first


def test_every_odd_name_is_indexed(tmp_path: Path) -> None:
    """Each name is kept as the source, and the text is found; a name that is not UTF-8 gets a readable id."""
    if not AWKWARD.exists():
        pytest.skip(f"{AWKWARD} is not there")
    names: dict[str, str] = {}
    folder = tmp_path / "docs"
    for entry in (parameter.values[0] for parameter in entries("odd-names.jsonl")):
        raw = base64.b64decode(entry["name_base64"]) if "name_base64" in entry else entry["name"].encode()
        path = folder / os.fsdecode(raw)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(entry["content"], encoding="utf-8")
        names[entry.get("name", "latin1-%FCbersicht.md")] = entry["must_contain"][0]
    paths = (tmp_path / "documents", tmp_path / "unreadable")
    snapshot = snapshot_documents(str(folder), *paths)
    texts = {document.id: document.content.text for document in read_documents(paths[0])}
    assert (texts.keys(), snapshot.unreadable) == (names.keys(), 0)
    assert [name for name, wanted in names.items() if wanted not in texts[name]] == []
