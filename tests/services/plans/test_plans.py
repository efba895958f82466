"""All plans: they are found by their files, and `extractive` says what the vector store quoted."""

from dataclasses import replace

import pytest

from ragline.errors import ServiceError, SettingError
from ragline.services.edge.caller import Caller
from ragline.services.llm.plans.plan import Piece, PlanSettings, Prompt, open_plan, plan_names
from ragline.services.llm.retrieved import Quote
from tests.services.plans.asking import run, task, whole


def test_a_plan_is_a_file() -> None:
    """The names are those of the files."""
    assert plan_names() == ["extractive", "openai", "triton-engine", "triton-llmapi"]


def test_unknown_plan() -> None:
    """It is refused with the names that there are."""
    with pytest.raises(SettingError, match="no serving plan 'plan': choose one of extractive, openai, triton-engine"):
        open_plan("plan", PlanSettings())


@pytest.mark.parametrize("name", ["triton-engine", "triton-llmapi"])
def test_tokenizer_is_needed(name: str) -> None:
    """A plan that writes the prompt itself says what it needs for that."""
    with pytest.raises(SettingError, match=f"the plan `{name}` needs --tokenizer"):
        open_plan(name, PlanSettings(url="http://127.0.0.1:9"))


def test_key_is_not_shown() -> None:
    """Settings can be logged."""
    assert "sk-1" not in repr(PlanSettings(key="sk-1"))


def test_extractive() -> None:
    """The three best quotes with their numbers, and no prompt."""
    quotes = tuple(Quote(f"{n}.md", "S", f"Quote {n}.", 1.0) for n in range(1, 6))
    asked = replace(task(), retrieved=replace(task().retrieved, quotes=quotes))
    plan = open_plan("extractive", PlanSettings())
    assert (plan.needs_quotes, plan.quoted, plan.prepare(asked)) == (True, True, Prompt(asked))
    assert whole(plan, asked).pieces == [Piece("Quote 1. [1]\n\nQuote 2. [2]\n\nQuote 3. [3]", "stop")]


def test_extractive_without_quotes() -> None:
    """It says that there is nothing, in the words of `ragline ask`."""
    plan = open_plan("extractive", PlanSettings())
    assert whole(plan).text == "Nothing in the documents answers this question."


def test_extractive_too_late() -> None:
    """A deadline that is over is over for quotes too."""
    plan = open_plan("extractive", PlanSettings())

    async def late() -> list[Piece]:
        return [piece async for piece in plan.answer(Prompt(task()), Caller("r", deadline=0.0))]

    with pytest.raises(ServiceError, match="is over") as failure:
        run(plan, late)
    assert failure.value.status == 504
