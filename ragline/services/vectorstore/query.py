"""One instance of a request: what is searched for, and how."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ragline.answering import check_question
from ragline.errors import InputError
from ragline.retrieval import MODES, Mode
from ragline.vector_store import Where

MOST_DOCUMENTS = 50
DOCUMENTS = 4

_CONDITIONS = 200
_VALUES = 5000
"""Of a filter: Chroma makes one SQL expression of it, and SQLite refuses what is too deep or has too many values."""

_FIELDS = ("input", "num_docs", "filter", "mode", "quotes")


@dataclass(frozen=True, slots=True)
class Query:
    """A question, and what is wanted for it.

    Attributes:
        question: without white space around it.
        documents: at most so many passages.
        where: filter over the chunks' metadata, in Chroma's language; None for all.
        mode: which ranking.
        quotes: whether the sentences that answer it are wanted as well.
    """

    question: str
    documents: int = DOCUMENTS
    where: Where | None = None
    mode: Mode = "hybrid"
    quotes: bool = False

    @classmethod
    def of(cls, instance: object) -> Self:
        """Read an instance of a KServe v1 request; a field that is null counts as left out.

        Raises:
            InputError: it is malformed; the message says which field.
        """
        if not isinstance(instance, Mapping):
            raise InputError(f'expected an object, as in {{"input": "How do I start?"}}, not {_shown(instance)}')
        if unknown := sorted(instance.keys() - set(_FIELDS)):
            raise InputError(f"unknown field {unknown[0][:40]!r}; known are {', '.join(_FIELDS)}")
        given = {key: value for key, value in instance.items() if value is not None}
        return cls(
            question=_question(given),
            documents=_documents(given.get("num_docs", DOCUMENTS)),
            where=_where(given.get("filter")),
            mode=_mode(given.get("mode", "hybrid")),
            quotes=_flag(given.get("quotes", False)),
        )

    @property
    def group(self) -> tuple[Mode, str]:
        """What queries have in common that can be searched for at once."""
        return self.mode, json.dumps(self.where, sort_keys=True)


def _question(given: Mapping[str, Any]) -> str:
    question = given.get("input")
    if not isinstance(question, str):
        raise InputError(f"input: expected the question as a text, not {_shown(question)}")
    try:
        question.encode()
    except UnicodeEncodeError as exc:
        raise InputError(f"input: half a surrogate pair at character {exc.start}: no text in UTF-8 holds one") from exc
    return check_question(question)


def _documents(value: object) -> int:
    if type(value) is not int or not 1 <= value <= MOST_DOCUMENTS:
        raise InputError(f"num_docs: expected a whole number from 1 to {MOST_DOCUMENTS}, not {_shown(value)}")
    return value


def _where(value: object) -> Where | None:
    if value is None or value == {}:
        return None
    if not isinstance(value, Mapping):
        raise InputError(f'filter: expected an object, as in {{"source": "faq.md"}}, not {_shown(value)}')
    conditions, values = _size(value)
    if conditions > _CONDITIONS or values > _VALUES:
        raise InputError(
            f"filter: {conditions} conditions with {values} values; at most {_CONDITIONS} with {_VALUES} are taken"
        )
    return value


def _size(where: Where) -> tuple[int, int]:
    """Return how many conditions and how many values a filter has, however deep it is."""
    conditions, values = 0, 0
    left: list[object] = [where]
    while left:
        part = left.pop()
        if isinstance(part, Mapping):
            conditions += len(part)
            left += part.values()
        elif isinstance(part, list):
            left += part
        else:
            values += 1
    return conditions, values


def _mode(value: object) -> Mode:
    for mode in MODES:
        if value == mode:
            return mode
    raise InputError(f"mode: expected one of {', '.join(MODES)}, not {_shown(value)}")


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"quotes: expected true or false, not {_shown(value)}")
    return value


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
