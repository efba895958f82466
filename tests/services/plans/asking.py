"""Tasks, and the whole answer of a plan to one."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ragline.services.edge.caller import Caller
from ragline.services.llm.plans.plan import Message, Piece, Plan, Prompt, Sampling, Task, Usage
from ragline.services.llm.retrieved import Document, Retrieved

T = TypeVar("T")

CALLER = {"authorization": "Bearer of-the-caller", "x-request-id": "r1"}
KEPT = "Releases are kept for thirty days. The pointer's release is kept for ever."


def documents(*texts: str) -> Retrieved:
    """Return documents as the vector store finds them."""
    found = [
        Document(f"id{number}", text, f"{number}.md", f"Page {number}", "Section")
        for number, text in enumerate(texts, start=1)
    ]
    return Retrieved(True, tuple(found), release="r")


def task(
    question: str = "How long are releases kept?", *texts: str, history: tuple[Message, ...] = (), **how: Any
) -> Task:
    """Return a task over documents; `how` is the sampling."""
    return Task(question, history, documents(*(texts or (KEPT,))), Sampling(**{"max_tokens": 64, **how}))


@dataclass
class Answered:
    """A whole answer."""

    pieces: list[Piece] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text."""
        return "".join(piece.text for piece in self.pieces)

    @property
    def parts(self) -> list[str]:
        """The text as it came."""
        return [piece.text for piece in self.pieces if piece.text]

    @property
    def finish(self) -> list[str]:
        """The reasons why it ended: one, on the last piece."""
        return [piece.finish for piece in self.pieces if piece.finish]

    @property
    def usage(self) -> Usage | None:
        """The numbers of tokens."""
        return next((piece.usage for piece in self.pieces if piece.usage), None)

    @property
    def prompts(self) -> list[Prompt]:
        """Prompts that the plan put in the place of the first one."""
        return [piece.prompt for piece in self.pieces if piece.prompt]


def caller(**headers: str) -> Caller:
    """Return a caller with a token and some time."""
    return Caller.from_headers(CALLER | headers, longest=25.0)


async def answer(plan: Plan, asked: Task, who: Caller | None = None) -> Answered:
    """Return a plan's whole answer."""
    found = Answered()
    async with aclosing(plan.answer(plan.prepare(asked), who or caller())) as pieces:
        async for piece in pieces:
            found.pieces.append(piece)
    return found


def run(plan: Plan, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run what is to be done with a plan in a loop of its own, and close the plan."""

    async def all_of_it() -> T:
        try:
            return await asyncio.wait_for(work(), 30)
        finally:
            await plan.close()

    return asyncio.run(all_of_it())


def whole(plan: Plan, asked: Task | None = None, who: Caller | None = None) -> Answered:
    """Return a plan's whole answer, from a loop of its own; the plan is checked first, and closed."""

    async def checked() -> Answered:
        await plan.check()
        return await answer(plan, asked or task(), who)

    return run(plan, checked)
