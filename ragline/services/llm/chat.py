"""OpenAI's chat completions: reading the request, writing the response and its chunks.

What a client sends is refused where a type is wrong or a wish cannot be met; fields that mean nothing here are ignored,
as clients send many. An object `ragline` holds what OpenAI's API has no place for, in both directions.
"""

import secrets
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ragline.errors import ServiceError
from ragline.services.llm.asked import (
    MOST_DOCS,
    NUM_DOCS,
    Asked,
    context_of,
    max_tokens_of,
    question_of,
    sampling_of,
    where_of,
)
from ragline.services.llm.fields import Fields
from ragline.services.llm.plans.plan import Message, Usage
from ragline.services.llm.responder import Outcome

MOST_MESSAGES = 500
_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request for a chat completion.

    Attributes:
        asked: what is to be answered.
        model: that the client named; "" for none.
        stream: whether the answer is wanted piece by piece.
        usage: whether the stream is to end with the tokens' count.
    """

    asked: Asked
    model: str
    stream: bool
    usage: bool

    @classmethod
    def of(cls, body: object) -> "ChatRequest":
        """Read a request's body.

        Raises:
            ServiceError: 400, it is malformed.
        """
        fields = Fields(body)
        fields.whole("n", 1, 1, 1)
        stream = fields.flag("stream")
        if "stream_options" in fields and not stream:
            raise ServiceError("stream_options is for streams: set stream to true, or leave it out", 400)
        options = fields.inner("stream_options")
        return cls(_asked(fields), fields.text("model", ""), stream, options.flag("include_usage"))


def _asked(fields: Fields) -> Asked:
    messages = _messages(fields)
    last = max((index for index, message in enumerate(messages) if message.role == "user"), default=-1)
    if last < 0 or any(message.role == "assistant" for message in messages[last:]):
        raise ServiceError("messages ends without a question: the last turn must be the user's", 400)
    more = fields.inner("ragline")
    return Asked(
        question=question_of(messages[last].content, "the last message of the user"),
        history=tuple(message for message in (*messages[:last], *messages[last + 1 :]) if message.content.strip()),
        context=context_of(more),
        num_docs=more.whole("num_docs", NUM_DOCS, 1, MOST_DOCS),
        where=where_of(more),
        sampling=sampling_of(fields, max_tokens_of(fields)),
    )


def _messages(fields: Fields) -> list[Message]:
    found = fields.get("messages")
    if not isinstance(found, list) or not 1 <= len(found) <= MOST_MESSAGES:
        raise fields.refusal("messages", f"a list of 1 to {MOST_MESSAGES} messages")
    return [_message(Fields(message, f"messages[{index}]")) for index, message in enumerate(found)]


def _message(fields: Fields) -> Message:
    role = fields.text("role")
    if role not in _ROLES:
        raise ServiceError(f"{fields.path('role')} is none of {', '.join(_ROLES)}: there are no tools here", 400)
    content = fields.get("content")
    if content is None and role == "assistant":  # a turn that only called tools
        return Message("assistant", "")
    if isinstance(content, list):
        parts = (_part(part, f"{fields.path('content')}[{index}]") for index, part in enumerate(content))
        return Message(_ROLES[role], "\n".join(parts))
    if not isinstance(content, str):
        raise fields.refusal("content", "a text or a list of text parts")
    return Message(_ROLES[role], content)


def _part(part: object, name: str) -> str:
    fields = Fields(part, name)
    if fields.text("type") != "text":
        raise ServiceError(f"{name}.type is not 'text': nothing else is read here", 400)
    return fields.text("text")


class Completion:
    """The response to one request: the same id, time and model in all its parts.

    Args:
        model: as the service calls itself.
        request_id: of the request.
        usage: whether chunks say that usage comes.
    """

    def __init__(self, model: str, request_id: str, *, usage: bool = False) -> None:
        self._head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": model}
        self._request_id = request_id
        self._usage = usage

    def whole(self, outcome: Outcome) -> dict[str, Any]:
        """Return the response to a request that is not streamed."""
        message = {"role": "assistant", "content": outcome.answer, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": outcome.finish}
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [choice],
            "usage": usage_of(outcome.usage),
            "ragline": self._more(outcome),
        }

    def text(self, text: str, *, first: bool = False) -> dict[str, Any]:
        """Return the chunk of a piece of text."""
        return self._chunk({"role": "assistant", "content": text} if first else {"content": text})

    def last(self, outcome: Outcome) -> list[dict[str, Any]]:
        """Return the chunks at the end."""
        end = self._chunk({}, outcome.finish) | {"ragline": self._more(outcome)}
        if not self._usage:
            return [end]
        return [end, self._chunk({}) | {"choices": [], "usage": usage_of(outcome.usage)}]

    def _chunk(self, delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk = {**self._head, "object": "chat.completion.chunk", "choices": [choice]}
        return chunk | {"usage": None} if self._usage else chunk

    def _more(self, outcome: Outcome) -> dict[str, Any]:
        return {
            "found": outcome.found,
            "supported": outcome.supported,
            "citations": [asdict(citation) for citation in outcome.citations],
            "release": outcome.release,
            "timings": outcome.timings,
            "request_id": self._request_id,
        }


def usage_of(usage: Usage) -> dict[str, int]:
    """Return tokens as both APIs write them."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def model_entry(name: str, created: int) -> dict[str, Any]:
    """Return what the list of models says of one."""
    return {"id": name, "object": "model", "created": created, "owned_by": "ragline"}


def check_model(asked: str, served: str) -> None:
    """Let a request through that names no model, or the one that is served.

    Raises:
        ServiceError: 404, it names another.
    """
    if asked not in ("", served):
        raise ServiceError(f"there is no model {asked[:80]!r} here: use {served!r}", 404)
