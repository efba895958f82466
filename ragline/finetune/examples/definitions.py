"""Queries from what a text defines: "X is a ...", an item with its meaning, a default value."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ragline.finetune.examples.passage import Passage, Span
from ragline.finetune.examples.phrasing import bare, is_query, lowered, shortened
from ragline.finetune.examples.scrubbing import key_of, plain

_IS = re.compile(
    r"^(?:(?P<article>A|An|The) )?(?P<term>[\w`][\w`./+-]*(?: [\w`./+-]+){0,4}?)"
    r" (?:is|are) (?:a|an|the|one of|used to|used for|responsible for|designed to|defined as)\b",
)
_NO_TERM = re.compile(
    r"\b(?:this|that|these|those|it|there|here|which|what|who|where|when|if|following|above|below|example|default|note"
    r"|you|we|they|he|she|one|each|all|some|any|goal|purpose|reason|only|other|first|last|second|next|result)\b",
    re.IGNORECASE,
)
_ITEM = re.compile(
    r"^(?:[-*+•]\s+)?(?P<term>`[^`\n]{2,60}`|[\w./ ()-]{2,50}?)\s*(?::| [-–—])\s+(?P<meaning>\S.{24,})", re.DOTALL
)
_LABELS = re.compile(
    r"^(?:note|warning|tip|important|caution|attention|hint|example|for example|release date)$", re.IGNORECASE
)
_DEFAULT = re.compile(
    r"\b(?:defaults? (?:value )?(?:is|to|are)|by default,? (?:it|this|the value) is)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Definition:
    """A query, and what must be cut from its text for it."""

    query: str
    cut: Span | None = None


def definitions(passage: Passage, *, draw: int) -> Iterator[Definition]:
    """Yield the queries of a passage's definitions; those that suppose English only of English documents."""
    for number, (start, end) in enumerate(passage.sentences):
        sentence, turn = passage.text[start:end], draw + number
        if item := _ITEM.match(sentence):
            yield from _of_item(item, start, end)
        elif passage.english:
            yield from _of_statement(plain(sentence), passage.heading_before(start), turn)
        if passage.english and _DEFAULT.search(sentence):
            yield from _of_default(passage, start, turn)


def _of_item(item: re.Match[str], start: int, end: int) -> Iterator[Definition]:
    """Ask for an item by its meaning, which is cut."""
    meaning = shortened(bare(item["meaning"]))
    if not _LABELS.match(item["term"].strip("` ")) and is_query(meaning):
        yield Definition(meaning, (start + item.start("meaning"), end))


def _of_statement(sentence: str, above: Sequence[str], draw: int) -> Iterator[Definition]:
    match = _IS.match(sentence)
    if match and len(sentence.split()) >= 8 and _is_term(match, above):
        term = match["term"].strip("`")
        article = {"A": "a ", "An": "an ", "The": "the "}.get(match["article"] or "", "")
        verb = "are" if " are " in sentence[match.end("term") : match.end()] else "is"
        yield Definition(
            (
                f"what {verb} {article}{_inside(term)}?",
                f"{_inside(term)} definition",
                f"what does {_inside(term)} mean?",
            )[draw % 3]
        )


def _is_term(match: re.Match[str], above: Sequence[str]) -> bool:
    """Tell whether a sentence says what something is: a kind of things, a name, or what its section is about."""
    term = match["term"]
    if _NO_TERM.search(term):
        return False
    named = bool(re.search(r"[a-z_][A-Z_.]|\b[A-Z]{2}| [A-Z]", term))
    return named or match["article"] in {"A", "An"} or any(key_of(term) in key_of(title) for title in above)


def _of_default(passage: Passage, position: int, draw: int) -> Iterator[Definition]:
    above = passage.heading_before(position)
    name = bare(above[-1]) if above else ""
    if re.fullmatch(r"[^\s_.]*[a-z][_.][^\s]+|[a-z][a-z0-9-]+", name):
        where = f" in {lowered(bare(above[0]))}" if len(above) > 1 else ""
        yield Definition((f"default value of {name}{where}", f"what is the default of {name}{where}?")[draw % 2])


def _inside(term: str) -> str:
    return lowered(term) if " " in term else term
