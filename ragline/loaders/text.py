"""Plain text and delimited rows."""

import csv
import io

from ragline.documents import Loaded
from ragline.loaders.encoding import decode
from ragline.loaders.page import Page, one_line, tidy

DELIMITERS = {"text/csv": ",;\t|", "text/tab-separated-values": "\t"}


def load_text(data: bytes) -> Loaded:
    """Load plain text: nothing but characters is changed."""
    text, encoding = decode(data)
    page = Page()
    page.text(tidy(text))
    return page.loaded("text/plain", metadata=noted(encoding))


def load_rows(data: bytes, media_type: str) -> Loaded:
    """Load CSV or TSV: one line a row, each value with the name of its column.

    So a row can be understood, found and quoted without the head of the table. Text that does not parse
    as rows is kept as it is.
    """
    text, encoding = decode(data)
    delimiter = _delimiter(text, DELIMITERS[media_type])
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows = [[one_line(cell) for cell in row] for row in reader]
        lines = "\n".join(_sentences([row for row in rows if any(row)]))
    except csv.Error:  # for example a field larger than the reader's limit
        lines = text
    page = Page()
    page.text(lines)
    return page.loaded(media_type, metadata=noted(encoding))


def noted(encoding: str) -> dict[str, str | int | float | bool]:
    """Return the metadata that tells of a guessed encoding."""
    return {"encoding": encoding} if encoding else {}


def _delimiter(text: str, choices: str) -> str:
    header = text.lstrip("\n").split("\n", 1)[0]
    return max(choices, key=header.count)


def _sentences(rows: list[list[str]]) -> list[str]:
    if not rows:
        return []
    header = rows[0]
    named = len(rows) > 1 and len(set(header)) == len(header) and all(cell and not _is_number(cell) for cell in header)
    if not named:
        return ["; ".join(filter(None, row)) for row in rows]
    names = [*header, *[""] * max(0, max(map(len, rows)) - len(header))]
    return [
        "; ".join(f"{name}: {cell}" if name else cell for name, cell in zip(names, row, strict=False) if cell)
        for row in rows[1:]
    ]


def _is_number(cell: str) -> bool:
    return cell.replace(".", "", 1).replace("-", "", 1).isdigit()
