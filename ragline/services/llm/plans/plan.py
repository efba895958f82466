"""A serving plan: how the text of an answer is made, behind one interface.

Each plan is a file of this folder; its name with `-` for `_` is the plan's name, and its `open_plan` makes it. Adding a
plan is adding a file: nothing else knows which plans there are.

    extractive      no language model: quoted sentences
    openai          any OpenAI-compatible server
    triton-engine   the ensemble of TensorRT-LLM's engines in a Triton server
    triton-llmapi   TensorRT-LLM's LLM API in a Triton server
"""

import importlib
import pkgutil
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from ragline.errors import SettingError
from ragline.services.edge.caller import Caller
from ragline.services.llm.retrieved import Retrieved


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a text is generated.

    Attributes:
        max_tokens: generated at most.
        temperature: 0 takes the likeliest token each time.
        top_p: share of the probability that tokens are drawn from; 1 is all.
        top_k: number of the tokens that are drawn from; 0 is all.
        stop: texts that end the answer and are not part of it.
        seed: the same answer for the same request, where the backend can do that.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be answered.

    Attributes:
        question: the last thing that the person said.
        history: what was said before it, oldest first; the caller's own system messages are part of it.
        retrieved: what the documents have on it.
        sampling: how the text is generated.
        whole: whether nobody reads the text before it is complete, so that it need not come in pieces.
    """

    question: str
    history: tuple[Message, ...]
    retrieved: Retrieved
    sampling: Sampling = field(default_factory=Sampling)
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """A passage as the model got it: [1] in its answer is the first one of `Prompt.passages`.

    Attributes:
        document: index in `Task.retrieved.documents`.
        text: that was given; shorter than the document's where it did not fit whole.
    """

    document: int
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is given for a task.

    Attributes:
        task: that it was made for.
        passages: in the order of their numbers, from [1]; empty where no model is asked.
        messages: the conversation.
        text: the same in the model's own chat template; "" where the backend applies it.
        tokens: length, as counted or estimated; 0 where no model is asked.
        max_tokens: of the answer; what the task asks for where the model has room for it, else less.
        whole: whether every passage is there in full.
    """

    task: Task
    passages: tuple[Shown, ...] = ()
    messages: tuple[Message, ...] = ()
    text: str = ""
    tokens: int = 0
    max_tokens: int = 0
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a request took, as the backend counts them, else as they are estimated."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer, as soon as it is there.

    Attributes:
        text: to be put after what came before; may be "".
        finish: why the text ends, on the last piece; "" on all others.
        usage: on the last piece at the latest, where it is known.
        prompt: the prompt that was really given, on the piece before any text, where it is not the one that
            `Plan.answer` got: the backend found that one too long.
    """

    text: str = ""
    finish: Literal["", "stop", "length"] = ""
    usage: Usage | None = None
    prompt: Prompt | None = None


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """Where a plan's backend is and what is known about its model.

    | field | extractive | openai | triton-engine, triton-llmapi |
    | --- | --- | --- | --- |
    | url | not used | base URL; ends in /v1 mostly | base URL of the Triton server |
    | model | not used | "" is the only one that the server has | "" is `ensemble` or `tensorrt_llm` |
    | key | not used | sent as a bearer token | not used: the caller's own Authorization is passed on |
    | tokenizer | not used | "" lets the server count | needed: the folder of the model's tokenizer |
    | context_tokens | not used | 0 asks the server, else 4096 | 0 is 4096 |
    | longest_answer | not used | 0 is half of the context | as `openai`; of `triton-engine` 1024 where that is less |
    """

    url: str = ""
    model: str = ""
    key: str = field(default="", repr=False)
    ca_bundle: Path | None = None
    tokenizer: Path | None = None
    context_tokens: int = 0
    longest_answer: int = 0
    connections: int = 256


class Plan(Protocol):
    """Makes the text of answers.

    Attributes:
        name: as in `open_plan`.
        needs_quotes: whether `Task.retrieved.quotes` are to be fetched.
        quoted: whether every word of an answer stands in the documents, so that there is nothing to check.
    """

    name: str
    needs_quotes: bool
    quoted: bool

    async def check(self) -> None:
        """Find out whether the backend can answer, and what it wants to be asked.

        Raises:
            ServiceError: it cannot; the message says what is wrong.
        """

    def prepare(self, task: Task) -> Prompt:
        """Return the prompt for a task, within the model's context.

        Raises:
            ServiceError: 413, the question alone is too long.
        """

    def answer(self, prompt: Prompt, caller: Caller) -> AsyncGenerator[Piece, None]:
        """Yield the answer; the last piece has a `finish`. Closing it cancels at the backend where that can be done.

        Raises:
            ServiceError: the backend refused or failed, before the first piece or amid the text, or is too late.
        """

    async def close(self) -> None:
        """Close connections."""


def open_plan(name: str, settings: PlanSettings) -> Plan:
    """Return a plan by its name.

    Raises:
        SettingError: there is no such plan, or the settings lack what it needs.
    """
    if name not in plan_names():
        raise SettingError(f"there is no serving plan {name!r}: choose one of {', '.join(plan_names())}")
    module = importlib.import_module(f"{__package__}.{name.replace('-', '_')}")
    plan: Plan = module.open_plan(settings)
    return plan


def plan_names() -> list[str]:
    """Return the names of all plans."""
    folder = str(Path(__file__).parent)
    return sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules([folder]) if m.name != Path(__file__).stem)
