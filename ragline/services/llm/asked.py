"""What somebody asks of the llm service, whichever API it came by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ragline.answering import check_question
from ragline.errors import InputError, ServiceError
from ragline.services.llm.fields import Fields
from ragline.services.llm.plans.plan import Message, Sampling

NUM_DOCS = 4
MOST_DOCS = 50
MOST_TOKENS = 1 << 17
MOST_STOPS = 16
MOST_CONTEXTS = 50
LONGEST_CONTEXT = 200_000
"""Characters of all texts together."""
_SEEDS = 1 << 63


@dataclass(frozen=True, slots=True)
class Asked:
    """One question and how it is to be answered.

    Attributes:
        question: retrieval asks this, and the model is asked it last.
        history: what was said before, oldest first.
        context: texts to answer from instead of the documents; None to retrieve.
        num_docs: passages to retrieve.
        where: filter over the documents, in Chroma's language.
        sampling: how the text is generated.
    """

    question: str
    history: tuple[Message, ...] = ()
    context: tuple[str, ...] | None = None
    num_docs: int = NUM_DOCS
    where: Mapping[str, Any] | None = None
    sampling: Sampling = field(default_factory=Sampling)


def read_instance(instance: object, name: str) -> Asked:
    """Return what an instance of the v1 API asks.

    Args:
        instance: as it was sent.
        name: for messages, as in "instances[0]".

    Raises:
        ServiceError: 400, it is malformed.
    """
    fields = Fields(instance, name)
    return Asked(
        question=question_of(fields.text("input"), fields.path("input")),
        context=context_of(fields),
        num_docs=fields.whole("num_docs", NUM_DOCS, 1, MOST_DOCS),
        where=where_of(fields),
        sampling=sampling_of(fields, fields.whole("max_tokens", Sampling().max_tokens, 1, MOST_TOKENS)),
    )


def question_of(text: str, name: str) -> str:
    """Return a question without the white space around it.

    Raises:
        ServiceError: 400, it is empty or too long.
    """
    try:
        return check_question(text)
    except InputError as exc:
        raise ServiceError(f"{name}: {exc}", 400) from exc


def sampling_of(fields: Fields, max_tokens: int) -> Sampling:
    """Return the sampling parameters, which both APIs name alike."""
    seed = fields.whole("seed", -1, -_SEEDS, _SEEDS - 1) if "seed" in fields else None
    return Sampling(
        max_tokens=max_tokens,
        temperature=fields.number("temperature", Sampling().temperature, 0.0, 2.0),
        top_p=fields.number("top_p", Sampling().top_p, 0.0, 1.0),
        top_k=fields.whole("top_k", Sampling().top_k, 0, 1 << 20),
        stop=tuple(text for text in fields.texts("stop", MOST_STOPS) if text),
        seed=seed,
    )


def max_tokens_of(fields: Fields) -> int:
    """Return OpenAI's limit of the answer's tokens, by its new name or its old one."""
    name = "max_completion_tokens" if "max_completion_tokens" in fields else "max_tokens"
    return fields.whole(name, Sampling().max_tokens, 1, MOST_TOKENS)


def context_of(fields: Fields) -> tuple[str, ...] | None:
    """Return the texts that a caller gave to answer from; None where there are none, or only empty ones.

    Raises:
        ServiceError: 400, they are no texts; 413, they are too long.
    """
    texts = (text.replace("\0", " ").strip() for text in fields.texts("context", MOST_CONTEXTS))
    found = tuple(text for text in texts if text)
    if (length := sum(map(len, found))) > LONGEST_CONTEXT:
        raise ServiceError(
            f"{fields.path('context')} has {length:,} characters; at most {LONGEST_CONTEXT:,} are taken", 413
        )
    return found or None


def where_of(fields: Fields) -> Mapping[str, Any] | None:
    """Return the filter; what it may hold is the vector store's to say."""
    found = fields.get("filter")
    if found is not None and not isinstance(found, dict):
        raise fields.refusal("filter", "an object")
    return found or None
