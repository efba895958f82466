"""What the two plans with a Triton server have in common."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import aclosing

from ragline.errors import ServiceError, SettingError
from ragline.services.edge.caller import Caller
from ragline.services.llm.chat_template import ChatModel
from ragline.services.llm.plans.plan import Piece, PlanSettings, Prompt, Sampling, Task
from ragline.services.llm.prompt import PromptBuilder
from ragline.services.llm.refit import answered
from ragline.services.llm.triton_generate import Description, TritonModel

CONTEXT_TOKENS = 4096
"""Where the settings do not tell: Triton does not."""


class TritonPlan(ABC):
    """A plan with a model of a Triton server, which is given text in the model's own chat template.

    Args:
        name: of the plan.
        settings: where the server is, and the folder of the tokenizer.
        model: that is asked where the settings name none.
        longest_answer: tokens, where the settings do not tell; 0 for half of the context.
    """

    needs_quotes = False
    quoted = False

    def __init__(self, name: str, settings: PlanSettings, model: str, *, longest_answer: int = 0) -> None:
        if settings.tokenizer is None:
            raise SettingError(f"the plan `{name}` needs --tokenizer: the folder of the model's tokenizer")
        self.name = name
        self.chat = ChatModel(settings.tokenizer)
        self._builder = PromptBuilder(
            settings.context_tokens or CONTEXT_TOKENS,
            self.chat,
            longest_answer=settings.longest_answer or longest_answer,
        )
        self.triton = TritonModel(settings, settings.model or model)

    async def check(self) -> None:
        """Find out whether the model and all its parts are loaded.

        Raises:
            ServiceError: they are not.
        """
        try:
            await self.triton.look()
        except ServiceError as failure:
            if failure.status not in {401, 403}:  # a server that asks who is calling is there
                raise

    def prepare(self, task: Task) -> Prompt:
        """Return the prompt in the model's own chat template."""
        return self._builder.build(task)

    async def answer(self, prompt: Prompt, caller: Caller) -> AsyncGenerator[Piece, None]:
        """Yield the answer as the model writes it."""
        known = await self.triton.description(caller)
        attempts = answered(lambda each: self.asked(each, known, caller), prompt, prompt, self._builder)
        async with aclosing(attempts) as pieces:
            async for piece in pieces:
                yield piece

    async def close(self) -> None:
        """Close connections."""
        await self.triton.close()

    @abstractmethod
    def asked(self, prompt: Prompt, known: Description, caller: Caller) -> AsyncGenerator[Piece, None]:
        """Yield the answer to one prompt.

        Raises:
            ServiceError: it failed; 413 where the prompt is too long.
        """


def drawn(sampling: Sampling) -> dict[str, float]:
    """Return how tokens are drawn: the engine knows no temperature of 0, and is left no default that is not ours."""
    if sampling.temperature <= 0 or sampling.top_k == 1:
        return {"top_k": 1}
    return {"temperature": sampling.temperature, "top_k": sampling.top_k, "top_p": sampling.top_p}
