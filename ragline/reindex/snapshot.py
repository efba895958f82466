"""Read every document of a folder or bucket, and name every file that cannot be read.

A snapshot is a stream: one file at a time is in memory, whatever the number of files. One bad file never
stops it; a store that fails as a whole (credentials, network) does.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ragline import digests, loaders
from ragline.documents import Document, Loaded
from ragline.errors import DocumentsError, ObjectNotFoundError, StoreError, Unreadable
from ragline.loaders import BadRow
from ragline.object_store import ObjectInfo, ObjectStore, ObjectUnreadableError, open_documents
from ragline.progress import Step, progress
from ragline.tables import DocumentWriter

_log = logging.getLogger(__name__)

_TOOL_FOLDERS = frozenset(
    [
        ".git",
        ".hg",
        ".svn",
        "__pycache__",
        "node_modules",
        ".venv",
        ".tox",
        ".nox",
        ".ipynb_checkpoints",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
    ]
)
_REASONS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a snapshot found.

    Attributes:
        digest: sha256 over the ids and digests of the documents in order, and the version of the loaders.
        documents: number of documents written.
        unreadable: number of files and rows that cannot be indexed.
        bytes: size of the files read.
    """

    digest: str
    documents: int
    unreadable: int
    bytes: int


@dataclass(frozen=True, slots=True)
class _Problem:
    source: str
    reason: str
    detail: str


def snapshot_documents(
    documents_uri: str, documents: Path, unreadable: Path, *, text_field: str = "", max_megabytes: float = 64
) -> Snapshot:
    """Write all documents of a folder or bucket to a table, and what cannot be read to a report.

    Args:
        documents_uri: a folder, an S3 prefix, or a single file.
        documents: the Parquet file to write, for `ragline.tables.read_documents`.
        unreadable: the JSON Lines file to write: source, reason and detail, sorted by source.
        text_field: for JSON, the field that holds the text; "" for the usual names.
        max_megabytes: larger files are reported, not read.

    Raises:
        DocumentsError: there is nothing to index.
        StoreError: the store cannot be used.
    """
    reader = _Reader(_open(documents_uri), text_field, int(max_megabytes * (1 << 20)))
    with DocumentWriter(documents) as writer, progress("snapshot", unit="files") as step:
        for document in reader.read_all(step):
            writer.write(document)
    problems = sorted(reader.problems, key=lambda problem: problem.source)
    unreadable.write_text("".join(map(_report_line, problems)), encoding="utf-8")
    if not reader.documents:
        raise DocumentsError(_nothing_to_index(documents_uri, problems))
    return Snapshot(reader.digest.hexdigest(), reader.documents, len(problems), reader.bytes)


class _Reader:
    """Read the files of a store one after the other, and keep count."""

    def __init__(self, store: ObjectStore, text_field: str, largest: int) -> None:
        self._store = store
        self._text_field = text_field
        self._largest = largest
        self.problems: list[_Problem] = []
        self.documents = 0
        self.bytes = 0
        self.digest = hashlib.sha256(f"ragline loaders {loaders.VERSION}".encode())

    def read_all(self, step: Step) -> Iterator[Document]:
        """Yield the documents of all files in the order of their keys."""
        for info in self._files():
            name = self._document_id(info.key)
            for content in self._contents(info, name):
                if isinstance(content, BadRow):
                    source = f"{name}#{content.row}" if content.row else name
                    self.problems.append(_Problem(source, content.error.reason, content.error.detail))
                else:
                    yield self._document(name, *content)
            step.advance()

    def _files(self) -> Iterator[ObjectInfo]:
        """Yield the files, and report each tool's folder once; listings are sorted, so its files are together."""
        folder, left_out = "", 0
        for info in self._store.list():
            if folder and info.key.startswith(folder):
                left_out += 1
                continue
            self._report_folder(folder, left_out)
            folder, left_out = _tool_folder(info.key), 1
            if not folder:
                yield info
        self._report_folder(folder, left_out)

    def _report_folder(self, folder: str, files: int) -> None:
        if folder:
            detail = f"a folder of a tool or of version control: its files ({files}) are left out"
            self.problems.append(_Problem(_printable(folder), "unknown type", detail))

    def _contents(self, info: ObjectInfo, name: str) -> Iterator[tuple[Loaded, bytes] | BadRow]:
        """Yield what a file holds; any failure of this one file is one of its bad rows."""
        try:
            data = self._bytes(info)
            self.bytes += len(data)
            for content in loaders.load(info.key, data, text_field=self._text_field):
                yield content if isinstance(content, BadRow) else (content, data)
        except Unreadable as error:
            yield BadRow("", error)
        except (ObjectUnreadableError, ObjectNotFoundError) as exc:
            yield BadRow("", Unreadable("not readable", str(exc)))
        except StoreError:
            raise
        except Exception as exc:  # noqa: BLE001  the edge: a bug in a parser costs one file, not the run
            _log.warning("%s cannot be indexed: %s: %s", name, type(exc).__name__, exc)
            yield BadRow("", Unreadable("damaged", f"{type(exc).__name__}: {exc}"))

    def _bytes(self, info: ObjectInfo) -> bytes:
        if info.problem:
            raise Unreadable("not readable", info.problem)
        if info.size > self._largest:
            sizes = f"{info.size / (1 << 20):.1f} MB; the limit is {self._largest / (1 << 20):g} MB"
            raise Unreadable("too large", f"{sizes} (raise max_megabytes to index it)")
        return self._store.read(info.key)

    def _document(self, name: str, content: Loaded, data: bytes) -> Document:
        identifier = f"{name}#{content.row}" if content.row else name
        document = Document(identifier, _digest(content, data), content)
        self.digest.update(f"{len(identifier)} {identifier} {document.digest}\n".encode())
        self.documents += 1
        return document

    def _document_id(self, key: str) -> str:
        """Return a key as an id: text in UTF-8, and never that of another file or of another file's row."""
        name = _printable(key)
        while name != key and self._store.exists(name):
            name += "~"
        file, mark, _ = name.partition("#")
        return name.replace("#", "%23") if mark and self._store.exists(file) else name


def _open(uri: str) -> ObjectStore:
    if not uri.strip():
        raise DocumentsError("the documents URI is empty: give a folder, a file, or s3://bucket/prefix")
    try:
        return open_documents(uri)
    except StoreError as exc:
        if type(exc) is StoreError:  # the place itself; its subclasses are about access to it
            raise DocumentsError(f"cannot read documents from {uri!r}: {exc}") from exc
        raise


def _tool_folder(key: str) -> str:
    """Return the outermost folder of a tool that holds this key, with its "/"; "" if there is none."""
    parts = key.split("/")
    for index, part in enumerate(parts[:-1]):
        if part in _TOOL_FOLDERS:
            return "/".join(parts[: index + 1]) + "/"
    return ""


def _printable(key: str) -> str:
    """Return a key with the bytes that are not UTF-8 percent-encoded."""
    if not any("\udc80" <= character <= "\udcff" for character in key):
        return key
    return "".join(
        f"%{ord(character) - 0xDC00:02X}" if "\udc80" <= character <= "\udcff" else character
        for character in key.replace("%", "%25")
    )


def _digest(content: Loaded, data: bytes) -> str:
    """Return the digest of a document: of the file's bytes; for JSON, of what was taken from it.

    Rows have no bytes of their own, and which field is the text of a JSON file depends on a parameter.
    """
    if "json" in content.media_type and "ipynb" not in content.media_type:
        return digests.of_json([content.text, content.title, dict(content.metadata)])
    return digests.of_bytes(data)


def _report_line(problem: _Problem) -> str:
    fields = {"source": problem.source, "reason": problem.reason, "detail": problem.detail}
    return json.dumps(fields, ensure_ascii=False) + "\n"


def _nothing_to_index(uri: str, problems: list[_Problem]) -> str:
    if not problems:
        return f"there are no files in {uri!r}: give a folder or prefix that holds documents"
    counts = Counter(problem.reason for problem in problems).most_common()
    summary = ", ".join(f"{count} {reason}" for reason, count in counts)
    shown = "; ".join(f"{each.source}: {each.reason}, {each.detail}" for each in problems[:_REASONS_SHOWN])
    known = ", ".join(sorted(f".{extension}" for extension in loaders.EXTENSIONS))
    return f"nothing in {uri!r} can be indexed ({summary}): {shown}. Types that can: {known}"
