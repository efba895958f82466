"""A service that does what a test asks of it: `python -m tests.services.edge.tiny_service --port 0`."""

import argparse
import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from ragline.errors import InputError, ReleaseError, ServiceError
from ragline.services.edge.caller import Caller
from ragline.services.edge.http_client import ServiceClient
from ragline.services.edge.kserve_server import run_service
from ragline.services.edge.received import received
from ragline.services.edge.telemetry import QUEUED, SHED, count_tokens, observe_first_token, stage
from ragline.settings import ServiceSettings

PREDICT = "/v1/models/tiny:predict"
CHAT = "/openai/v1/chat/completions"


class TinyService:
    """Answers {"do": ...}; with an upstream, hops there."""

    name = "tiny"

    def __init__(self, upstream: ServiceClient | None) -> None:
        self._upstream = upstream
        self._problem = ""
        self.counts = {"cancelled": 0, "finished": 0}

    async def predict(self, instances: list[Any], caller: Caller) -> list[Any]:
        """Do what each instance says."""
        return [await self._do(instance, caller) for instance in instances]

    def problem(self) -> str:
        """Return what {"do": "break"} has set."""
        return self._problem

    def repair(self) -> None:
        """Undo {"do": "break"}."""
        self._problem = ""

    async def start(self) -> None:
        """Show up in all metrics."""
        QUEUED.labels("tiny").set(0)
        SHED.labels("tiny").inc(0)
        count_tokens("prompt", 3)
        observe_first_token(0.01)

    async def stop(self) -> None:
        """Close the client."""
        if self._upstream:
            await self._upstream.close()

    async def _do(self, instance: Any, caller: Caller) -> Any:
        match instance:
            case {"do": "echo"}:
                return vars_of(caller)
            case {"do": "wait", "seconds": float() | int() as seconds}:
                return await self.wait(min(abs(seconds), 5.0))
            case {"do": "hop", "inner": dict() as inner} if self._upstream:
                with stage("retrieve", caller) as below:
                    reply = await self._upstream.post(PREDICT, {"instances": [inner]}, below)
                return {"here": vars_of(caller), "there": reply["predictions"][0]}
            case {"do": "fail", "with": str() as how}:
                raise self._failure(how, instance)
            case {"do": "break", "problem": str() as problem} if problem.startswith("test:"):
                self._problem = problem.removeprefix("test:")
                return None
        raise InputError(f'"do" is {str(instance)[:60]!r}: expected echo, wait, hop, fail or break')

    async def wait(self, seconds: float) -> str:
        """Wait, and count how it ended."""
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.counts["cancelled"] += 1
            raise
        self.counts["finished"] += 1
        return "waited"

    def _failure(self, how: str, instance: dict[str, Any]) -> BaseException:
        status, seconds = instance.get("status"), instance.get("retry_after")
        if how == "service" and status in {400, 401, 403, 404, 413, 429, 502, 503, 504}:
            return ServiceError("as asked", status, retry_after=seconds if isinstance(seconds, int) else 0)
        failures = {
            "input": InputError("a question is missing"),
            "release": ReleaseError("release r1 is damaged"),
            "time": TimeoutError(),
            "bug": ValueError(f"quotes the text {instance.get('text')!r}"),
        }
        return failures.get(how, InputError("unknown failure"))


def vars_of(caller: Caller) -> dict[str, Any]:
    """Return what a caller consists of, as JSON."""
    return {
        "request_id": caller.request_id,
        "authorization": caller.authorization,
        "traceparent": caller.traceparent,
        "tracestate": caller.tracestate,
        "remaining": caller.remaining(),
    }


def router_of(service: TinyService) -> APIRouter:
    """Return a router that streams."""
    router = APIRouter()

    @router.post(CHAT)
    async def chat() -> StreamingResponse:
        body, caller = received().body, received().caller
        pieces, seconds = body.get("pieces"), body.get("seconds", 0.0)
        if not isinstance(pieces, int) or not isinstance(seconds, float | int):
            raise InputError('"pieces" is missing or not a number')
        return StreamingResponse(stream(min(pieces, 1000), min(seconds, 1.0), caller), media_type="text/event-stream")

    async def stream(pieces: int, seconds: float, caller: Caller) -> AsyncIterator[str]:
        for number in range(pieces):
            await service.wait(seconds)
            yield f"data: {number} {caller.authorization}\n\n"

    @router.get("/openai/v1/models/{name}")
    async def model(name: str) -> dict[str, str]:
        if name != "tiny":
            raise ServiceError("there is only tiny", 404)
        return {"id": name}

    @router.post("/openai/v1/repair")
    async def repair() -> None:
        service.repair()

    @router.get("/openai/v1/counts")
    async def counts() -> dict[str, int]:
        return service.counts

    return router


_INSTANCE = {
    "type": "object",
    "properties": {
        "do": {"enum": ["echo", "fail"]},
        "with": {"enum": ["input", "service"]},
        "status": {"enum": [400, 401, 403, 404, 413, 429]},
        "retry_after": {"type": "integer"},
    },
    "required": ["do"],
}
_REPLY = {"200": {"description": "as asked"}}
_BODY = {"type": "object", "properties": {"instances": {"type": "array", "items": _INSTANCE}}}
_CHAT = {"type": "object", "properties": {"pieces": {"type": "integer", "maximum": 5}, "seconds": {"type": "number"}}}
OPENAPI = {
    "paths": {
        path: {"post": {"requestBody": {"content": {"application/json": {"schema": schema}}}, "responses": _REPLY}}
        for path, schema in ((PREDICT, _BODY), (CHAT, _CHAT))
    }
    | {
        "/openai/v1/models/{name}": {
            "get": {
                "parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}],
                "responses": _REPLY,
            }
        }
    },
}


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--upstream", default="")
    parser.add_argument("--longest", type=float, default=10.0)
    parser.add_argument("--predictor", default="", help="an option that kserve, too, would take for one of its own")
    options = parser.parse_args()
    bundle = ServiceSettings.from_environment().ca_bundle
    upstream = ServiceClient("upstream", options.upstream, ca_bundle=bundle) if options.upstream else None
    service = TinyService(upstream)
    run_service(service, port=options.port, routers=[router_of(service)], openapi=OPENAPI, longest=options.longest)


if __name__ == "__main__":
    main()
