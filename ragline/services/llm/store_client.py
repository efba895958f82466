"""The vector store as the llm service asks it."""

from pathlib import Path

from ragline.errors import ServiceError
from ragline.services.edge.caller import Caller
from ragline.services.edge.failures import RemoteError
from ragline.services.edge.http_client import ServiceClient
from ragline.services.llm.asked import Asked
from ragline.services.llm.retrieved import Retrieved

MODEL = "vectorstore"
_PREDICT = f"/v1/models/{MODEL}:predict"


class StoreClient:
    """Asks the vector store for passages, and for quotes where a plan needs them.

    Args:
        url: of the vector store.
        ca_bundle: PEM file of the authorities that sign it.
        connections: at most so many at once.
    """

    def __init__(self, url: str, *, ca_bundle: Path | None = None, connections: int = 256) -> None:
        self.client = ServiceClient(MODEL, url, ca_bundle=ca_bundle, connections=connections)

    async def find(self, asked: Asked, caller: Caller, *, quotes: bool) -> Retrieved:
        """Return what the documents have on a question.

        A search changes nothing, so it is repeated once where the connection was lost.

        Raises:
            ServiceError: with the vector store's own status and message, or 502, 503, 504.
        """
        instance = {"input": asked.question, "num_docs": asked.num_docs, "quotes": quotes}
        if asked.where:
            instance["filter"] = dict(asked.where)
        try:
            answer = await self.client.post(_PREDICT, {"instances": [instance]}, caller, retry=True)
        except RemoteError as exc:
            message = str(exc).removeprefix(f"{exc.service}: ").removeprefix("instances[0]: ")  # ours, not the caller's
            raise RemoteError(exc.service, message, exc.status, retry_after=exc.retry_after) from exc
        try:
            (prediction,) = answer["predictions"]
        except (KeyError, TypeError, ValueError) as exc:
            raise ServiceError(
                f"{self.client.url} does not answer as a vector store does: is it another service's URL?", 502
            ) from exc
        return Retrieved.of(prediction)

    async def check(self) -> None:
        """Find out whether it can answer.

        Raises:
            ServiceError: it cannot.
        """
        await self.client.get(f"/v1/models/{MODEL}")

    async def close(self) -> None:
        """Close connections."""
        await self.client.close()
