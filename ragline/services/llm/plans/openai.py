"""Any server with OpenAI's API: vLLM, NIM, trtllm-serve, llama.cpp, OpenAI itself, the small local model.

The server applies the model's chat template and counts tokens, where it tells. The caller's Authorization never goes
there: it has a key of its own (RAGLINE_LLM_API_KEY). Leaving an answer closes the connection, which cancels it.
"""

import json
import logging
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import urlsplit

from ragline.errors import ServiceError, SettingError
from ragline.services.edge.caller import Caller
from ragline.services.edge.failures import STATUSES
from ragline.services.edge.http_client import ServiceClient
from ragline.services.llm.answer_text import AnswerText
from ragline.services.llm.event_stream import events
from ragline.services.llm.plans.plan import Piece, PlanSettings, Prompt, Task, Usage
from ragline.services.llm.prompt import PromptBuilder
from ragline.services.llm.refit import TOO_LONG, answered
from ragline.services.llm.token_estimate import estimated_tokens

_log = logging.getLogger(__name__)

CONTEXT_TOKENS = 4096
"""Where the server does not tell."""

_TOO_LONG = re.compile(
    r"context[ _]?(?:length|size|window)|maximum (?:context|model|sequence) length|max_model_len|max_seq_len"
    r"|exceeds? (?:the )?(?:available|maximum|model'?s?) |prompt is too long|too many (?:input )?tokens",
    re.IGNORECASE,
)
_CHAT = "/chat/completions"


@dataclass(frozen=True, slots=True)
class _Server:
    """What a server tells of itself.

    Attributes:
        model: that it is asked for.
        context: tokens of the model's context; 0 where it does not tell.
    """

    model: str
    context: int


class OpenAi:
    """A plan with a server of OpenAI's API."""

    name = "openai"
    needs_quotes = False
    quoted = False

    def __init__(self, settings: PlanSettings) -> None:
        self._settings = settings
        self._client = _client(settings, _base(settings.url))
        self._root = _client(settings, self._client.url.removesuffix("/v1"))
        self._server: _Server | None = None
        self._builder = self._build(settings.context_tokens)
        self._limit_field = "max_tokens"
        self._counts: bool | None = None

    async def check(self) -> None:
        """Ask the server for its models.

        Raises:
            ServiceError: it does not answer, refuses the key, or lacks the model.
        """
        await self._learn()

    def prepare(self, task: Task) -> Prompt:
        """Return the conversation; its tokens are estimated."""
        return self._builder.build(task)

    async def answer(self, prompt: Prompt, caller: Caller) -> AsyncGenerator[Piece, None]:
        """Yield the answer as the server writes it."""
        caller = caller.anonymous()
        server = self._server or await self._learn()
        better, builder = await self._refitted(prompt, server, caller)
        async with aclosing(
            answered(lambda each: self._asked(each, server, caller), better, prompt, builder)
        ) as pieces:
            async for piece in pieces:
                yield piece

    async def close(self) -> None:
        """Close connections."""
        await self._client.close()
        await self._root.close()

    def _build(self, context: int, scale: float = 1.0) -> PromptBuilder:
        return PromptBuilder(context or CONTEXT_TOKENS, longest_answer=self._settings.longest_answer, scale=scale)

    async def _learn(self) -> _Server:
        """Return the model's name and the length of its context, as the server tells them."""
        try:
            listed = (await self._client.get("/models")).get("data") or []
            models = {str(each["id"]): each for each in listed}
        except (AttributeError, KeyError, TypeError) as exc:
            raise ServiceError(f"{self._client.name} at {self._client.url} is no server of OpenAI's API") from exc
        except ServiceError as failure:
            if failure.status != 404 or not self._settings.model:
                raise _explained(failure) from failure
            models = {}  # some servers have no list
        model = self._model(list(models))
        context = self._settings.context_tokens or await self._context(models.get(model) or {})
        if self._server != (found := _Server(model, context)):
            self._server = found
            self._builder = self._build(context)
        return found

    def _model(self, listed: list[str]) -> str:
        wanted = self._settings.model
        if wanted and (wanted in listed or not listed):
            return wanted
        if len(listed) == 1 and not wanted:
            return listed[0]
        what = f"has no model {wanted!r}" if wanted else "has several models, or none"
        raise ServiceError(
            f"{self._client.name} at {self._client.url} {what}: set --llm-model to one of "
            f"{', '.join(listed[:10]) or 'those that it is to load'}"
        )

    async def _context(self, model: dict[str, Any]) -> int:
        """Return the length of a model's context as vLLM and llama.cpp tell it, else 0."""
        if isinstance(told := model.get("max_model_len"), int):
            return told
        try:
            settings = (await self._root.get("/props")).get("default_generation_settings") or {}
            return int(settings.get("n_ctx") or 0)
        except (ServiceError, AttributeError, TypeError, ValueError):
            return 0

    async def _refitted(self, prompt: Prompt, server: _Server, caller: Caller) -> tuple[Prompt, PromptBuilder]:
        """Return the prompt with more passages, where the estimate left some out that the server has room for."""
        if prompt.whole:
            return prompt, self._builder
        text = "\n\n".join(document.text for document in prompt.task.retrieved.documents)
        counted = await self._counted(text, server, caller)
        if not counted:
            return prompt, self._builder
        # A little more than counted: the parts are tokenised apart, and the instructions may be denser.
        builder = self._build(server.context, min(1.0, 1.05 * counted / max(1, estimated_tokens(text))))
        better = builder.build(prompt.task)
        return (better, builder) if better.passages != prompt.passages else (prompt, self._builder)

    async def _counted(self, text: str, server: _Server, caller: Caller) -> int:
        """Return the number of tokens that the server counts; 0 where it does not count."""
        if self._counts is False:
            return 0
        body = {"model": server.model, "prompt": text, "content": text, "add_special_tokens": False}
        try:
            found = await self._root.post("/tokenize", body, caller)
            self._counts = True
            return int(found.get("count") or len(found["tokens"]))
        except (AttributeError, KeyError, TypeError, ValueError):
            self._counts = False
        except ServiceError as failure:
            if failure.status == 504:
                raise
            self._counts = None if failure.status in {429, 503} else False
        return 0

    async def _asked(self, prompt: Prompt, server: _Server, caller: Caller) -> AsyncGenerator[Piece, None]:
        """Yield the answer to one prompt; 413 where the server finds it too long."""
        reader = _Reader(prompt)
        try:
            stream = self._client.stream(_CHAT, self._body(prompt, server), caller)
            async with stream as response, aclosing(events(response)) as found:
                async for data in found:
                    for piece in reader.read(data):
                        yield piece
                    if reader.done:
                        break
            for piece in reader.end():
                yield piece
        except ServiceError as failure:
            if not reader.begun and "max_completion_tokens" in str(failure) and self._limit_field == "max_tokens":
                self._limit_field = "max_completion_tokens"  # what newer models of OpenAI call it
            else:
                raise _explained(failure) from failure
        else:
            return
        async with aclosing(self._asked(prompt, server, caller)) as pieces:
            async for piece in pieces:
                yield piece

    def _body(self, prompt: Prompt, server: _Server) -> dict[str, Any]:
        sampling = prompt.task.sampling
        body: dict[str, Any] = {
            "model": server.model,
            "messages": [{"role": message.role, "content": message.content} for message in prompt.messages],
            self._limit_field: prompt.max_tokens,
            "temperature": sampling.temperature,
        }
        if not prompt.task.whole:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        # What is left at its default is not sent: some servers refuse fields that they do not know.
        optional = {
            "top_p": sampling.top_p if sampling.top_p != 1.0 else None,
            "top_k": sampling.top_k or None,
            "stop": list(sampling.stop) or None,
            "seed": sampling.seed,
        }
        return body | {name: value for name, value in optional.items() if value is not None}


class _Reader:
    """Reads the events of one answer."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt
        self._text = AnswerText(stop=prompt.task.sampling.stop)
        self._said = ""
        self._finish: Literal["", "stop", "length"] = ""
        self._usage: Usage | None = None
        self.begun = False
        self.done = False

    def read(self, data: str) -> list[Piece]:
        """Return the pieces of an event.

        Raises:
            ServiceError: it tells of an error, or is nothing that this API has.
        """
        if data.strip() == "[DONE]":
            self.done = True
            return []
        try:
            event = json.loads(data)
            error = event.get("error")
            choices = event.get("choices") or []
            self._usage = _usage(event.get("usage")) or self._usage
            choice = choices[0] if choices else {}
            text = ((choice.get("delta") or choice.get("message") or {}).get("content")) or ""
            finish = choice.get("finish_reason") or ""
        except (AttributeError, TypeError, ValueError) as exc:
            raise ServiceError(
                f"the language model's server sent what is no event of OpenAI's API: {data[:80]!r}"
            ) from exc
        if error:
            raise _failure(error)
        self._finish = _finish(finish) or self._finish
        ready = self._text.add(text) if isinstance(text, str) else ""
        self.done = self.done or self._text.stopped
        return [self._piece(ready)] if ready else []

    def end(self) -> list[Piece]:
        """Return what was held back, and why the text ends.

        Raises:
            ServiceError: the server ended the answer without saying why.
        """
        if not (self._finish or self.done):
            raise ServiceError("the language model's server ended amid the answer")
        rest = self._text.end()
        last = self._piece(rest)
        usage = self._usage or Usage(self._prompt.tokens, estimated_tokens(self._said))
        return [replace(last, finish="stop" if self._text.stopped else self._finish or "stop", usage=usage)]

    def _piece(self, text: str) -> Piece:
        self.begun = True
        self._said += text
        return Piece(text)


def _base(url: str) -> str:
    """Return the base URL of the API; a server alone has it under /v1."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingError(f"--llm-url is {url!r}: the plan `openai` needs http://host:port/v1 or the like")
    if parts.username or parts.password:
        raise SettingError("--llm-url holds credentials (before the '@'): set RAGLINE_LLM_API_KEY instead")
    base = url.rstrip("/").removesuffix(_CHAT)
    return base if urlsplit(base).path else f"{base}/v1"


def _client(settings: PlanSettings, url: str) -> ServiceClient:
    return ServiceClient(
        "language model", url, ca_bundle=settings.ca_bundle, connections=settings.connections, token=settings.key
    )


def _finish(reason: str) -> Literal["", "stop", "length"]:
    if not reason:
        return ""
    return "length" if reason in {"length", "max_tokens"} else "stop"


def _usage(told: Any) -> Usage | None:
    if not isinstance(told, dict):
        return None
    prompt, completion = told.get("prompt_tokens"), told.get("completion_tokens")
    return Usage(prompt, completion) if isinstance(prompt, int) and isinstance(completion, int) else None


def _failure(error: Any) -> ServiceError:
    """Return the failure that an event tells of, under a status of 200."""
    told = error if isinstance(error, dict) else {"message": error}
    code = str(told.get("code") or told.get("status") or "")
    status = int(code) if code.isascii() and code.isdigit() else 0
    message = " ".join(str(told.get("message") or error).split())[:500]
    return ServiceError(f"language model: {message}", status if status in STATUSES else 503)


def _explained(failure: ServiceError) -> ServiceError:
    """Return a failure as the caller is to see it."""
    if failure.status in {400, TOO_LONG, 502, 503} and _TOO_LONG.search(str(failure)):
        return ServiceError(str(failure), TOO_LONG)
    if failure.status in {401, 403}:
        # The key is ours, not the caller's: they can do nothing about it.
        return ServiceError(f"{failure}; it refuses this service's key: set RAGLINE_LLM_API_KEY", 503)
    if failure.status == 404:
        return ServiceError(f"{failure}; check --llm-url and --llm-model", 503)
    return failure


def open_plan(settings: PlanSettings) -> OpenAi:
    """Return the plan.

    Raises:
        SettingError: the URL is none.
    """
    return OpenAi(settings)
