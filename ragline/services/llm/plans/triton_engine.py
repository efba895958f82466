"""TensorRT-LLM's engine in a Triton server: the ensemble of preprocessing, tensorrt_llm and postprocessing.

Its client hides which inputs a version has, that the prompt may be repeated, that a stop text is part of the answer,
and that nobody says why the answer ends. Leaving an answer does not reach the engine (an ensemble does not pass it on),
so that the answer's length is bounded: the engine is free again when it has written that much.

`tensorrt_llm_bls` has the same inputs and outputs, and can be asked in the place of `ensemble`.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from ragline.services.edge.caller import Caller
from ragline.services.llm.answer_text import AnswerText
from ragline.services.llm.plans.plan import Piece, PlanSettings, Prompt, Usage
from ragline.services.llm.triton_generate import Description, first_text
from ragline.services.llm.triton_plan import TritonPlan, drawn

LONGEST_ANSWER = 1024
"""Tokens: what an answer that nobody waits for any more may cost at most."""


class TritonEngine(TritonPlan):
    """A plan with the ensemble of TensorRT-LLM."""

    def __init__(self, settings: PlanSettings) -> None:
        super().__init__("triton-engine", settings, "ensemble", longest_answer=LONGEST_ANSWER)

    async def asked(self, prompt: Prompt, known: Description, caller: Caller) -> AsyncGenerator[Piece, None]:
        """Yield the answer to one prompt."""
        text = AnswerText(echoes=self.chat.echoes(prompt.text), stop=prompt.task.sampling.stop)
        usage, said = _Usage(), ""
        body = _body(prompt, self.chat.sent(prompt.text) if known.adds_special_tokens else prompt.text, known)
        responses = self.triton.responses(body, caller, streams=known.streams, request_id=caller.request_id)
        async with aclosing(responses):
            async for response in responses:
                usage.add(response)
                if ready := text.add(first_text(response.get("text_output"))):
                    said += ready
                    yield Piece(ready)
                if text.stopped:
                    break
        said += (rest := text.end())
        completion = usage.completion or self.chat.count(said)
        # A tokenizer may need fewer tokens for the text than the model did; a response of a stream is one at least.
        cut = not text.stopped and max(completion, usage.responses) >= prompt.max_tokens
        yield Piece(rest, "length" if cut else "stop", Usage(usage.prompt or prompt.tokens, completion))


class _Usage:
    """Numbers of tokens, where the engine tells them."""

    def __init__(self) -> None:
        self.prompt = 0
        self.completion = 0
        self.responses = 0

    def add(self, response: dict[str, Any]) -> None:
        """Take what a response tells; with several, of the prompt the last one, of the answer all together."""
        self.responses += 1
        self.prompt = _number(response.get("num_input_tokens")) or self.prompt
        self.completion += _number(response.get("num_output_tokens"))


def _number(value: Any) -> int:
    found = value[0] if isinstance(value, list) and value else value
    return found if isinstance(found, int) else 0


def _body(prompt: Prompt, text: str, known: Description) -> dict[str, Any]:
    """Return the inputs of a request, those alone that this version of the ensemble has."""
    sampling = prompt.task.sampling
    inputs = {
        "text_input": text,
        "max_tokens": prompt.max_tokens,
        "stream": known.streams,
        "stop_words": list(sampling.stop) or None,
        "exclude_input_in_output": True,
        "return_num_input_tokens": True,
        "return_num_output_tokens": True,
        "seed": sampling.seed,
        "random_seed": sampling.seed,
        **drawn(sampling),
    }
    return {name: value for name, value in inputs.items() if value is not None and name in known.inputs}


def open_plan(settings: PlanSettings) -> TritonEngine:
    """Return the plan.

    Raises:
        SettingError: there is no URL or no tokenizer.
    """
    return TritonEngine(settings)
