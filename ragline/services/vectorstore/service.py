"""The vector store as a service: requests in, searches into the queue, predictions out."""

import asyncio
from typing import Any

from ragline.errors import InputError, ServiceError
from ragline.live import LiveIndex
from ragline.services.edge.caller import Caller
from ragline.services.vectorstore.query import Query
from ragline.services.vectorstore.search_queue import LONGEST, SearchQueue
from ragline.services.vectorstore.searcher import Searcher

NAME = "vectorstore"


class VectorStoreService:
    """Answers from the current release of an index.

    Args:
        live: the index; closed when the service stops.
        longest_queue: questions that may wait.
    """

    name = NAME

    def __init__(self, live: LiveIndex, *, longest_queue: int = LONGEST) -> None:
        self._live = live
        self._queue = SearchQueue(Searcher(live), longest=longest_queue)

    async def predict(self, instances: list[Any], caller: Caller) -> list[Any]:
        """Return the documents for each instance (docs/services.md).

        Raises:
            InputError: an instance is malformed, or its filter.
            ServiceError: 429, 503 or 504.
            ReleaseError: no release is loaded.
        """
        search = self._queue.put([_query(*each) for each in enumerate(instances)], caller)
        try:
            async with asyncio.timeout(caller.remaining()):
                return await asyncio.wrap_future(search.predictions)
        except TimeoutError as exc:
            raise ServiceError("the search took longer than the time that the caller allowed", 504) from exc

    def problem(self) -> str:
        """Return why no question can be answered; "" once a release is loaded."""
        status = self._live.status()
        if status.ready:
            return ""
        return status.problem or f"index {self._live.name!r} is being loaded; ask again in a moment"

    async def start(self) -> None:
        """Do nothing: the index is being loaded already."""

    async def stop(self) -> None:
        """Finish what waits, and close the index."""
        await asyncio.to_thread(self._queue.close)
        await asyncio.to_thread(self._live.close)


def _query(position: int, instance: object) -> Query:
    try:
        return Query.of(instance)
    except InputError as exc:
        raise InputError(f"instances[{position}]: {exc}") from exc
