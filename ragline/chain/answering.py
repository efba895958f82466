"""Asks a chain that is up."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import urllib3

from ragline.chain.state import ChainState, Place
from ragline.errors import InputError, RaglineError, ServiceError

SECONDS = 120.0
"""How long an answer may take; a language model on a small machine takes its time."""

_KEYS = ("found", "answer", "citations", "release")


def chain_of(cache: Path, store: str, name: str) -> ChainState | None:
    """Return the chain that answers for an index on this machine, if there is one.

    Args:
        cache: folder for what can be made again.
        store: URI of the object store, absolute.
        name: of the index.
    """
    state = Place.of(cache, store, name).running()
    return state if state and state.phase == "ready" else None


def ask_chain(chain: ChainState, question: str, where: Mapping[str, object] | None) -> dict[str, Any]:
    """Return what `ragline.answering.Answerer.ask` would, as JSON has it.

    Raises:
        InputError: the question or the filter cannot be taken.
        ServiceError: the chain does not answer.
    """
    instance = {"input": question} | ({"filter": where} if where else {})
    url = f"{chain.url}/v1/models/llm:predict"
    headers = {"x-request-timeout-ms": str(round(SECONDS * 1000))}
    try:
        answer = urllib3.request(
            "POST", url, json={"instances": [instance]}, headers=headers, timeout=SECONDS + 5, retries=False
        )
    except urllib3.exceptions.HTTPError as exc:
        raise ServiceError(
            f"the chain at {chain.url} does not answer ({type(exc).__name__}); `ragline status` says why"
        ) from exc
    value = _json(answer.data, chain.url)
    if answer.status != 200:
        raise _error(answer.status, value, chain.url)
    try:
        (prediction,) = value["predictions"]
        return {key: prediction[key] for key in _KEYS}
    except (KeyError, TypeError, ValueError) as exc:
        raise ServiceError(f"the chain at {chain.url} gave something else than an answer", 502) from exc


def _json(body: bytes, url: str) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError as exc:
        raise ServiceError(f"the chain at {url} gave something else than JSON", 502) from exc
    return value if isinstance(value, dict) else {}


def _error(status: int, value: Mapping[str, Any], url: str) -> RaglineError:
    message = str(value.get("error") or f"the chain at {url} gave status {status}")
    if status in (400, 413):
        return InputError(message)
    return ServiceError(message, status)
