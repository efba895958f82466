"""A second attempt where a backend finds the prompt too long: once, with half of the passages."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from ragline.errors import ServiceError
from ragline.services.llm.plans.plan import Piece, Prompt
from ragline.services.llm.prompt import PromptBuilder

_log = logging.getLogger(__name__)

TOO_LONG = 413
"""The status by which an attempt says so."""


async def answered(
    attempt: Callable[[Prompt], AsyncGenerator[Piece, None]], prompt: Prompt, given: Prompt, builder: PromptBuilder
) -> AsyncGenerator[Piece, None]:
    """Yield the answer of an attempt, or of a second one with a shorter prompt.

    Args:
        attempt: asks the backend; nothing of the answer has come when it says that the prompt is too long.
        prompt: that is tried first.
        given: that the caller knows of; another one is told on the first piece.
        builder: makes a shorter one.

    Raises:
        ServiceError: what the second attempt raised; of the first one, everything but "too long".
    """
    begun = False
    try:
        async with aclosing(_told(attempt(prompt), prompt, given)) as pieces:
            async for piece in pieces:
                begun = True
                yield piece
    except ServiceError as failure:
        if failure.status != TOO_LONG or begun:
            raise
        _log.info("the model's server finds the prompt too long (%d tokens as counted here)", prompt.tokens)
        shorter = builder.shorter(prompt)
    else:
        return
    async with aclosing(_told(attempt(shorter), shorter, given)) as pieces:
        async for piece in pieces:
            yield piece


async def _told(pieces: AsyncGenerator[Piece, None], prompt: Prompt, given: Prompt) -> AsyncGenerator[Piece, None]:
    told = prompt is given
    async with aclosing(pieces):
        async for piece in pieces:
            if not told:
                yield Piece(prompt=prompt)
                told = True
            yield piece
