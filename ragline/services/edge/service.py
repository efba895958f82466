"""What a service is to the edge."""

from typing import Any, Protocol

from ragline.services.edge.caller import Caller


class Service(Protocol):
    """What answers the requests.

    Attributes:
        name: of the service, in logs and traces.
    """

    name: str

    async def predict(self, instances: list[Any], caller: Caller) -> list[Any]:
        """Return one prediction for each instance of a KServe v1 request, in their order."""
        ...

    def problem(self) -> str:
        """Return why requests cannot be answered now; "" when they can."""
        ...

    async def start(self) -> None:
        """Begin, in the event loop that answers requests; what takes long goes on in the background."""
        ...

    async def stop(self) -> None:
        """Let go of everything; no request is under way any more."""
        ...
