"""A question through all stages, with a scripted store and a scripted plan."""

import asyncio
import threading
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from ragline.errors import ServiceError
from ragline.services.edge.caller import Caller
from ragline.services.llm.asked import Asked
from ragline.services.llm.gate import Gate
from ragline.services.llm.plans.extractive import Extractive
from ragline.services.llm.plans.plan import Message, Plan, Prompt, Sampling, Task
from ragline.services.llm.responder import Outcome, Responder
from ragline.services.llm.retrieved import Retrieved
from ragline.services.llm.service import LlmService
from ragline.services.llm.showing import NO_TEXT, NOT_CARRIED, PARTLY_CARRIED, Show
from ragline.services.llm.store_client import StoreClient
from ragline.services.llm.support import NOTHING
from tests.services.llm.stand_ins import FOUND, ScriptedPlan, ScriptedStore

QUESTION = Asked("What do hotels cost?")
STAGES = ["retrieve", "queue", "prompt", "first_token", "generate", "support"]
CALLER = Caller("r1", "Bearer secret")


def responder(plan: Plan, store: ScriptedStore | None = None, *, show: Show = "all", **limits: int) -> Responder:
    """Return a responder."""
    return Responder(plan, store or ScriptedStore(), Gate(**{"concurrency": 4, "queue": 4, **limits}), show=show)


def respond(asking: Responder, asked: Asked = QUESTION, caller: Caller = CALLER) -> tuple[list[str], Outcome]:
    """Return the texts of an answer as they came, and its outcome."""

    async def run() -> list[str | Outcome]:
        return [part async for part in asking.respond(asked, caller)]

    *texts, outcome = asyncio.run(run())
    assert isinstance(outcome, Outcome)
    assert [text for text in texts if not isinstance(text, str)] == []
    assert "".join(map(str, texts)) == outcome.answer
    return [str(text) for text in texts], outcome


def test_an_answer_comes_piece_by_piece_and_is_worth_something() -> None:
    """Citations point at the passages that carry it; usage and finish are the backend's."""
    texts, outcome = respond(responder(ScriptedPlan()))
    assert texts == ["Hotels cost at most ", "150 EUR a night [1]."]
    assert (outcome.found, outcome.supported, outcome.finish, outcome.release) == (True, True, "stop", "a" * 16)
    assert [(c.number, c.source, c.quote in FOUND.documents[0].text) for c in outcome.citations] == [
        (1, "travel.md", True)
    ]
    assert (outcome.usage.prompt_tokens, outcome.usage.completion_tokens) == (20, 2)
    stages = ["retrieve", "vectorstore", "queue", "prompt", "first_token", "generate", "support", "total"]
    assert list(outcome.timings) == stages


def test_passages_are_named_where_the_model_names_none() -> None:
    """The numbers stand at the end."""
    texts, outcome = respond(responder(ScriptedPlan(["  Hotels cost at most 150 EUR a night."])))
    assert texts == ["Hotels cost at most 150 EUR a night.", " [1]"]
    assert outcome.supported


@pytest.mark.parametrize(
    ("pieces", "remark", "numbers"),
    [
        (["Hotels are free [1]."], NOT_CARRIED, []),
        (["Meals cost 40 EUR a day [1]. Hotels cost 99 EUR [1]."], PARTLY_CARRIED, [1]),
    ],
)
def test_what_is_not_carried_is_said(pieces: list[str], remark: str, numbers: list[int]) -> None:
    """A plain sentence after the answer."""
    _, outcome = respond(responder(ScriptedPlan(pieces)))
    assert outcome.answer == f"{pieces[0]}\n\n{remark}"
    assert not outcome.supported
    assert [citation.number for citation in outcome.citations] == numbers


def test_a_model_that_finds_no_answer_is_believed() -> None:
    """It claims nothing."""
    _, outcome = respond(responder(ScriptedPlan([NOTHING])))
    assert (outcome.answer, outcome.found, outcome.supported, outcome.citations) == (NOTHING, False, False, ())


def test_a_model_that_says_nothing_is_reported() -> None:
    """An empty answer is not shown as one."""
    _, outcome = respond(responder(ScriptedPlan([])))
    assert (outcome.answer, outcome.supported) == (NO_TEXT, False)


def test_the_model_is_not_asked_where_nothing_was_found() -> None:
    """There is nothing to answer from."""
    plan = ScriptedPlan()
    texts, outcome = respond(responder(plan, ScriptedStore(replace(FOUND, found=False))))
    assert texts == [NOTHING]
    assert (outcome.found, outcome.supported, outcome.release) == (False, False, "a" * 16)
    assert plan.tasks == []


def test_given_texts_take_the_place_of_retrieval() -> None:
    """The store is not asked, and the texts are cited."""
    store = ScriptedStore()
    plan = ScriptedPlan(["Lunch costs 12 EUR [1]."])
    _, outcome = respond(responder(plan, store), Asked("What does lunch cost?", context=("Lunch costs 12 EUR.",)))
    assert store.asked == []
    assert [(c.source, c.quote) for c in outcome.citations] == [("context 1", "Lunch costs 12 EUR.")]
    assert (outcome.release, outcome.supported) == ("", True)


def test_quotes_come_as_they_are() -> None:
    """Without a model there is nothing to check: text and citations are those of the command line."""
    store = ScriptedStore()
    _, outcome = respond(responder(Extractive(), store))
    assert outcome.answer == "Hotels cost at most 150 EUR a night. [1]"
    assert [(c.number, c.quote, c.score) for c in outcome.citations] == [
        (1, "Hotels cost at most 150 EUR a night.", 0.9)
    ]
    (asked, _, quotes) = store.asked[0]
    assert (asked.num_docs, quotes) == (1, True)
    _, outcome = respond(responder(Extractive(), ScriptedStore(replace(FOUND, quotes=()))))
    assert (outcome.answer, outcome.found) == (NOTHING, False)


def test_quotes_are_found_in_given_texts() -> None:
    """By the question's words."""
    _, outcome = respond(responder(Extractive()), Asked("What does lunch cost?", context=("Lunch costs 12 EUR.",)))
    assert (outcome.answer, outcome.supported) == ("Lunch costs 12 EUR. [1]", True)
    _, outcome = respond(responder(Extractive()), Asked("Elephants?", context=("Lunch costs 12 EUR.",)))
    assert (outcome.answer, outcome.found) == (NOTHING, False)


def test_only_carried_sentences_are_shown_where_that_is_wanted() -> None:
    """Each with the numbers of what carries it, as soon as it is complete."""
    pieces = ["Sure! Hotels cost at most 150 ", "EUR a night [2]. Hotels cost ", "at most 150 EUR. Meals cost 40 EUR. "]
    texts, outcome = respond(responder(ScriptedPlan([*pieces, "Pool ", "included."]), show="supported"))
    assert texts == ["Hotels cost at most 150 EUR. [1]", " Meals cost 40 EUR. [1]"]
    assert outcome.supported
    assert [citation.number for citation in outcome.citations] == [1]


@pytest.mark.parametrize("pieces", [["The moon is made of cheese."], [], [NOTHING]])
def test_quotes_are_shown_where_no_sentence_is_carried(pieces: list[str]) -> None:
    """Nobody reads what the documents do not say."""
    _, outcome = respond(responder(ScriptedPlan(pieces), show="supported"))
    assert outcome.answer == "Hotels cost at most 150 EUR a night. [1]"
    assert (outcome.found, outcome.supported, len(outcome.citations)) == (True, True, 1)


def test_the_plan_gets_the_conversation_and_the_callers_identity() -> None:
    """Retrieval asks the last question alone."""
    plan, store = ScriptedPlan(), ScriptedStore()
    history = (Message("user", "Hello"), Message("assistant", "Hi"))
    respond(responder(plan, store), replace(QUESTION, history=history, sampling=Sampling(max_tokens=7)))
    assert (plan.tasks[0].question, plan.tasks[0].history, plan.tasks[0].sampling.max_tokens) == (
        QUESTION.question,
        history,
        7,
    )
    assert store.asked[0][0].question == QUESTION.question
    assert (plan.callers[0].request_id, plan.callers[0].authorization) == ("r1", "Bearer secret")


def test_only_who_reads_along_asks_for_pieces() -> None:
    """A backend that knows that an answer is wanted whole need not take it apart."""
    plan = ScriptedPlan()
    outcome = asyncio.run(responder(plan).answer(QUESTION, CALLER))
    assert outcome.answer == "".join(respond(responder(plan))[0])
    assert [task.whole for task in plan.tasks] == [True, False]


@pytest.mark.parametrize(("length", "aside"), [(100, False), (100_000, True)])
def test_long_texts_are_worked_on_beside_the_other_requests(length: int, *, aside: bool) -> None:
    """Short ones at once: waking a thread would take longer."""
    threads = []

    class Noting(ScriptedPlan):
        def prepare(self, task: Task) -> Prompt:
            threads.append(threading.current_thread())
            return super().prepare(task)

    respond(responder(Noting()), replace(QUESTION, context=("x" * length,)))
    assert [thread is not threading.main_thread() for thread in threads] == [aside]


def test_so_many_generate_at_once_and_no_more() -> None:
    """The others wait; those beyond the queue are refused, with the time after which to ask again."""
    plan = ScriptedPlan(pause=0.02)
    asking = responder(plan, concurrency=2, queue=3)

    async def run() -> list[Outcome | BaseException]:
        return await asyncio.gather(*(asking.answer(QUESTION, CALLER) for _ in range(8)), return_exceptions=True)

    before = REGISTRY.get_sample_value("ragline_shed_total", {"queue": "llm"}) or 0.0
    results = asyncio.run(run())
    refused = [result for result in results if isinstance(result, ServiceError)]
    assert (len(refused), plan.most_running) == (3, 2)
    assert {(failure.status, failure.retry_after >= 1) for failure in refused} == {(429, True)}
    assert REGISTRY.get_sample_value("ragline_shed_total", {"queue": "llm"}) == before + 3
    assert REGISTRY.get_sample_value("ragline_queue_length", {"queue": "llm"}) == 0


@pytest.mark.parametrize("after", [0, 1])
def test_closing_an_answer_cancels_it_and_gives_its_place_back(after: int) -> None:
    """At once, wherever it is."""
    plan = ScriptedPlan(pause=30)
    asking = responder(plan, concurrency=1, queue=0)

    async def run() -> None:
        task = asyncio.create_task(asking.answer(QUESTION, CALLER))
        while not plan.running:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with aclosing(asking.respond(QUESTION, CALLER)) as parts:
            for _ in range(after):
                await anext(parts)

    asyncio.run(run())
    assert (plan.running, plan.cancelled) == (0, 1 + after)


def test_a_failure_amid_the_text_ends_the_answer() -> None:
    """It keeps its meaning."""
    asking = responder(ScriptedPlan(["Hotels ", ServiceError("backend: broken", 503)]))
    with pytest.raises(ServiceError, match="backend: broken"):
        respond(asking)


def counted() -> dict[str, float]:
    """Return what the metrics have counted so far."""
    stages = [f"ragline_stage_seconds_count/stage/{name}" for name in STAGES]
    tokens = [f"ragline_tokens_total/kind/{name}" for name in ("prompt", "completion")]
    samples = [name.split("/") for name in (*stages, *tokens)]
    return {f"{n} {v}": REGISTRY.get_sample_value(n, {label: v}) or 0.0 for n, label, v in samples}


def test_stages_and_tokens_are_counted() -> None:
    """Once for each answer."""
    before = counted()
    respond(responder(ScriptedPlan()))
    after = counted()
    assert {name: after[name] - before[name] for name in before} == {
        **{f"ragline_stage_seconds_count {stage}": 1 for stage in STAGES},
        "ragline_tokens_total prompt": 20,
        "ragline_tokens_total completion": 2,
    }


def service(asking: Responder) -> LlmService:
    """Return the service around a responder."""
    return LlmService(asking, StoreClient("http://127.0.0.1:1"), model="m")


def test_instances_are_answered_at_once_and_in_their_order() -> None:
    """Each with all that is known about its answer."""
    plan = ScriptedPlan(pause=0.01)
    predictions = asyncio.run(service(responder(plan)).predict([{"input": "a?"}, {"input": "b?"}], CALLER))
    assert plan.most_running == 2
    assert [sorted(prediction) for prediction in predictions] == [
        ["answer", "citations", "found", "model", "plan", "release", "supported", "timings", "usage"]
    ] * 2
    assert predictions[0]["usage"] == {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22}
    assert (predictions[0]["plan"], predictions[0]["model"]) == ("scripted", "m")


@pytest.mark.parametrize(
    ("instance", "message"),
    [
        (3, r"instances\[1\] is 3: expected an object"),
        ({}, r"instances\[1\].input is missing: expected a text"),
        ({"input": ""}, r"instances\[1\].input: the question is empty"),
        ({"input": "x" * 10_001}, r"instances\[1\].input: the question has 10,001 characters"),
        ({"input": "a?", "num_docs": 0}, r"instances\[1\].num_docs is 0: expected a whole number from 1 to 50"),
        ({"input": "a?", "num_docs": True}, r"instances\[1\].num_docs is true"),
        ({"input": "a?", "max_tokens": "9"}, r"instances\[1\].max_tokens is a text"),
        ({"input": "a?", "temperature": -1}, r"instances\[1\].temperature is -1: expected a number from 0 to 2"),
        ({"input": "a?", "temperature": 10**400}, r"instances\[1\].temperature is a huge number"),
        ({"input": "a?", "top_p": 1.5}, r"instances\[1\].top_p is 1.5"),
        ({"input": "a?", "top_k": 0.5}, r"instances\[1\].top_k is 0.5"),
        ({"input": "a?", "filter": []}, r"instances\[1\].filter is a list of 0: expected an object"),
        ({"input": "a?", "context": [1]}, r"instances\[1\].context is a list of 1: expected a text or a list"),
    ],
)
def test_a_malformed_instance_is_named(instance: Any, message: str) -> None:
    """None is answered then."""
    plan = ScriptedPlan()
    with pytest.raises(ServiceError, match=message) as caught:
        asyncio.run(service(responder(plan)).predict([{"input": "a?"}, instance], CALLER))
    assert (caught.value.status, plan.tasks) == (400, [])


def test_too_long_a_context_is_refused() -> None:
    """All texts together."""
    instances = [{"input": "a?", "context": ["x" * 150_000] * 2}]
    with pytest.raises(ServiceError, match=r"instances\[0\].context has 300,000 characters") as caught:
        asyncio.run(service(responder(ScriptedPlan())).predict(instances, CALLER))
    assert caught.value.status == 413


def test_a_failing_instance_is_named_with_its_own_status() -> None:
    """As the vector store said it; the other instances are given up."""
    store = ScriptedStore(failure=ServiceError("vectorstore: busy", 429, retry_after=3))
    with pytest.raises(ServiceError, match=r"instances\[0\]: vectorstore: busy") as caught:
        asyncio.run(service(responder(ScriptedPlan(), store)).predict([{"input": "a?"}], CALLER))
    assert (caught.value.status, caught.value.retry_after) == (429, 3)


def test_late_instances_are_cancelled() -> None:
    """All of them, when the caller's time is over."""
    plan = ScriptedPlan(first_pause=30)
    caller = Caller.from_headers({"x-request-timeout-ms": "100"})
    with pytest.raises(TimeoutError):
        asyncio.run(service(responder(plan)).predict([{"input": "a?"}, {"input": "b?"}], caller))
    assert (plan.running, plan.cancelled) == (0, 2)


def test_an_empty_context_is_none() -> None:
    """The tutorial's clients send an empty text."""
    store = ScriptedStore()
    asyncio.run(service(responder(ScriptedPlan(), store)).predict([{"input": "a?", "context": ""}], CALLER))
    assert len(store.asked) == 1


@pytest.mark.parametrize(
    "answer", [{}, {"found": True}, [], {"found": True, "documents": [{}], "release": "", "model": ""}]
)
def test_something_else_than_a_vector_store_is_recognised(answer: Any) -> None:
    """The message says what to look at."""
    with pytest.raises(ServiceError, match="is its URL that of another service") as caught:
        Retrieved.of(answer)
    assert caught.value.status == 502
