"""A service as a KServe predictor: one process, one worker, HTTP only, behind the front door."""

import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from prometheus_client import REGISTRY
from prometheus_client.registry import Collector

from ragline.errors import SettingError
from ragline.services.edge.api_description import describe
from ragline.services.edge.caller import LONGEST_SECONDS
from ragline.services.edge.front_door import LONGEST_BODY, FrontDoor
from ragline.services.edge.json_log import configure_logging
from ragline.services.edge.service import Service as Service
from ragline.services.edge.telemetry import start_tracing
from ragline.settings import ServiceSettings

_log = logging.getLogger(__name__)

_GARBAGE = 20_000

_COMMON = (
    "GET /",
    "GET /v1/models",
    "GET /v2/health/live",
    "GET /v2/health/ready",
    "GET /metrics",
    "GET /openapi.json",
)


def run_service(
    service: Service,
    *,
    port: int,
    host: str = "127.0.0.1",
    model_name: str = "",
    routers: Sequence[APIRouter] = (),
    collectors: Sequence[Collector] = (),
    openapi: Mapping[str, Any] | None = None,
    max_bytes: int = LONGEST_BODY,
    longest: float = LONGEST_SECONDS,
) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are finished then.

    Args:
        service: what answers.
        port: to listen on; 0 for any that is free.
        host: address to listen on; 0.0.0.0 in a container.
        model_name: of the KServe model; the service's name where it is not given.
        routers: more routes of the service; their handlers find the request in `received()`.
        collectors: more metrics.
        openapi: the OpenAPI description of the service's own paths, as {"paths": ..., "components": ...}.
        max_bytes: of a request's body.
        longest: seconds that a request may take until its response begins.

    Raises:
        SettingError: an environment variable is malformed, or the port is taken.
    """
    settings = ServiceSettings.from_environment()
    configure_logging(settings.log_level, texts=settings.log_texts)
    listener = _listen(host, port)
    start_tracing(service.name, settings)
    for collector in collectors:
        REGISTRY.register(collector)
    name = model_name or service.name
    rest = _kserve_rest(service, name, routers, describe(service.name, name, openapi or {}))
    door = FrontDoor(
        rest.application(),
        service.name,
        [*_COMMON, *_probes(name), f"POST /v1/models/{name}:predict", *_routes_of(routers)],
        max_bytes=max_bytes,
        longest=longest,
        quiet=[route.partition(" ")[2] for route in (*_COMMON, *_probes(name))],
    )
    with asyncio.Runner(loop_factory=rest.config.get_loop_factory()) as runner:
        runner.run(_serve(service, rest.server(door), listener))


def _probes(name: str) -> tuple[str, str]:
    return f"GET /v1/models/{name}", f"GET /v2/models/{name}/ready"


def _routes_of(routers: Sequence[APIRouter]) -> list[str]:
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    return [f"{method} {route.path}" for route in routes for method in sorted(route.methods or ())]


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise SettingError(f"cannot listen on {host}, port {port}: {error}") from error


def _kserve_rest(service: Service, name: str, routers: Sequence[APIRouter], description: Mapping[str, Any]) -> Any:
    arguments, sys.argv = (
        sys.argv,
        sys.argv[:1],
    )  # kserve parses them on import, and ends the process over an unknown one
    try:
        from ragline.services.edge.kserve_rest import Rest
    finally:
        sys.argv = arguments
    return Rest(service, name, routers, description)


async def _serve(service: Service, server: Any, listener: socket.socket) -> None:
    """Run a service and its server; a signal ends the server, and the service after its last request."""
    await service.start()
    # What the imports made lives as long as the process: looking through it again and again for garbage is 5 to 10 %
    # of a busy service's time, and shows in its slowest requests.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE, 20, 20)

    def end(*_: object) -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(
            number, end
        )  # the server has handlers of its own meanwhile, and raises the signal again afterwards
    host, port = listener.getsockname()[:2]
    _log.info("%s listens on %s, port %d", service.name, host, port, extra={"about": {"host": host, "port": port}})
    try:
        await server.serve(sockets=[listener])
    finally:
        await service.stop()
        _log.info("%s has stopped", service.name)
