"""JSON and JSON Lines: rows become documents; Jupyter notebooks become Markdown."""

import io
import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from ragline.documents import BadRow, Loaded
from ragline.errors import Unreadable
from ragline.loaders.encoding import clean, decode
from ragline.loaders.markdown import add_markdown
from ragline.loaders.page import Page, facts, one_line
from ragline.loaders.text import noted

MEDIA_TYPE = "application/json"
LINES_MEDIA_TYPE = "application/x-ndjson"
NOTEBOOK_MEDIA_TYPE = "application/x-ipynb+json"

_TEXT_FIELDS = (
    "text", "content", "body", "contents", "page_content", "passage", "document", "abstract", "answer",
)  # fmt: skip
_TITLE_FIELDS = ("title", "name", "heading", "question")
_ID_FIELDS = ("_id", "id", "passage_id", "doc_id", "uid", "key")
_LONGEST_ID = 200
_ROWS_TO_JUDGE = 20  # when none of so many parses, the file is no JSON Lines, and is reported once


def load_json(data: bytes, *, text_field: str = "") -> Iterator[Loaded | BadRow]:
    """Load a JSON file: an object with a text field is one document, an array of objects one document each.

    Anything else is one document with a line "path: value" for each value.

    Args:
        data: the file's bytes.
        text_field: name of the field that holds the text, dotted below the top level; "" for the usual names.
    """
    text, encoding = decode(data)
    try:
        value = _parse(text)
    except Unreadable:
        if not _looks_like_lines(text):
            raise
        yield from load_json_lines(data, text_field=text_field)
        return
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        yield from _documents(((f"item-{index}", row) for index, row in enumerate(value, 1)), MEDIA_TYPE, text_field)
    else:
        yield _record(value, MEDIA_TYPE, text_field, encoding=encoding)


def load_json_lines(data: bytes, *, text_field: str = "") -> Iterator[Loaded | BadRow]:
    """Load JSON Lines: one document a row; a bad row is reported and the others go on."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in data[:4]:
        data = decode(data)[0].encode()
    rows = _rows(data)
    first = list(islice(rows, _ROWS_TO_JUDGE))
    if not first:
        raise Unreadable("empty", "there is no row in it")
    if isinstance(first[0][1], Unreadable) and _is_json(data):  # one value over many lines, whatever the name says
        yield from load_json(data, text_field=text_field)
    elif not all(isinstance(row, Unreadable) for _, row in first):
        yield from _documents(chain(first, rows), LINES_MEDIA_TYPE, text_field)
    else:
        raise Unreadable("damaged", f"none of its first {len(first)} rows is JSON; the first: {first[0][1].detail}")


def load_notebook(data: bytes) -> Loaded:
    """Load a Jupyter notebook: the text of its Markdown cells and the source of its code cells."""
    notebook = _parse(decode(data)[0])
    if not isinstance(notebook, dict):
        raise Unreadable("damaged", "it is not a notebook: there is no object in it")
    cells = notebook.get("cells") or [
        cell for sheet in _dicts(notebook.get("worksheets")) for cell in _dicts(sheet.get("cells"))
    ]
    language = _lookup(notebook, "metadata.language_info.name") or _lookup(notebook, "metadata.kernelspec.language")
    page = Page()
    for cell in _dicts(cells):
        source = cell.get("source", cell.get("input", ""))
        source = clean("".join(map(str, source)) if isinstance(source, list) else str(source))
        if cell.get("cell_type") == "code":
            page.code(source, language if isinstance(language, str) else "")
        elif cell.get("cell_type") in ("markdown", "heading"):
            add_markdown(page, source)
    return page.loaded(NOTEBOOK_MEDIA_TYPE)


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as exc:
        raise Unreadable("damaged", "the JSON is nested too deeply") from exc
    except ValueError as exc:
        raise Unreadable("empty" if not text.strip() else "damaged", f"the JSON cannot be parsed: {exc}") from exc


def _looks_like_lines(text: str) -> bool:
    first = text.lstrip().split("\n", 1)[0].rstrip()
    return first.startswith("{") and first.endswith("}")


def _is_json(data: bytes) -> bool:
    try:
        _parse(decode(data)[0])
    except Unreadable:
        return False
    return True


def _rows(data: bytes) -> Iterator[tuple[str, Any]]:
    """Yield (place, parsed row or Unreadable) for each line that is not blank."""
    for number, line in enumerate(io.BytesIO(data), 1):
        if not line.strip():
            continue
        place = f"line-{number}"
        try:
            yield place, _parse(decode(line)[0])
        except Unreadable as error:
            yield place, error


def _documents(rows: Iterable[tuple[str, Any]], media_type: str, text_field: str) -> Iterator[Loaded | BadRow]:
    seen: dict[str, int] = {}
    for place, row in rows:
        if isinstance(row, Unreadable):
            yield BadRow(place, row)
            continue
        name = _unique(_row_id(row) or place, seen)
        try:
            yield _record(row, media_type, text_field, row=name)
        except Unreadable as error:
            yield BadRow(place, error)


def _row_id(row: Any) -> str:
    for field in _ID_FIELDS if isinstance(row, dict) else ():
        value = row.get(field)
        if isinstance(value, str | int) and not isinstance(value, bool):
            name = one_line(clean(str(value)))[:_LONGEST_ID]
            if name:
                return name
    return ""


def _unique(name: str, seen: dict[str, int]) -> str:
    """Return the name, with "~2", "~3"... if it came before."""
    candidate, count = name, seen.get(name, 0)
    while candidate in seen:
        count += 1
        candidate = f"{name}~{count}"
    seen[name] = max(count, 1)
    seen.setdefault(candidate, 1)
    return candidate


def _record(value: Any, media_type: str, text_field: str, *, row: str = "", encoding: str = "") -> Loaded:
    """Return one JSON value as a document."""
    fields = value if isinstance(value, dict) else {}
    page = Page()
    name, text = _text_of(fields, text_field)
    page.text(clean(text) if name else "\n".join(_lines(value)))
    if text_field and not page.end:
        raise Unreadable("empty", f"it has no text in the field {text_field!r}")
    titled = next((key for key in _TITLE_FIELDS if key != name and isinstance(fields.get(key), str)), "")
    metadata = facts({key: each for key, each in fields.items() if key not in (name, titled)})
    title = fields[titled] if titled else ""
    return page.loaded(media_type, title=title, metadata={**metadata, **noted(encoding)}, row=row)


def _text_of(fields: dict[str, Any], text_field: str) -> tuple[str, str]:
    """Return the name of the text field and the text; "" for the name if the record has no such field."""
    found = text_field
    for name in (text_field,) if text_field else _TEXT_FIELDS:
        text = _lookup(fields, name)
        if isinstance(text, list) and text and all(isinstance(part, str) for part in text):
            text = "\n\n".join(text)
        if isinstance(text, str):
            if text.strip():
                return name, text
            found = found or name
    return found, ""


def _lookup(fields: dict[str, Any], path: str) -> Any:
    """Return the value under a name, or under a dotted path."""
    if path in fields:
        return fields[path]
    value: Any = fields
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _lines(value: Any) -> Iterator[str]:
    """Yield "path: value" for each value in a structure, without recursion."""
    stack: list[tuple[str, Any]] = [("", value)]
    while stack:
        path, each = stack.pop()
        if isinstance(each, dict):
            stack.extend((f"{path}.{key}" if path else str(key), below) for key, below in reversed(each.items()))
        elif isinstance(each, list):
            stack.extend((f"{path}[{index}]", each[index]) for index in range(len(each) - 1, -1, -1))
        elif each is not None and each != "":
            text = one_line(clean(each if isinstance(each, str) else json.dumps(each)))
            yield f"{clean(path)}: {text}" if path else text
