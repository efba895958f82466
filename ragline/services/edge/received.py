"""The request that the running task answers: who asks, and the JSON that came."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from ragline.services.edge.caller import Caller


@dataclass(frozen=True, slots=True)
class Received:
    """One request, as the front door let it in.

    Attributes:
        caller: who asks, until when, and below which span.
        body: the JSON object of a POST, parsed once for everybody; {} for other methods.
    """

    caller: Caller
    body: dict[str, Any] = field(default_factory=dict, repr=False)


current: ContextVar[Received | None] = ContextVar("received", default=None)
"""Set by the front door in each request's own task, which nothing else shares."""


def received() -> Received:
    """Return the request that this task answers.

    Raises:
        LookupError: this is not the task of a request.
    """
    found = current.get()
    if found is None:
        raise LookupError("no request is being answered here")
    return found
