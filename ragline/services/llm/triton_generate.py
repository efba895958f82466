"""Generation over Triton's HTTP API, for both kinds of models that TensorRT-LLM has there.

`/generate_stream` of a decoupled model, else `/generate`: HTTP's `/infer` refuses decoupled models, and `/generate`
answers a stream with an error in a response of status 200. Every error of a model comes as status 400, whoever is to
blame, so that what it means is read from its text.
"""

import json
import logging
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from ragline.errors import ServiceError, SettingError
from ragline.services.edge.caller import Caller
from ragline.services.edge.http_client import ServiceClient
from ragline.services.llm.event_stream import events
from ragline.services.llm.plans.plan import PlanSettings
from ragline.services.llm.refit import TOO_LONG

_log = logging.getLogger(__name__)

NAME = "language model"
_TOO_LONG = re.compile(
    r"exceeds? (?:the )?max(?:imum)?|max_seq_len|max_input_len|max_num_tokens|maximum (?:input|sequence) length"
    r"|prompt length|context (?:length|window)|too many tokens",
    re.IGNORECASE,
)
_FULL = re.compile(r"queue size|max(?:imum)? queue", re.IGNORECASE)
_EVENT = re.compile(r"data: *(\{.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Description:
    """What a model takes and how it answers.

    Attributes:
        inputs: their names; versions of TensorRT-LLM differ, and Triton ignores what a model does not have.
        streams: whether it gives an answer in parts.
        detokenizers: instances of the ensemble's postprocessing model; 1 where there is no such model.
        adds_special_tokens: whether its tokenizer puts the token that begins a prompt before the prompt.
    """

    inputs: frozenset[str]
    streams: bool
    detokenizers: int
    adds_special_tokens: bool


class TritonModel:
    """One model of a Triton server.

    Args:
        settings: the server's URL and what its connections need.
        model: its name.
    """

    def __init__(self, settings: PlanSettings, model: str) -> None:
        self.model = model
        self._url = _checked(settings.url)
        self._path = f"/v2/models/{quote(model, safe='')}"
        self._client = ServiceClient(NAME, self._url, ca_bundle=settings.ca_bundle, connections=settings.connections)
        self._known: Description | None = None

    async def description(self, caller: Caller) -> Description:
        """Return what the model takes; asked once.

        Raises:
            ServiceError: the server does not answer or has no such model.
        """
        return self._known or await self.look(caller)

    async def look(self, caller: Caller | None = None) -> Description:
        """Return what the model takes now.

        Raises:
            ServiceError: the server does not answer, or has no such model, or a part of it is not ready.
        """
        try:
            config = await self._client.get(f"{self._path}/config", caller)
            steps = (config.get("ensemble_scheduling") or {}).get("step") or []
            parts = {str(step["model_name"]) for step in steps}
            configs = {
                part: await self._client.get(f"/v2/models/{quote(part, safe='')}/config", caller) for part in parts
            }
            known = _description(config, configs)
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise ServiceError(
                f"{NAME}: what {self._url} says of {self.model!r} is not what a Triton server says"
            ) from exc
        except ServiceError as failure:
            raise self._explained(failure) from failure
        if known.detokenizers > 1 and known.streams and known != self._known:
            _log.warning(
                "the model %s has %d instances of its postprocessing: words of a streamed answer can change places; "
                "set postprocessing_instance_count to 1",
                self.model,
                known.detokenizers,
            )
        self._known = known
        return known

    async def responses(
        self, body: Mapping[str, Any], caller: Caller, *, streams: bool, request_id: str
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the responses of the model to one request; leaving it closes the connection.

        Raises:
            ServiceError: it failed, before the first response or after some.
        """
        path = f"{self._path}/generate{'_stream' if streams else ''}"
        # Triton 2.51 takes the request's id from the body alone; its documentation says, from the header.
        named = {**body, "id": request_id}
        headers = {"triton-request-id": request_id}
        some = False
        try:
            stream = self._client.stream(path, named, caller, headers)
            async with stream as response, aclosing(events(response)) as found:
                async for data in found:
                    some = True
                    yield self._response(data)
        except ServiceError as failure:
            raise self._explained(failure) from failure
        if not some:
            raise ServiceError(f"{NAME}: the model {self.model} ended without an answer")

    async def stop(self, body: Mapping[str, Any], caller: Caller, request_id: str) -> None:
        """Send a request that ends another one; the model answers it with an error, whatever became of that."""
        headers = {"triton-request-id": request_id}
        try:
            async with self._client.stream(f"{self._path}/generate", {**body, "id": request_id}, caller, headers):
                pass
        except ServiceError as failure:
            _log.debug("request %s: stopped (%s)", request_id, failure)

    async def close(self) -> None:
        """Close connections."""
        await self._client.close()

    def _response(self, data: str) -> dict[str, Any]:
        try:
            found = json.loads(data)
            error = found.get("error")
        except (AttributeError, ValueError) as exc:
            raise ServiceError(f"{NAME}: the model {self.model} sent what is no response: {data[:80]!r}", 502) from exc
        if error:
            raise ServiceError(f"{NAME}: {error}", 400)
        response: dict[str, Any] = found
        return response

    def _explained(self, failure: ServiceError) -> ServiceError:
        """Return what a failure means: Triton says 400 for everything that a model does not like or cannot do."""
        message = _without_event(str(failure))
        if failure.status == 404 or "unknown model" in message:
            return ServiceError(f"{message}; {self._url} has to serve {self.model!r}: see --llm-url and --llm-model")
        if failure.status != 400:
            return failure
        if _FULL.search(message):
            return ServiceError(message, 429, retry_after=1.0)
        return ServiceError(message, TOO_LONG if _TOO_LONG.search(message) else 503)


def first_text(value: Any) -> str:
    """Return the text of an output, which is a list where the model gives several."""
    found = value[0] if isinstance(value, list) and value else value
    return found if isinstance(found, str) else ""


def _description(config: dict[str, Any], parts: Mapping[str, dict[str, Any]]) -> Description:
    described = [config, *parts.values()]
    detokenizers = [_instances(part) for name, part in parts.items() if "postprocessing" in name]
    tokenizers = [part for name, part in parts.items() if "preprocessing" in name] or [config]
    special = [(part.get("parameters") or {}).get("add_special_tokens") or {} for part in tokenizers]
    return Description(
        inputs=frozenset(str(each["name"]) for each in config["input"]),
        streams=any((part.get("model_transaction_policy") or {}).get("decoupled") for part in described),
        detokenizers=max(detokenizers, default=1),
        adds_special_tokens=all(
            str(each.get("string_value", "true")).lower() not in {"false", "0"} for each in special
        ),
    )


def _instances(config: dict[str, Any]) -> int:
    return sum(int(group.get("count") or 1) for group in config.get("instance_group") or [{}])


def _without_event(message: str) -> str:
    """Return the message of a failure that came as an event of a stream."""
    event = _EVENT.search(message)
    if not event:
        return message
    try:
        return message[: event.start()] + str(json.loads(event[1])["error"])
    except (KeyError, TypeError, ValueError):
        return message[: event.start()] + event[1]


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingError(f"--llm-url is {url!r}: a Triton server has http://host:port")
    if parts.username or parts.password:
        raise SettingError("--llm-url holds credentials (before the '@'): a caller's own token is passed on")
    return url.rstrip("/").removesuffix("/v2")
