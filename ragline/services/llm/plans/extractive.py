"""Quotes instead of a language model: every word of an answer stands in a document."""

from collections.abc import AsyncGenerator

from ragline.services.edge.caller import Caller
from ragline.services.llm.plans.plan import Piece, PlanSettings, Prompt, Task
from ragline.services.llm.showing import quoted_text
from ragline.services.llm.support import NOTHING


class Extractive:
    """The best quotes that the vector store found, with their numbers."""

    name = "extractive"
    needs_quotes = True
    quoted = True

    async def check(self) -> None:
        """Do nothing: there is no backend."""

    def prepare(self, task: Task) -> Prompt:
        """Return a prompt without anything in it: no model is asked."""
        return Prompt(task)

    async def answer(self, prompt: Prompt, caller: Caller) -> AsyncGenerator[Piece, None]:
        """Yield the quotes: the same text that `ragline.answering.Answerer` makes of them."""
        caller.remaining()
        yield Piece(quoted_text(prompt.task.retrieved.quotes) or NOTHING, "stop")

    async def close(self) -> None:
        """Do nothing: there is no backend."""


def open_plan(settings: PlanSettings) -> Extractive:
    """Return the plan; it has no settings."""
    del settings
    return Extractive()
