"""OpenAI's routes: chat completions, whole or streamed, and the list of models."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from ragline.services.edge.caller import Caller
from ragline.services.edge.failures import reply_to
from ragline.services.edge.received import received
from ragline.services.llm.chat import ChatRequest, Completion, check_model, model_entry
from ragline.services.llm.responder import Outcome, Responder
from ragline.services.llm.streamed_response import StreamedResponse

PREFIX = "/openai/v1"
CHAT = f"{PREFIX}/chat/completions"
MODELS = f"{PREFIX}/models"
_DONE = b"[DONE]"


def openai_router(responder: Responder, model: str) -> APIRouter:
    """Return the routes.

    Args:
        responder: answers.
        model: as the service calls itself.
    """
    router = APIRouter()
    created = int(time.time())

    @router.post(CHAT)
    async def chat() -> Response:
        caller, body = received().caller, received().body
        request = ChatRequest.of(body)
        check_model(request.model, model)
        completion = Completion(model, caller.request_id, usage=request.usage)
        if request.stream:
            return StreamedResponse(_events(responder, request, completion, caller), caller, _failed(caller))
        async with asyncio.timeout(caller.remaining()):
            outcome = await responder.answer(request.asked, caller)
        return JSONResponse(completion.whole(outcome))

    @router.get(MODELS)
    async def models() -> Response:
        return JSONResponse({"object": "list", "data": [model_entry(model, created)]})

    @router.get(MODELS + "/{name}")
    async def one_model(name: str) -> Response:
        check_model(name, model)
        return JSONResponse(model_entry(model, created))

    return router


async def _events(
    responder: Responder, request: ChatRequest, completion: Completion, caller: Caller
) -> AsyncGenerator[bytes, None]:
    """Yield the data of each event, up to the one that says that all is done."""
    first = True
    async with aclosing(responder.respond(request.asked, caller)) as parts:
        async for part in parts:
            if isinstance(part, Outcome):
                for chunk in completion.last(part):
                    yield _data(chunk)
            elif part:
                yield _data(completion.text(part, first=first))
                first = False
    yield _DONE


def _failed(caller: Caller) -> Callable[[Exception], bytes]:
    return lambda failure: reply_to(failure, CHAT, caller.request_id).body


def _data(chunk: Mapping[str, Any]) -> bytes:
    return json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
