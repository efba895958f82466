"""From the bytes of a file to documents: one loader for each type, chosen by the file's name.

    Markdown          .md .markdown .mdx          PDF        .pdf
    reStructuredText  .rst                        Word       .docx
    HTML              .html .htm .xhtml           rows       .csv .tsv
    plain text        .txt .text .log             JSON       .json; one document a row: .jsonl .ndjson
                                                  notebooks  .ipynb

Each may be compressed (.gz). A file without an extension is recognised by its content. A loader is a pure
function of the bytes: the same bytes give the same documents on every machine.
"""

import re
import zlib
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from ragline.documents import BadRow, Loaded
from ragline.errors import Unreadable

__all__ = ["EXTENSIONS", "LARGEST", "VERSION", "BadRow", "load"]

VERSION = 1
"""Part of the corpus digest; raise it when the text of any loader changes."""

LARGEST = 256 << 20
"""Bytes of a compressed file after decompression."""


class _Loader:
    """A function of one of our modules, which is imported when the first file of its type comes: they are slow to."""

    def __init__(self, module: str, function: str = "", **options: Any) -> None:
        self._module = f"{__name__}.{module}"
        self._function = function or f"load_{module}"
        self._options = options

    def __call__(self, data: bytes, **options: Any) -> Any:
        return getattr(import_module(self._module), self._function)(data, **self._options, **options)


_LOADERS = {
    "md": _Loader("markdown"),
    "markdown": _Loader("markdown"),
    "mdx": _Loader("markdown", mdx=True),
    "rst": _Loader("rst"),
    "html": _Loader("html"),
    "htm": _Loader("html"),
    "xhtml": _Loader("html"),
    "txt": _Loader("text"),
    "text": _Loader("text"),
    "log": _Loader("text"),
    "pdf": _Loader("pdf"),
    "docx": _Loader("docx"),
    "csv": _Loader("text", "load_rows", media_type="text/csv"),
    "tsv": _Loader("text", "load_rows", media_type="text/tab-separated-values"),
    "ipynb": _Loader("records", "load_notebook"),
}
_ROW_LOADERS = {
    "json": _Loader("records", "load_json"),
    "jsonl": _Loader("records", "load_json_lines"),
    "ndjson": _Loader("records", "load_json_lines"),
}

EXTENSIONS = frozenset([*_LOADERS, *_ROW_LOADERS])
"""Extensions of the types that are indexed, in lower case, without the dot."""

_EXTENSION = re.compile(r".\.([A-Za-z][A-Za-z0-9_+-]{0,15})$", re.DOTALL)
_HTML = re.compile(rb"\s*(?:<\?xml[^>]{0,200}>\s*)?<(?:!doctype\s+html|html)\b", re.IGNORECASE)


def load(name: str, data: bytes, *, text_field: str = "") -> Iterator[Loaded | BadRow]:
    """Load one file.

    Args:
        name: its name or path; the extension decides about the type.
        data: its bytes.
        text_field: for JSON, the field that holds the text (dotted below the top level).

    Yields:
        One document, or for rows of JSON one each; a `BadRow` for a row that cannot be indexed.

    Raises:
        Unreadable: the file as a whole cannot be indexed.
    """
    extension = _extension(name)
    if extension in ("gz", "gzip"):
        extension = _extension(name[: -len(extension) - 1])
        data = _decompressed(data) if not extension or extension in EXTENSIONS else data
    if not data:
        raise Unreadable("empty", "the file has no content")
    extension = extension or _sniffed(data)
    if extension in _ROW_LOADERS:
        yield from _ROW_LOADERS[extension](data, text_field=text_field)
    elif extension in _LOADERS:
        yield _LOADERS[extension](data)
    else:
        raise Unreadable("unknown type", f".{extension} is not among the types that are indexed")


def _extension(name: str) -> str:
    """Return the extension in lower case; "" where what follows the dot is none, as in "notes-1.2"."""
    match = _EXTENSION.search(name.rsplit("/", 1)[-1])
    return match[1].lower() if match else ""


def _sniffed(data: bytes) -> str:
    """Return the type of a file without an extension."""
    head = data[:1024]
    if head.startswith(b"%PDF-"):
        return "pdf"
    if head.startswith(b"PK\x03\x04") and b"word/document.xml" in data:
        return "docx"
    if _HTML.match(head):
        return "html"
    if not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        from ragline.loaders.encoding import refuse_binary

        refuse_binary(data)
    return "txt"


def _decompressed(data: bytes) -> bytes:
    """Return the content of a gzip file, of all its members, up to a limit."""
    pieces: list[bytes] = []
    size = 0
    try:
        while data:
            member = zlib.decompressobj(wbits=31)
            piece = member.decompress(data, LARGEST + 1 - size)
            pieces.append(piece)
            size += len(piece)
            if size > LARGEST:
                raise Unreadable("too large", f"more than {LARGEST >> 20} MB after decompression")
            if not member.eof:
                raise Unreadable("damaged", "the compressed data end too early")
            data = member.unused_data.lstrip(b"\x00")
    except zlib.error as exc:
        raise Unreadable("damaged", f"it is not gzip: {exc}") from exc
    return b"".join(pieces)
