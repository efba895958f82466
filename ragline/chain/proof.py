"""A question that goes through the whole chain: only then it is ready."""

import time
from collections.abc import Mapping
from typing import Any

from ragline.chain.service import ask
from ragline.errors import RaglineError

FIRST_QUESTION = "What is this about?"
_LONGEST = 200
_SECONDS = 60.0


def prove(llm: str, vectorstore: str) -> tuple[str, float]:
    """Ask what a passage of the index answers; return the release that answered, and the seconds that it took.

    Args:
        llm: URL of the service.
        vectorstore: URL of the service.

    Raises:
        RaglineError: a service does not answer, or not in the agreed form.
    """
    found = _predict(vectorstore, "vectorstore", {"input": FIRST_QUESTION, "num_docs": 1})
    question = _question(found)
    begun = time.perf_counter()
    # A few tokens are enough to see that the language model speaks.
    answer = _predict(llm, "llm", {"input": question, "max_tokens": 8})
    if not answer.get("answer"):
        raise RaglineError(f"llm at {llm} gave no answer to {question!r}")
    return str(answer.get("release", "")), round(time.perf_counter() - begun, 4)


def _question(found: Mapping[str, Any]) -> str:
    """Return the beginning of a passage, which the index finds again."""
    documents = found.get("documents") or [{}]
    text = " ".join(str(documents[0].get("text", "")).split())[:_LONGEST]
    return text or FIRST_QUESTION


def _predict(url: str, model: str, instance: Mapping[str, Any]) -> Mapping[str, Any]:
    answer = ask(f"{url}/v1/models/{model}:predict", {"instances": [instance]}, _SECONDS)
    try:
        (prediction,) = answer["predictions"]  # type: ignore[index]
    except (KeyError, TypeError, ValueError) as exc:
        raise RaglineError(f"{model} at {url} gave no prediction") from exc
    if not isinstance(prediction, dict):
        raise RaglineError(f"{model} at {url} gave a prediction that is no object")
    return prediction
