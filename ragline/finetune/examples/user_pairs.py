"""A user's own pairs: JSON Lines of queries with the texts, or the documents, that answer them."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from ragline.documents import Chunk
from ragline.errors import InputError
from ragline.object_store import fetched_file
from ragline.tables import read_chunks

_TOLD = 10
"""Bad lines named in one error."""
_FORM = '{"query": ..., "positive": text} or {"query": ..., "document": id, "section": heading}'


@dataclass(frozen=True, slots=True)
class UserPair:
    """A query with the text that answers it, or with a document (and a section of it) that does.

    Attributes:
        query: what is asked.
        positive: the text; "" when a document is named.
        document: its id; "" when a text is given.
        section: a heading of the document, or its path; "" for any.
        line: in the file.
    """

    query: str
    positive: str
    document: str
    section: str
    line: int


def fetch_user_pairs(uri: str) -> list[UserPair]:
    """Read pairs from a file or an s3:// object.

    Raises:
        InputError: there is not one file there, or `read_user_pairs` refuses it.
        StoreError: the store cannot be used.
    """
    with fetched_file(uri, "pairs") as path:
        return read_user_pairs(path, uri)


def read_user_pairs(path: Path, name: str) -> list[UserPair]:
    """Read a JSON Lines file of pairs; blank lines are passed over.

    Args:
        path: the file.
        name: what messages call it.

    Raises:
        InputError: lines are wrong, each of which it names, or there is none.
    """
    pairs, wrong = list[UserPair](), list[str]()
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    pairs.append(_pair(line, number))
                except ValueError as exc:
                    wrong.append(f"{name}, line {number}: {exc}")
    _raise(wrong)
    if not pairs:
        raise InputError(f"pairs {name!r} hold no pair; each line should be {_FORM}")
    return pairs


def answering_chunks(pairs: Sequence[UserPair], chunks: Path, name: str) -> dict[str, list[UserPair]]:
    """Find the chunk that answers each pair that names a document: the one with most of the query's words.

    Args:
        pairs: all pairs.
        chunks: Parquet of all chunks.
        name: of the pairs' file, for messages.

    Returns:
        The pairs by id of their chunk.

    Raises:
        InputError: a document or section does not exist; all are named.
    """
    wanted = defaultdict[str, list[UserPair]](list)
    for pair in pairs:
        if pair.document:
            wanted[pair.document].append(pair)
    answering, wrong = defaultdict[str, list[UserPair]](list), list[tuple[int, str]]()
    rows = (chunk for chunk in read_chunks(chunks) if chunk.document in wanted) if wanted else ()
    for document, group in groupby(rows, key=lambda chunk: chunk.document):
        there = list(group)
        for pair in wanted.pop(document, []):
            if chunk := _best(pair, there):
                answering[chunk.id].append(pair)
            else:
                sections = "; ".join(dict.fromkeys(chunk.section for chunk in there if chunk.section))[:300] or "none"
                wrong.append((pair.line, f"{document!r} has no section {pair.section!r}; it has: {sections}"))
    wrong += [
        (pair.line, f"there is no document {pair.document!r}; ids are paths below the documents URI")
        for missing in wanted.values()
        for pair in missing
    ]
    _raise(f"{name}, line {line}: {what}" for line, what in sorted(wrong))
    return dict(answering)


def _best(pair: UserPair, chunks: Sequence[Chunk]) -> Chunk | None:
    section = _plain(pair.section)
    tests: tuple[Callable[[Chunk], bool], ...] = (
        lambda chunk: not section or _plain(chunk.section).endswith(section),
        lambda chunk: section in _plain(chunk.section),
        lambda chunk: any(_plain(line.lstrip("# ")) == section for line in chunk.text.splitlines()),
    )
    for test in tests:
        if within := [chunk for chunk in chunks if test(chunk)]:
            words = _words(pair.query)
            return max(within, key=lambda chunk: (len(words & _words(f"{chunk.section} {chunk.text}")), -chunk.start))
    return None


def _plain(text: str) -> str:
    return " ".join(text.replace("`", "").casefold().split())


def _words(text: str) -> set[str]:
    return set(re.findall(r"[\u3040-\u9fff]|\w+", text.casefold()))


def _pair(line: bytes, number: int) -> UserPair:
    """Read a line; a ValueError says what is wrong with it."""
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except ValueError as exc:
        raise ValueError(f"not JSON in UTF-8 ({exc}): {line[:100]!r}") from exc
    if not isinstance(row, dict):
        raise ValueError(f"expected {_FORM}, found {line[:100]!r}")  # noqa: TRY004 - the caller names the line
    query, text, document = _text(row, "query"), _text(row, "positive"), _text(row, "document")
    if not query:
        raise ValueError(f'"query" is missing or empty; expected {_FORM}')
    if bool(text) == bool(document):
        both = "both are given" if text else "neither is given"
        raise ValueError(f'a pair needs "positive" or "document", {both}; expected {_FORM}')
    return UserPair(query, text, document, _text(row, "section"), number)


def _text(row: dict[str, Any], key: str) -> str:
    value = row.get(key, "")
    if not isinstance(value, str):
        raise ValueError(f'"{key}" should be a text; it is {str(value)[:100]!r}')  # noqa: TRY004 - as above
    return value.strip()


def _raise(problems: Iterable[str]) -> None:
    wrong: Iterator[str] = iter(problems)
    told = list(islice(wrong, _TOLD))
    if told:
        more = sum(1 for _ in wrong)
        raise InputError("\n".join([*told, *([f"and {more} more lines"] if more else [])]))
