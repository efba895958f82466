"""Word documents."""

import io
import zipfile

import docx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from ragline.documents import Heading
from ragline.errors import Unreadable
from ragline.loaders import docx as docx_loader
from ragline.loaders.docx import load_docx


def sample() -> bytes:
    """Return a document with a header, headings, a list, a table, a content control and tracked changes."""
    document = docx.Document()
    document.sections[0].header.paragraphs[0].text = "INTERNAL"
    document.add_heading("Roles", level=1)
    document.add_paragraph("Two roles\texist.")
    document.add_paragraph("first", style="List Bullet")
    document.add_paragraph("second", style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ["Role", "Phone", "Admin", "555-0111"], strict=True):
        cell.text = text
    body = document.element.body
    for xml in (
        "<w:sdt {}><w:sdtContent><w:p><w:r><w:t>Inside a control.</w:t></w:r></w:p></w:sdtContent></w:sdt>",
        "<w:p {}><w:ins><w:r><w:t>New</w:t></w:r></w:ins><w:del><w:r><w:delText>Old</w:delText></w:r></w:del></w:p>",
    ):
        body.insert(len(body) - 1, parse_xml(xml.format(nsdecls("w"))))
    document.add_heading("End", level=2)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def test_the_body_is_read_in_order() -> None:
    """Headings, lists, tables, controls and accepted changes come in order; page headers do not."""
    loaded = load_docx(sample())
    assert loaded.text == (
        "# Roles\n\nTwo roles exist.\n\n- first\n- second\n\n| Role | Phone |\n| --- | --- |\n| Admin | 555-0111 |\n\n"
        "Inside a control.\n\nNew\n\n## End"
    )
    assert loaded.headings == (Heading(0, 1, "Roles"), Heading(loaded.text.index("## End"), 2, "End"))
    assert [loaded.text[start:end][:8] for start, end in loaded.blocks] == ["| Role |"]
    assert loaded.title == "Roles"


def archive(**parts: bytes) -> bytes:
    """Return a zip archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in parts.items():
            target.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize(
    "data", [b"no zip", sample()[:9000], archive(a=b"b"), archive(**{"[Content_Types].xml": b"<x"})]
)
def test_what_is_no_document_is_damaged(data: bytes) -> None:
    """Truncated archives and archives of something else are reported."""
    with pytest.raises(Unreadable, match="damaged"):
        load_docx(data)


def test_a_protected_document_is_encrypted() -> None:
    """A document with a password is no zip archive but an OLE file."""
    with pytest.raises(Unreadable, match="encrypted"):
        load_docx(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 100)


def test_an_archive_that_would_fill_the_memory_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size after decompression is limited."""
    monkeypatch.setattr(docx_loader, "LARGEST", 1 << 20)
    with pytest.raises(Unreadable, match="too large: 3 MB after decompression; the limit is 1 MB"):
        load_docx(archive(x=b"0" * (3 << 20)))
