"""KServe's REST server with one model, our routes, and our way to say what failed.

Importing this takes a second or two, and kserve reads the command line of the process as its own meanwhile:
`ragline.services.edge.kserve_server` does it when a server starts, behind an empty command line.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from kserve import Model, ModelRepository
from kserve.errors import InvalidInput, ModelNotFound, ModelNotReady
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ragline.errors import RaglineError, ServiceError
from ragline.services.edge.asgi import App, Receive, Scope, Send
from ragline.services.edge.caller import request_id_of
from ragline.services.edge.failures import reply_to
from ragline.services.edge.received import received
from ragline.services.edge.service import Service

MOST_INSTANCES = 32
GRACE_SECONDS = 25
"""How long a stopping service lets requests finish: less than the 30 s that Kubernetes waits before it kills."""

_IDLE_SECONDS = 65


class ServedModel(Model):  # type: ignore[misc]  # kserve has no types
    """KServe's model: instances in, predictions out."""

    def __init__(self, service: Service, name: str) -> None:
        super().__init__(name)
        self._service = service
        self.ready = True  # of another one kserve would say for ever that it does not exist; `Plane` says the truth

    def validate(self, payload: Any) -> Any:
        """Return what came: `predict` looks at it."""
        return payload

    async def predict(self, payload: Mapping[str, Any], headers: Any = None) -> dict[str, Any]:  # noqa: ARG002
        """Return the predictions; `headers` are those that the front door has read."""
        return {"predictions": await self._service.predict(instances_of(payload), received().caller)}


class Plane(DataPlane):  # type: ignore[misc]  # as above
    """KServe's data plane; the model's readiness is what the service says."""

    def __init__(self, service: Service, repository: ModelRepository) -> None:
        super().__init__(repository)
        self._service = service

    def decode(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what the front door has parsed; kserve would parse it again, perhaps as a cloud event."""
        return received().body, {}

    def encode(self, *, response: Any, **_: Any) -> tuple[bytes, dict[str, str]]:
        """Return the body of the response; of anything but bytes kserve makes a class that FastAPI warns of."""
        return orjson.dumps(response), {"content-type": "application/json"}

    async def ready(self) -> bool:
        """Return True, or say what the problem is."""
        if problem := self._service.problem():
            raise ServiceError(problem, 503)
        return True

    async def model_ready(self, model_name: str, *_: Any, **__: Any) -> bool:
        """Return True, or say what the problem is."""
        self.get_model_from_registry(model_name)
        return await self.ready()


class Rest(RESTServer):  # type: ignore[misc]  # as above
    """KServe's routes in an application of our own.

    Args:
        service: what answers.
        name: of the model.
        routers: more routes.
        description: the OpenAPI document.
    """

    def __init__(
        self, service: Service, name: str, routers: Sequence[APIRouter], description: Mapping[str, Any]
    ) -> None:
        repository = ModelRepository()
        repository.update(ServedModel(service, name))
        super().__init__(
            "",
            Plane(service, repository),
            ModelRepositoryExtension(repository),
            0,
            grace_period=GRACE_SECONDS,
            timeout_keep_alive=_IDLE_SECONDS,
        )
        self._name = name
        self._routers = routers
        self._description = description

    def application(self) -> App:
        """Return the application: KServe's routes and those of the service."""
        app = _Application(self._description)
        for router in self._routers:
            app.include_router(router)
        self._register_endpoints(app)
        ours = (RaglineError, TimeoutError, HTTPException, RequestValidationError, Exception)
        for kind in (*ours, InvalidInput, ModelNotFound, ModelNotReady):
            app.add_exception_handler(kind, _answer_failure)
        return _Predictions(app, self.dataplane, self._name)

    def server(self, app: App) -> Any:
        """Return the uvicorn server of an application."""
        config = self.config
        config.app, config.ws, config.lifespan, config.server_header = app, "none", "off", False
        config.http = _HttpProtocol
        return self._server


class _Predictions:
    """KServe's route for predictions, without FastAPI before it: that took longer than all the rest of the way in."""

    def __init__(self, app: App, plane: Plane, name: str) -> None:
        self._app = app
        self._plane = plane
        self._name = name
        self._path = f"/v1/models/{name}:predict"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for predictions; the front door answers a failure."""
        if scope["type"] != "http" or scope["path"] != self._path:
            await self._app(scope, receive, send)
            return
        await self._plane.model_ready(self._name)
        predictions, _ = await self._plane.infer(self._name, received().body)
        body = orjson.dumps(predictions)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class _HttpProtocol(HttpToolsProtocol):
    """HTTP as uvicorn reads it; what is not even HTTP is answered in our form."""

    def send_400_response(self, msg: str) -> None:
        reply = reply_to(ServiceError(msg, 400), "", request_id := request_id_of({}))
        lines = {
            **reply.headers,
            "x-request-id": request_id,
            "content-length": str(len(reply.body)),
            "connection": "close",
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.transport.write(f"HTTP/1.1 400 Bad Request\r\n{head}\r\n".encode() + reply.body)
        self.transport.close()


class _Application(FastAPI):
    """FastAPI with a description that was written for people."""

    def __init__(self, description: Mapping[str, Any]) -> None:
        super().__init__(title=description["info"]["title"], docs_url=None, redoc_url=None)
        self._description = dict(description)

    def openapi(self) -> dict[str, Any]:
        return self._description


def instances_of(body: Mapping[str, Any]) -> list[Any]:
    """Return the instances of a KServe v1 request.

    Raises:
        ServiceError: 400, there are none, or too many.
    """
    instances = body.get("instances")
    if not isinstance(instances, list):
        raise ServiceError('"instances" is missing or not a list: expected {"instances": [...]}', 400)
    if not 1 <= len(instances) <= MOST_INSTANCES:
        raise ServiceError(f'"instances" has {len(instances)} entries: expected 1 to {MOST_INSTANCES}', 400)
    return instances


async def _answer_failure(request: Request, failure: Exception) -> Response:
    reply = reply_to(_worded(failure), request.scope["path"], received().caller.request_id)
    return Response(reply.body, reply.status, reply.headers)


def _worded(failure: Exception) -> Exception:
    """Return a failure of FastAPI or kserve as one of ours."""
    match failure:
        case HTTPException():
            return ServiceError(str(failure.detail), failure.status_code)
        case RequestValidationError():
            first = failure.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            return ServiceError(f"{where}: {first['msg']}", 400)
        case InvalidInput():
            return ServiceError(str(failure), 400)
        case ModelNotFound():
            return ServiceError(str(failure), 404)
        case ModelNotReady():
            return ServiceError(str(failure), 503)
    return failure
