"""Queries from titles and headings; one that says too little by itself gets what stands above it."""

import re
import zlib
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

import numpy as np

from ragline.documents import Document
from ragline.finetune.examples.phrasing import bare, begins_with_verb, is_query, lowered
from ragline.finetune.examples.scrubbing import key_of

_GENERIC = frozenset(
    name.strip()
    for name in """about|abstract|advanced|aperçu|api|api reference|appendix|arguments|background|basic usage|basics|
    before you begin|before you get started|before you start|best practices|bug fixes|caveats|changelog|cli|
    concepts|conclusion|configuration|considerations|contents|contributing|definition|demo|deprecated features|
    description|details|documentation|einleitung|example|example usage|examples|faq|features|feedback|fixes|
    further information|further reading|general|getting help|getting started|goals|guide|history|home|how it works|
    how to use|important|improvements|index|info|inhalt|install|installation|installing|introducción|introduction|
    key features|known issues|learn more|license|limitations|links|main|methods|more information|motivation|
    new features|next step|next steps|note|notes|objective|objectives|options|other|output|outputs|overview|
    parameters|preface|preliminaries|prerequisites|procedure|properties|prérequis|purpose|quick start|quickstart|
    readme|reference|references|related|release notes|remarks|removed features|requirements|resources|result|
    results|resumen|résumé|sample|samples|scope|security|see also|settings|setup|setup steps|start|steps|summary|
    support|syntax|table of contents|testing|tips|topics|troubleshooting|tutorial|tutorials|uninstall|usage|
    use cases|user guide|user guides|voraussetzungen|warning|what is next|what next|what s next|whats next|
    zusammenfassung|übersicht""".split("|")
)
_AFTERWARDS = re.compile(r"(what ?s )?(next|see also|further reading|learn more|related|references|contributing)\b")
_VERSION = re.compile(r"^\W*v(?:ersion)?[ .]?\d|\d+\.\d+|^\W*\d{4}\b", re.IGNORECASE)
_SKETCH = 1 << 20
_OFTEN = 3
"""A heading that so many sections have says too little by itself."""


class HeadingCounts:
    """How often each heading occurs in a corpus, in 4 MB whatever its size: rare collisions count together."""

    def __init__(self) -> None:
        self._counts = np.zeros(_SKETCH, dtype=np.uint32)

    def count(self, document: Document) -> None:
        """Take in a document's title and headings."""
        for title in {document.content.title, *(heading.title for heading in document.content.headings)}:
            self._counts[self._place(title)] += 1

    def is_generic(self, title: str) -> bool:
        """Tell whether a title alone does not tell what its section is about."""
        key = key_of(bare(title))
        return key in _GENERIC or len(key) < 3 or bool(self._counts[self._place(title)] >= _OFTEN)

    def _place(self, title: str) -> int:
        return zlib.crc32(key_of(bare(title)).encode("utf-8", "surrogatepass")) % _SKETCH


def heading_query(title: str, above: Sequence[str], counts: HeadingCounts, *, english: bool, draw: int) -> str:
    """Return what someone looking for a section would type; "" when its heading does not tell.

    Args:
        title: of the section.
        above: the titles above it, the document's first.
        counts: which titles are generic.
        english: whether English phrasings may be made of it.
        draw: chooses among the phrasings.
    """
    own = bare(title)
    if not own or _VERSION.search(own) or _AFTERWARDS.match(key_of(own)):
        return ""
    specific = [
        bare(part) for part in above if bare(part) and not counts.is_generic(part) and not _VERSION.search(part)
    ]
    named = _nearest(specific, own)
    if not english:
        return _checked(own if not counts.is_generic(title) and len(own.split()) > 1 else _joined(named, own))
    if _is_identifier(own):
        return _of_identifier(own, named, draw) if named else ""
    if begins_with_verb(own) and not counts.is_generic(title):
        return _of_task(own, named, draw)
    if counts.is_generic(title) or len(own.split()) < 2:
        return _of_part(own, named, draw) if named else ""
    return _checked(own if draw % 3 else _joined(named, own))


def title_query(document: str, title: str, counts: HeadingCounts, *, english: bool, draw: int) -> str:
    """Return what someone looking for a document would type; a generic title gets the folders' names in front."""
    folders = [re.sub(r"[-_]+", " ", part) for part in PurePosixPath(document.partition("#")[0]).parts[:-1]]
    topic = [part for part in folders if key_of(part) not in key_of(title) and not _is_common(part)][-2:]
    return heading_query(title, topic, counts, english=english, draw=draw)


def _is_common(folder: str) -> bool:
    return key_of(folder) in _GENERIC or folder.lower() in {"docs", "doc", "en", "content", "src", "pages", "www"}


def _nearest(above: Iterable[str], own: str) -> str:
    """Return the lowest title above that is not a part of this one."""
    return next((part for part in reversed(list(above)) if key_of(part) not in key_of(own)), "")


def _is_identifier(text: str) -> bool:
    return len(text.split()) == 1 and bool(re.search(r"[_./:()]|[a-z][A-Z]|^[a-z]+$", text))


def _of_identifier(name: str, named: str, draw: int) -> str:
    where = lowered(named)
    return (
        f"what does {name} do in {where}?",
        f"{named} {name}",
        f"what is {name} in {where}",
        f"{name} ({where})",
    )[draw % 4]


def _of_task(task: str, named: str, draw: int) -> str:
    forms = [f"how to {lowered(task)}", f"how do I {lowered(task)}?", task, f"how can I {lowered(task)}"]
    where = "" if not named or draw % 2 or begins_with_verb(named) else f" ({named})"
    form = forms[draw // 2 % 4]
    return f"{form}{where}" if len(form.split()) < 6 else form


def _of_part(part: str, named: str, draw: int) -> str:
    forms = (
        f"{named} {lowered(part)}",
        f"{named}: {part}",
        f"{lowered(part)} of {lowered(named)}",
        _joined(named, part),
    )
    if begins_with_verb(named):
        forms = (f"{named}: {part}", f"{part} ({lowered(named)})", f"{named} - {lowered(part)}", _joined(named, part))
    return forms[draw % 4]


def _joined(named: str, own: str) -> str:
    return f"{named}: {own}" if named else own


def _checked(query: str) -> str:
    return query if is_query(query) or len(key_of(query).split()) > 1 else ""
