"""The values that travel through indexing: what a loader gives, a document, a chunk."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ragline.errors import Unreadable


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading at character `start` of a text; `level` 1 is the highest."""

    start: int
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a loader makes of one document (a file, or one row of a JSON Lines file).

    All markup becomes one dialect: `## heading`, fenced code, tables of `|` rows, `- ` items. Link targets,
    emphasis and roles are reduced to their text. Offsets refer to `text`.

    Attributes:
        text: the whole text, line ends as line feeds, without NUL characters or a byte-order mark.
        title: from front matter, `<title>`, the first heading, the row's title; "" if there is none.
        headings: in order of `start`.
        blocks: half-open character spans of code blocks and tables, in order, not overlapping;
            a chunker avoids cutting them.
        metadata: scalar facts for filters (for example the scalar fields of a JSON row, the
            front matter's, `encoding` when it was guessed).
        row: identifier of the row within its file, "" when the file is the document.
    """

    text: str
    title: str = ""
    headings: tuple[Heading, ...] = ()
    blocks: tuple[tuple[int, int], ...] = ()
    media_type: str = "text/plain"
    metadata: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    row: str = ""


class BadRow(NamedTuple):
    """A row that cannot be indexed, while the rows around it can.

    Attributes:
        row: where it is in its file, for example "line-12".
        error: the reason.
    """

    row: str
    error: Unreadable


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a corpus snapshot.

    Attributes:
        id: path below the documents URI; rows of a file are `path#row`. Unique in a snapshot.
        digest: sha256 (hex) of the file's bytes; for a row, of its text, title and metadata.
        content: what the loader gave.
    """

    id: str
    digest: str
    content: Loaded


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document: what is embedded, retrieved and quoted.

    Attributes:
        id: sha256 (hex, 32 characters) of document id, offset and digest; unique in a release.
        document: id of the document.
        title: the document's title.
        section: the heading path at the chunk's start, joined by " > ", without the title.
        start, end: character offsets in the document's text.
        text: document text from start to end.
        tokens: number of tokens of `embedded_text`, special tokens included.
        digest: sha256 (hex) of `embedded_text`; with the model digest, the key of its vector.
    """

    id: str
    document: str
    title: str
    section: str
    start: int
    end: int
    text: str
    tokens: int
    digest: str
