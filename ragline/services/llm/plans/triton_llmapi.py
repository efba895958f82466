"""TensorRT-LLM's LLM API in a Triton server: one model, text in and text out.

Its client hides the names of its inputs, that each response of a stream holds the whole text so far, that the prompt is
repeated unless it is told otherwise, and that it takes no stop texts over HTTP in all versions: those are cut here.
Closing the connection does not reach the model: leaving an answer sends it a `stop` request with the same request id.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Literal

from ragline.errors import ServiceError
from ragline.services.edge.caller import Caller
from ragline.services.llm.answer_text import AnswerText
from ragline.services.llm.plans.plan import Piece, PlanSettings, Prompt, Usage
from ragline.services.llm.triton_generate import NAME, Description, first_text
from ragline.services.llm.triton_plan import TritonPlan, drawn

STOP_SECONDS = 5.0
_INCOMPLETE = "\ufffd"


class TritonLlmapi(TritonPlan):
    """A plan with the model of TensorRT-LLM's LLM API."""

    def __init__(self, settings: PlanSettings) -> None:
        super().__init__("triton-llmapi", settings, "tensorrt_llm")
        self._stopping: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Close connections, when the requests that stop others have been sent."""
        if self._stopping:
            await asyncio.wait(self._stopping, timeout=STOP_SECONDS)
        await super().close()

    async def asked(self, prompt: Prompt, known: Description, caller: Caller) -> AsyncGenerator[Piece, None]:
        """Yield the answer to one prompt."""
        text = AnswerText(echoes=self.chat.echoes(prompt.text), stop=prompt.task.sampling.stop)
        body = _body(prompt, self.chat.sent(prompt.text), known)
        # Not the caller's id alone: two callers may have the same, and one of them leave.
        request_id = f"{caller.request_id}-{secrets.token_hex(8)}"
        so_far, said, reason, ended = _SoFar(), "", "", False
        responses = self.triton.responses(body, caller, streams=known.streams, request_id=request_id)
        try:
            async with aclosing(responses):
                async for response in responses:
                    reason = first_text(response.get("finish_reason")) or reason
                    if ready := text.add(so_far.new(first_text(response.get("text_output")))):
                        said += ready
                        yield Piece(ready)
                    if text.stopped:
                        break
            ended = not text.stopped
        finally:
            if not ended:
                self._stop(request_id, known, caller)
        said += (rest := text.add(so_far.rest()) + text.end())
        usage = Usage(prompt.tokens, self.chat.count(said))
        yield Piece(rest, "stop" if text.stopped else _finish(reason, usage, prompt), usage)

    def _stop(self, request_id: str, known: Description, caller: Caller) -> None:
        """Have the model stop, in a task of its own: whoever leaves waits for nothing, and may be out of time."""
        if "stop" not in known.inputs:
            return
        later = replace(caller, deadline=time.monotonic() + STOP_SECONDS)
        task = asyncio.get_running_loop().create_task(
            self.triton.stop({"text_input": "", "stop": True}, later, request_id)
        )
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)


class _SoFar:
    """The new part of a text that comes whole each time; a server that sends parts is understood too."""

    def __init__(self) -> None:
        self._text = ""
        self._held = ""
        self._parts = False

    def new(self, text: str) -> str:
        """Return what is new; a character of which a part is still to come is held back."""
        self._parts = self._parts or not text.startswith(self._text)
        if self._parts:
            return text
        self._held = text[len(text.rstrip(_INCOMPLETE)) :]
        text = text.removesuffix(self._held)
        new, self._text = text[len(self._text) :], text
        return new

    def rest(self) -> str:
        """Return what was held back to the end."""
        return "" if self._parts else self._held


def _finish(reason: str, usage: Usage, prompt: Prompt) -> Literal["stop", "length"]:
    if reason in {"cancelled", "timeout"}:
        raise ServiceError(f"{NAME}: the model ended the answer early ({reason})", 504 if reason == "timeout" else 503)
    if reason in {"stop", "length"}:
        return "length" if reason == "length" else "stop"
    return "length" if usage.completion_tokens >= prompt.max_tokens else "stop"


def _body(prompt: Prompt, text: str, known: Description) -> dict[str, Any]:
    """Return the inputs of a request, those alone that this version of the model has."""
    sampling = prompt.task.sampling
    inputs = {
        "text_input": text,
        "streaming": known.streams,
        "return_finish_reason": True,
        "sampling_param_max_tokens": prompt.max_tokens,
        "sampling_param_exclude_input_from_output": True,
        "sampling_param_seed": sampling.seed,
        **{f"sampling_param_{name}": value for name, value in drawn(sampling).items()},
    }
    return {name: value for name, value in inputs.items() if value is not None and name in known.inputs}


def open_plan(settings: PlanSettings) -> TritonLlmapi:
    """Return the plan.

    Raises:
        SettingError: there is no URL or no tokenizer.
    """
    return TritonLlmapi(settings)
