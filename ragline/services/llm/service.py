"""The service: questions by KServe's v1 API, readiness, and what runs beside the requests."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from ragline.errors import RaglineError, ServiceError
from ragline.services.edge.caller import Caller
from ragline.services.edge.failures import RemoteError, message_of, status_of
from ragline.services.llm.asked import Asked, read_instance
from ragline.services.llm.chat import usage_of
from ragline.services.llm.responder import Outcome, Responder
from ragline.services.llm.store_client import StoreClient

_log = logging.getLogger(__name__)

_SECONDS_READY = 2.0
_SECONDS_NOT_READY = 0.5
_LONGEST_LOOK = 5.0


class LlmService:
    """Answers questions; ready while its plan's backend and the vector store are.

    Args:
        responder: answers one question.
        store: of the responder; closed with the service.
        model: that the plan's backend runs; "" for none.
    """

    name = "llm"

    def __init__(self, responder: Responder, store: StoreClient, *, model: str = "") -> None:
        self.responder = responder
        self._store = store
        self._model = model
        self._problem = "starting: the backends have not been asked yet"
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to watch the backends."""
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Let go of the backends."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        await self.responder.plan.close()
        await self._store.close()

    def problem(self) -> str:
        """Return why questions cannot be answered now; "" when they can."""
        return self._problem

    async def predict(self, instances: list[Any], caller: Caller) -> list[Any]:
        """Answer the instances of one request, all at once.

        Raises:
            ServiceError: an instance is malformed or failed, which the message names; none is answered then.
        """
        asked = [read_instance(instance, f"instances[{index}]") for index, instance in enumerate(instances)]
        try:
            async with asyncio.timeout(caller.remaining()), asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._predict(each, index, caller)) for index, each in enumerate(asked)]
        except* (RaglineError, TimeoutError) as failures:
            raise _first(failures) from None
        return [task.result() for task in tasks]

    async def _predict(self, asked: Asked, index: int, caller: Caller) -> dict[str, Any]:
        try:
            return self._prediction(await self.responder.answer(asked, caller))
        except RaglineError as exc:
            raise _named(exc, f"instances[{index}]") from exc

    def _prediction(self, outcome: Outcome) -> dict[str, Any]:
        return {
            "answer": outcome.answer,
            "found": outcome.found,
            "supported": outcome.supported,
            "citations": [asdict(citation) for citation in outcome.citations],
            "release": outcome.release,
            "plan": self.responder.plan.name,
            "model": self._model,
            "usage": usage_of(outcome.usage),
            "timings": outcome.timings,
        }

    async def _watch(self) -> None:
        """Ask the backends again and again, more often while one cannot answer."""
        while True:
            problem = await self._look()
            if problem != self._problem:
                _log.log(logging.WARNING if problem else logging.INFO, "%s", problem or "ready")
            self._problem = problem
            await asyncio.sleep(_SECONDS_NOT_READY if problem else _SECONDS_READY)

    async def _look(self) -> str:
        try:
            async with asyncio.timeout(_LONGEST_LOOK):
                await self._store.check()
                await self.responder.plan.check()
        except (RaglineError, TimeoutError) as exc:
            return message_of(exc, "none")
        except Exception as exc:  # noqa: BLE001 - a watcher that died would leave its last word standing for ever
            _log.exception("the backends cannot be asked")
            return f"the backends cannot be asked: {type(exc).__name__}"
        return ""


def _named(failure: RaglineError, instance: str) -> ServiceError:
    """Return the failure of an instance; what another service said stays out of the log."""
    status = status_of(failure)
    retry_after = failure.retry_after if isinstance(failure, ServiceError) else 0.0
    if isinstance(failure, RemoteError):
        message = str(failure).removeprefix(f"{failure.service}: ")
        return RemoteError(f"{instance}: {failure.service}", message, status, retry_after=retry_after)
    return ServiceError(f"{instance}: {failure}", status, retry_after=retry_after)


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first failure of a group that may hold groups."""
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
