"""A question through all stages: retrieve, wait for the turn, prompt, generate, check."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AsyncExitStack, aclosing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from ragline.answering import Citation
from ragline.services.edge.caller import Caller
from ragline.services.edge.telemetry import count_tokens, observe_first_token, stage
from ragline.services.llm.asked import Asked
from ragline.services.llm.gate import Gate
from ragline.services.llm.plans.plan import Piece, Plan, Prompt, Task, Usage
from ragline.services.llm.retrieved import Document, Retrieved
from ragline.services.llm.showing import Checked, Quoted, Show, Showing, Sifted
from ragline.services.llm.support import NOTHING, quotes_from

_T = TypeVar("_T")

_SHORT = 8_000
"""Characters that are counted, or compared with an answer, in a millisecond or two."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a question came to.

    Attributes:
        answer: the whole text.
        found: whether the documents have an answer, as far as it can be told.
        supported: whether all that the answer claims is carried by its citations.
        citations: where it stands.
        release: of the index that was searched; "" where the caller gave the texts.
        finish: "stop", or "length" where the answer was cut at `max_tokens`.
        usage: tokens.
        timings: milliseconds by stage.
    """

    answer: str
    found: bool
    supported: bool
    citations: tuple[Citation, ...]
    release: str
    finish: str = "stop"
    usage: Usage = field(default_factory=lambda: Usage(0, 0))
    timings: dict[str, Any] = field(default_factory=dict)


class Store(Protocol):
    """Where passages come from."""

    async def find(self, asked: Asked, caller: Caller, *, quotes: bool) -> Retrieved:
        """Return what the documents have on a question."""


class Responder:
    """Answers questions with a plan.

    Args:
        plan: makes the text.
        store: has the passages.
        gate: limits how much is done at once.
        show: "supported" to show only sentences that passages carry.

    Example:
        >>> async for part in responder.respond(asked, caller):  # doctest: +SKIP
        ...     print(part if isinstance(part, str) else part.citations)
    """

    def __init__(self, plan: Plan, store: Store, gate: Gate, *, show: Show = "all") -> None:
        self.plan = plan
        self._store = store
        self._gate = gate
        self._show = show

    async def answer(self, asked: Asked, caller: Caller) -> Outcome:
        """Return the whole answer.

        Raises:
            ServiceError: a stage failed, or the service is busy.
        """
        async with aclosing(self.respond(asked, caller, whole=True)) as parts:
            async for part in parts:
                if isinstance(part, Outcome):
                    return part
        raise AssertionError("every answer ends with its outcome")

    async def respond(
        self, asked: Asked, caller: Caller, *, whole: bool = False
    ) -> AsyncGenerator[str | Outcome, None]:
        """Yield the text as it comes, and at the end what it is worth; closing it cancels everything.

        Args:
            asked: the question.
            caller: who asks.
            whole: whether the text is wanted only when it is complete; then it may come at once.

        Raises:
            ServiceError: a stage failed, or the service is busy.
        """
        clock = _Clock()
        with self._gate.entered():
            retrieved = await self._retrieve(asked, caller, clock)
            if not retrieved.found:
                yield NOTHING
                yield Outcome(NOTHING, False, False, (), retrieved.release, timings=clock.total())
                return
            answer = _Answer(Task(asked.question, asked.history, retrieved, asked.sampling, whole), clock)
            async with aclosing(self._text(answer, caller)) as texts:
                async for text in texts:
                    answer.text += text
                    yield text
            yield answer.outcome()

    async def _retrieve(self, asked: Asked, caller: Caller, clock: "_Clock") -> Retrieved:
        quotes = self.plan.needs_quotes or self._show == "supported"
        if asked.context is not None:
            retrieved = Retrieved.given(asked.context)
            if quotes:  # texts may be as long as a request
                quoted = await asyncio.to_thread(quotes_from, asked.question, retrieved.documents)
                retrieved = replace(retrieved, quotes=quoted)
        else:
            if self.plan.quoted:  # quotes come from passages of their own: there is no use for others
                asked = replace(asked, num_docs=1)
            with clock.stage("retrieve", caller) as inner:
                retrieved = await self._store.find(asked, inner, quotes=quotes)
            clock.add("vectorstore", dict(retrieved.timings))
        useful = retrieved.quotes if self.plan.quoted else retrieved.documents
        return replace(retrieved, found=retrieved.found and bool(useful))

    async def _text(self, answer: "_Answer", caller: Caller) -> AsyncGenerator[str, None]:
        """Yield the text as it is to be shown: the model's, and what is to be said about it."""
        async with AsyncExitStack() as turn:
            with answer.clock.stage("queue", caller):
                await turn.enter_async_context(self._gate.turn())
            with answer.clock.stage("prompt", caller):
                prompt = await self._prepare(answer.task)
            with answer.clock.stage("generate", caller) as inner:
                async with aclosing(self.plan.answer(prompt, inner)) as pieces:
                    async for piece in pieces:
                        prompt = piece.prompt or prompt
                        answer.note(piece)
                        answer.showing = answer.showing or self._showing(prompt)
                        for text in answer.showing.add(piece.text):
                            yield text
        answer.count(prompt)
        if self.plan.quoted:
            return
        with answer.clock.stage("support", caller):
            after = await _worked(answer.task, answer.after)
        for text in after:
            yield text

    async def _prepare(self, task: Task) -> Prompt:
        if self.plan.quoted:
            return self.plan.prepare(task)
        return await _worked(task, lambda: self.plan.prepare(task))

    def _showing(self, prompt: Prompt) -> Showing:
        retrieved = prompt.task.retrieved
        if self.plan.quoted:
            return Quoted(retrieved.quotes)
        documents = tuple(_shown(retrieved, passage.document, passage.text) for passage in prompt.passages)
        if self._show == "supported":
            return Sifted(prompt.task.question, documents, retrieved.quotes)
        return Checked(prompt.task.question, documents)


async def _worked(task: Task, work: Callable[[], _T]) -> _T:
    """Do work on the passages' texts; in a thread where it takes longer than waking one."""
    if sum(len(document.text) for document in task.retrieved.documents) <= _SHORT:
        return work()
    return await asyncio.to_thread(work)


def _shown(retrieved: Retrieved, index: int, text: str) -> Document:
    """Return a document with no more of its text than the model got: that alone can carry the answer."""
    return replace(retrieved.documents[index], text=text)


class _Answer:
    """One answer while it is made."""

    def __init__(self, task: Task, clock: "_Clock") -> None:
        self.task = task
        self.clock = clock
        self.text = ""
        self.finish = "stop"
        self.usage: Usage | None = None
        self.showing: Showing | None = None
        self._began = 0.0
        self._waiting = True

    def note(self, piece: Piece) -> None:
        """Remember what comes with a piece of text."""
        self.finish = piece.finish or self.finish
        self.usage = piece.usage or self.usage
        if piece.text and self._waiting:
            self._waiting = False
            observe_first_token(self.clock.since_stage("first_token"))

    def after(self) -> list[str]:
        """Return what is to be shown after the model's text."""
        assert self.showing is not None
        return list(self.showing.end())

    def count(self, prompt: Prompt) -> None:
        """Count the tokens."""
        self.usage = self.usage or Usage(prompt.tokens, 0)
        count_tokens("prompt", self.usage.prompt_tokens)
        count_tokens("completion", self.usage.completion_tokens)

    def outcome(self) -> Outcome:
        """Return what it came to."""
        assert self.showing is not None
        assert self.usage is not None
        return Outcome(
            answer=self.text,
            found=self.showing.found,
            supported=self.showing.supported,
            citations=self.showing.citations,
            release=self.task.retrieved.release,
            finish=self.finish,
            usage=self.usage,
            timings=self.clock.total(),
        )


class _Clock:
    """Milliseconds of each stage, for the caller; the same go to the metrics."""

    def __init__(self) -> None:
        self._began = self._stage_began = time.perf_counter()
        self._timings: dict[str, Any] = {}

    @contextmanager
    def stage(self, name: str, caller: Caller) -> Iterator[Caller]:
        """Measure a stage."""
        began = self._stage_began = time.perf_counter()
        with stage(name, caller) as inner:
            yield inner
        self.add(name, _milliseconds(began))

    def since_stage(self, name: str) -> float:
        """Note the time since the last stage began, and return it in seconds."""
        self.add(name, _milliseconds(self._stage_began))
        return time.perf_counter() - self._stage_began

    def add(self, name: str, value: Any) -> None:
        """Note something; nothing empty."""
        if value != {}:
            self._timings[name] = value

    def total(self) -> dict[str, Any]:
        """Return all that was measured, and the whole."""
        return self._timings | {"total": _milliseconds(self._began)}


def _milliseconds(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 3)
