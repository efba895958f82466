"""A batch of searches, done together: one embedding for each caller, one search for each filter.

What is sent to the embedder on behalf of a caller, with their Authorization, holds their own texts only.
"""

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from opentelemetry.trace import SpanKind

from ragline.answering import Answerer, Citation, Retrieval
from ragline.embedding.text_embedder import TextEmbedder
from ragline.embedding.triton_client import TritonEmbedder
from ragline.errors import InputError, ServiceError
from ragline.live import LiveIndex
from ragline.retrieval import Passage
from ragline.services.edge.caller import Caller
from ragline.services.edge.telemetry import span, stage
from ragline.services.vectorstore.query import Query
from ragline.services.vectorstore.search_queue import Search

_LONGEST_MESSAGE = 500  # that of a bad filter repeats all of it


@dataclass(slots=True, eq=False)
class _Asked:
    """One question of a batch, and what has come of it so far."""

    search: Search
    position: int
    query: Query
    vector: np.ndarray = field(default_factory=lambda: np.empty(0))
    retrieval: Retrieval | None = None
    citations: Sequence[Citation] = ()
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def wants_quotes(self) -> bool:
        """Whether a question of the same request is to be answered with quotes."""
        return any(query.quotes for query in self.search.queries)


class Searcher:
    """Works on batches for a `SearchQueue`.

    Args:
        live: where the current release comes from. All of a batch is of one release.
    """

    def __init__(self, live: LiveIndex) -> None:
        self._live = live

    def __call__(self, batch: Sequence[Search]) -> None:
        """Settle every search of a batch; one that fails leaves the others alone."""
        with self._live.answerer() as answerer:
            asked = [_Asked(search, *each) for search in batch for each in enumerate(search.queries)]
            asked = _in_groups("embed", _embed, answerer, asked, _authorization)
            asked = _in_groups("search", _search, answerer, asked, lambda each: each.query.group)
            _settle([each for each in asked if not each.wants_quotes], answerer)
            asked = [each for each in asked if each.wants_quotes]
            asked = _in_groups("quote", _quote, answerer, asked, _authorization)
            _settle(asked, answerer)


def _embed(answerer: Answerer, group: Sequence[_Asked], caller: Caller) -> None:
    vectors = _vectors(answerer.embedder, [each.query.question for each in group], caller)
    for each, vector in zip(group, vectors, strict=True):
        each.vector = vector


def _search(answerer: Answerer, group: Sequence[_Asked], _: Caller) -> None:
    query = group[0].query  # mode and filter are those of all
    found = answerer.retrieve_all(
        [each.query.question for each in group],
        np.stack([each.vector for each in group]),
        max(each.query.documents for each in group),
        mode=query.mode,
        where=query.where,
    )
    for each, retrieval in zip(group, found, strict=True):
        each.retrieval = retrieval


def _quote(answerer: Answerer, group: Sequence[_Asked], caller: Caller) -> None:
    asked = [each for each in group if each.query.quotes]
    retrievals = [each.retrieval for each in asked if each.retrieval]
    citations = answerer.cite_all(retrievals, embed=lambda texts: _vectors(answerer.embedder, texts, caller))
    for each, found in zip(asked, citations, strict=True):
        each.citations = found


def _vectors(embedder: TextEmbedder, texts: Sequence[str], caller: Caller) -> np.ndarray:
    if isinstance(embedder, TritonEmbedder):
        return embedder.embed(texts, headers=caller.headers(), seconds=caller.remaining())
    return embedder.embed(texts)  # in this process


_Group = TypeVar("_Group", bound=Hashable)
_Stage = Callable[[Answerer, Sequence[_Asked], Caller], None]


def _authorization(asked: _Asked) -> str:
    return asked.search.caller.authorization


def _in_groups(
    name: str, do: _Stage, answerer: Answerer, asked: Sequence[_Asked], key: Callable[[_Asked], _Group]
) -> list[_Asked]:
    """Do one stage for all, group by group; return those whose search has not failed."""
    groups: dict[_Group, list[_Asked]] = {}
    for each in asked:
        if time.monotonic() < each.search.caller.deadline:
            groups.setdefault(key(each), []).append(each)
        else:
            each.search.fail(ServiceError("the time that the caller allowed is over", 504))
    for group in groups.values():
        _together(name, do, answerer, group)
    return [each for each in asked if not each.search.predictions.done()]


def _together(name: str, do: _Stage, answerer: Answerer, group: Sequence[_Asked]) -> None:
    begun = time.perf_counter()
    try:
        with _stage(name, [each.search.caller for each in group]) as caller:
            do(answerer, group, caller)
    except InputError as exc:
        if len(group) == 1:
            group[0].search.fail(InputError(f"instances[{group[0].position}]: {str(exc)[:_LONGEST_MESSAGE]}"))
        for each in group if len(group) > 1 else ():  # whose mistake is it?
            _together(name, do, answerer, [each])
    except Exception as exc:  # noqa: BLE001  the failure of these searches only: Chroma and tantivy have errors of their own
        for each in group:
            each.search.fail(exc)
    seconds = time.perf_counter() - begun
    for each in group:
        each.timings[name] = seconds


@contextmanager
def _stage(name: str, callers: Sequence[Caller]) -> Iterator[Caller]:
    """Measure a stage, and show it in the trace of each caller.

    What it asks of others goes out under the request id and the trace of the first one, and until the last deadline:
    who allowed less time is told so at the end.
    """
    others = {caller.request_id: caller for caller in callers}
    first = replace(callers[0], deadline=max(caller.deadline for caller in callers))
    with ExitStack() as spans:
        for caller in others.values():
            if caller.request_id != first.request_id:
                spans.enter_context(span(name, caller, SpanKind.INTERNAL))
        yield spans.enter_context(stage(name, first))


def _settle(asked: Iterable[_Asked], answerer: Answerer) -> None:
    predictions: dict[Search, list[dict[str, Any]]] = {}
    for each in asked:
        predictions.setdefault(each.search, []).append(_prediction(each, answerer))
    for search, found in predictions.items():
        search.predictions.set_result(found)


def _prediction(asked: _Asked, answerer: Answerer) -> dict[str, Any]:
    retrieval = asked.retrieval
    if retrieval is None:
        raise AssertionError  # the stage before would have failed
    timings = {"queue": asked.search.waited, "embed": 0.0, "search": 0.0, "quote": 0.0} | asked.timings
    return {
        "found": retrieval.found,
        "relevance": retrieval.relevance,
        "documents": [_document(passage) for passage in retrieval.passages[: asked.query.documents]],
        "quotes": [
            {"source": each.source, "section": each.section, "quote": each.quote, "score": each.score}
            for each in asked.citations
        ],
        "release": answerer.release,
        "model": answerer.embedder.digest,
        "timings": {name: round(seconds * 1000, 3) for name, seconds in timings.items()},
    }


def _document(passage: Passage) -> dict[str, Any]:
    return {
        "id": passage.id,
        "text": passage.text,
        "source": passage.source,
        "title": passage.title,
        "section": passage.section,
        "start": passage.start,
        "end": passage.end,
        "score": passage.score,
        "similarity": passage.similarity,
    }
