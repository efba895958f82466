"""The three kinds of reStructuredText tables, as rows of cells."""

import re

_ROW = re.compile(r"[*-]\s+-(?:\s|$)")
_CELL = re.compile(r"\s{1,6}-(?:\s|$)")
_COLUMN = re.compile(r"=+")


def grid_rows(lines: list[str]) -> list[list[str]]:
    """Return the rows of a grid table; the lines of a cell are joined.

    Cells that span columns or rows stay whole but may lack neighbours.
    """
    rows: list[list[str]] = []
    cells: list[str] = []
    for line in lines:
        bare = line.strip()
        if bare.startswith("+"):
            rows.append(cells)
            cells = []
            continue
        parts = [part.strip() for part in bare.strip("|").split("|")]
        if cells and len(parts) == len(cells):
            cells = [f"{cell} {part}".strip() for cell, part in zip(cells, parts, strict=True)]
        elif cells:
            cells[-1] = f"{cells[-1]} {' '.join(parts)}".strip()
        else:
            cells = parts
    return [row for row in [*rows, cells] if row]


def simple_rows(lines: list[str]) -> list[list[str]]:
    """Return the rows of a simple table; a line with an empty first column continues the row above."""
    margin = len(lines[0]) - len(lines[0].lstrip())
    starts = [match.start() for match in _COLUMN.finditer(lines[0][margin:])]
    rows: list[list[str]] = []
    after_rule = True
    for line in lines:
        body = line[margin:]
        if not body or (body[:2] in ("==", "--") and not body.strip("=- ")):
            after_rule = True
            continue
        cells = [body[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)]
        if cells[0] or after_rule or not rows:
            rows.append(cells)
        else:
            rows[-1] = [f"{above} {below}".strip() for above, below in zip(rows[-1], cells, strict=True)]
        after_rule = False
    return rows


def list_rows(lines: list[str]) -> list[list[str]]:
    """Return the rows of a list-table: a list of lists with one item a cell."""
    rows: list[list[str]] = []
    for line in lines:
        if match := _ROW.match(line):
            rows.append([line[match.end() :].strip()])
        elif rows and (match := _CELL.match(line)):
            rows[-1].append(line[match.end() :].strip())
        elif rows and line:
            rows[-1][-1] = f"{rows[-1][-1]} {line.strip()}".strip()
    return rows
