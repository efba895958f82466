"""PDF files, made by hand."""

import hashlib
import struct

import pytest

from ragline.documents import Heading
from ragline.errors import Unreadable
from ragline.loaders.pdf import load_pdf

PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


def make_pdf(pages: list[list[str]], *, trailer: str = "", more: list[str] | None = None, catalog: str = "") -> bytes:
    """Return a PDF with these lines on its pages; objects in `more` are numbered from 100."""
    objects = {
        1: f"<< /Type /Catalog /Pages 2 0 R {catalog} >>",
        3: "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    }
    kids = [10 + 2 * index for index in range(len(pages))]
    objects[2] = f"<< /Type /Pages /Count {len(pages)} /Kids [{' '.join(f'{kid} 0 R' for kid in kids)}] >>"
    for kid, lines in zip(kids, pages, strict=True):
        shown = "".join(f"({line}) Tj 0 -20 Td " for line in lines)
        content = f"BT /F1 12 Tf 50 750 Td {shown}ET"
        objects[kid] = (
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources << /Font << /F1 3 0 R >> >> "
            f"/Contents {kid + 1} 0 R >>"
        )
        objects[kid + 1] = f"<< /Length {len(content)} >>\nstream\n{content}\nendstream"
    objects.update(enumerate(more or [], 100))
    data = b"%PDF-1.4\n"
    table = f"xref\n0 1\n{0:010} 65535 f \n"
    for number, body in sorted(objects.items()):
        table += f"{number} 1\n{len(data):010} 00000 n \n"
        data += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    start = len(data)
    return data + f"{table}trailer\n<< /Size 200 /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode()


def rc4(key: bytes, data: bytes) -> bytes:
    """Encrypt with RC4, as PDF 1.4 does."""
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)


def make_encrypted_pdf(password: bytes) -> bytes:
    """Return a PDF that opens only with a password."""
    padded = (password + PADDING)[:32]
    owner = rc4(hashlib.md5(padded, usedforsecurity=False).digest()[:5], padded)
    seed = padded + owner + struct.pack("<i", -4) + b"0" * 16
    user = rc4(hashlib.md5(seed, usedforsecurity=False).digest()[:5], PADDING)
    encrypt = f"/Encrypt << /Filter /Standard /V 1 /R 2 /O <{owner.hex()}> /U <{user.hex()}> /P -4 >>"
    return make_pdf([["secret"]], trailer=f"{encrypt} /ID [<{'30' * 16}> <{'30' * 16}>]")


def test_the_text_of_pages_is_read_and_pages_are_marked() -> None:
    """Each page is a part; headings without a line say on which page one is; an image's page is counted."""
    loaded = load_pdf(make_pdf([["A guide", "One."], [], ["Three."]]))
    assert loaded.text == "A guide\nOne.\n\nThree."
    assert loaded.headings == (Heading(0, 9, "page 1"), Heading(14, 9, "page 3"))
    assert (loaded.title, loaded.metadata) == ("A guide", {"pages": 3, "pages_without_text": 1})


def test_running_headers_and_footers_are_left_out() -> None:
    """Lines at the edges of most pages go, also with a page number; numbered titles on other pages stay."""
    pages = [[f"ACME internal, page {n} of 4", f"Step {n * n}", f"Text {n} here.", f"{n}"] for n in range(1, 5)]
    loaded = load_pdf(make_pdf(pages))
    assert loaded.text == "\n\n".join(f"Step {n * n}\nText {n} here." for n in range(1, 5))


def test_hyphens_at_line_ends_are_joined() -> None:
    """A word divided by the layout is one word again; a hyphen before a capital stays."""
    assert (
        load_pdf(make_pdf([["The configu-", "ration of North-", "West in 24-", "7."]])).text
        == "The configuration of North-West in 24-7."
    )


def test_the_outline_gives_headings() -> None:
    """Bookmarks are headings where their words stand, followed by the page they are on."""
    more = [
        "<< /Type /Outlines /First 101 0 R /Last 102 0 R /Count 2 >>",
        "<< /Title (Ports) /Parent 100 0 R /Next 102 0 R /Dest [10 0 R /Fit] >>",
        "<< /Title (Users) /Parent 100 0 R /Prev 101 0 R /Dest [12 0 R /Fit] >>",
    ]
    loaded = load_pdf(make_pdf([["Ports", "a"], ["b", "Users", "c"]], more=more, catalog="/Outlines 100 0 R"))
    assert loaded.text == "Ports\na\n\nb\nUsers\nc"
    assert loaded.headings == (
        Heading(0, 1, "Ports"),
        Heading(0, 9, "page 1"),
        Heading(9, 9, "page 2"),
        Heading(11, 1, "Users"),
        Heading(11, 9, "page 2"),
    )


def test_the_title_is_the_documents_own() -> None:
    """The title property is used unless a program made it up."""
    for title, expected in (("Handbook", "Handbook"), ("Untitled", "First line")):
        data = make_pdf([["First line"]], trailer="/Info 100 0 R", more=[f"<< /Title ({title}) >>"])
        assert load_pdf(data).title == expected


@pytest.mark.parametrize("pages", [[[]], [[], []], [["Background"], ["Background"], ["Background"]]])
def test_pages_of_images_have_no_text_layer(pages: list[list[str]]) -> None:
    """A scan, or images with the same words on each, is reported instead of indexed as nothing."""
    with pytest.raises(Unreadable, match="no text layer"):
        load_pdf(make_pdf(pages))


def test_a_password_is_reported() -> None:
    """A PDF that needs a password is encrypted; one that opens without is read."""
    with pytest.raises(Unreadable, match="encrypted: it needs a password"):
        load_pdf(make_encrypted_pdf(b"s3cret"))


@pytest.mark.parametrize(
    "data", [b"<html>404</html>", b"%PDF-1.4\n", make_pdf([["x"]])[:60], b"%PDF-1.7" + b"\x00" * 999]
)
def test_damaged_files_are_reported(data: bytes) -> None:
    """Truncated files and other formats under the name of a PDF are reported."""
    with pytest.raises(Unreadable, match="damaged"):
        load_pdf(data)


def test_a_lost_cross_reference_table_is_recovered() -> None:
    """A PDF whose end is cut off is read as far as its objects are there."""
    data = make_pdf([["Still here."]])
    assert load_pdf(data[: data.index(b"xref\n0 1")] + b"trailer << /Root 1 0 R >>").text == "Still here."
