"""What only an odd Triton does, or what is in front of it: a stand-in of its HTTP API."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ragline.errors import ServiceError, SettingError
from ragline.services.llm.plans.plan import Plan, PlanSettings, open_plan
from tests.services.plans.asking import answer, caller, run, task, whole
from tests.services.plans.openai_server import OpenAiServer
from tests.services.plans.tokenizer_folder import LLAMA, write_tokenizer

MODELS = {"triton-engine": "ensemble", "triton-llmapi": "tensorrt_llm"}
INPUTS = ["text_input", "max_tokens", "stream", "streaming", "sampling_param_max_tokens", "stop", "stop_words"]
CONFIG = {
    "input": [{"name": name} for name in (*INPUTS, "return_num_input_tokens", "top_k", "temperature", "top_p")],
    "model_transaction_policy": {"decoupled": True},
}
BOTH = pytest.mark.parametrize("name", sorted(MODELS))


def plan_of(server: OpenAiServer, tokenizer: Path, name: str, events: Any, config: Any = CONFIG) -> Plan:
    """Return a plan with a stand-in that answers with these events."""
    path = f"/v2/models/{MODELS[name]}"
    server.others |= {f"{path}/config": (200, config), f"{path}/generate_stream": events, f"{path}/generate": events}
    return open_plan(name, PlanSettings(url=server.url.removesuffix("/v1"), tokenizer=tokenizer))


def generated(server: OpenAiServer) -> list[Any]:
    """Return the requests for a text."""
    return [each for each in server.asked if each.path.endswith("generate_stream")]


@BOTH
def test_the_callers_token_goes_on(openai_server: OpenAiServer, tokenizer: Path, name: str) -> None:
    """Each request has its own caller's Authorization, id and deadline, however many run at once."""
    plan = plan_of(openai_server, tokenizer, name, [{"text_output": "It is.", "finish_reason": "stop"}])

    async def many() -> None:
        callers = [caller(authorization=f"Bearer t{n}", **{"x-request-id": f"id{n}"}) for n in range(30)]
        await asyncio.gather(*(answer(plan, task(f"number {n}"), who) for n, who in enumerate(callers)))

    run(plan, many)
    requests = generated(openai_server)
    assert len(requests) == 30
    for each in requests:
        number = each.body["text_input"].partition("Question: number ")[2].partition("<")[0]
        assert each.headers["authorization"] == f"Bearer t{number}"
        assert each.headers["x-request-id"] == f"id{number}"
        assert 0 < int(each.headers["x-request-timeout-ms"]) <= 25_000
        assert each.body["id"] == each.headers["triton-request-id"]
        assert each.body["id"].startswith(f"id{number}")


@BOTH
@pytest.mark.parametrize(
    ("events", "status", "message"),
    [
        ([], 503, "ended without an answer"),
        ([{"error": "Exceeds maximum queue size"}], 429, "Exceeds maximum queue size"),
        ((400, {"error": "in ensemble, Exceeds maximum queue size"}), 429, "Exceeds maximum queue size"),
        ([{"text_output": "It"}, {"error": "gone"}], 503, "language model: gone"),
        (["[1]"], 502, "sent what is no response"),
        (["{"], 502, "sent what is no response"),
        ((401, {"error": "who are you?"}), 401, "who are you?"),
        ((403, {"error": "not you"}), 403, "not you"),
        ((503, {"error": "starting"}), 503, "starting"),
        ((500, {"error": "broken"}), 502, "broken"),
    ],
)
def test_errors(
    openai_server: OpenAiServer, tokenizer: Path, name: str, events: Any, status: int, message: str
) -> None:
    """What a gateway says keeps its status; a full queue is 429 with a time to come back."""
    with pytest.raises(ServiceError, match=message) as failure:
        whole(plan_of(openai_server, tokenizer, name, events))
    assert failure.value.status == status
    assert failure.value.retry_after == (1.0 if status == 429 else 0.0)


@BOTH
@pytest.mark.parametrize("status", [401, 403])
def test_check_of_a_guarded_server(openai_server: OpenAiServer, tokenizer: Path, name: str, status: int) -> None:
    """A server that wants to know who is calling is there: the first caller's identity is used to look."""
    plan = plan_of(openai_server, tokenizer, name, [])
    openai_server.others[f"/v2/models/{MODELS[name]}/config"] = (status, {"error": "no"})
    run(plan, plan.check)
    assert "authorization" not in openai_server.asked[0].headers

    async def asked() -> None:
        await answer(plan, task())

    with pytest.raises(ServiceError, match="no"):
        run(plan, asked)
    assert openai_server.asked[-1].headers["authorization"] == "Bearer of-the-caller"


@BOTH
@pytest.mark.parametrize("config", [{}, [], {"input": [1]}, {"input": [], "ensemble_scheduling": {"step": [{}]}}])
def test_no_triton(openai_server: OpenAiServer, tokenizer: Path, name: str, config: Any) -> None:
    """Something else at the URL is told."""
    plan = plan_of(openai_server, tokenizer, name, [], config)
    with pytest.raises(ServiceError, match="is not what a Triton server says"):
        run(plan, plan.check)


@BOTH
def test_numbers_and_lists(openai_server: OpenAiServer, tokenizer: Path, name: str) -> None:
    """Outputs with a dimension for beams are lists."""
    events = [
        {"text_output": ["It is."], "finish_reason": ["length"], "num_input_tokens": [7], "num_output_tokens": [64]}
    ]
    found = whole(plan_of(openai_server, tokenizer, name, events))
    assert (found.text, found.finish) == ("It is.", ["length"])
    assert found.usage is not None
    assert (found.usage.prompt_tokens == 7) == (name == "triton-engine")


@BOTH
@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        ({}, {"top_k": 1}),
        ({"temperature": 0.5}, {"temperature": 0.5, "top_k": 0, "top_p": 1.0}),
        ({"temperature": 0.5, "top_k": 40, "top_p": 0.9}, {"temperature": 0.5, "top_k": 40, "top_p": 0.9}),
        ({"temperature": 0.5, "top_k": 1}, {"top_k": 1}),
    ],
)
def test_sampling(
    openai_server: OpenAiServer, tokenizer: Path, name: str, sampling: dict[str, Any], expected: dict[str, float]
) -> None:
    """Greedy is the likeliest token, not a temperature of 0, which the engine refuses; nothing is left to defaults."""
    prefix = "sampling_param_" if name == "triton-llmapi" else ""
    names = ("temperature", "top_k", "top_p")
    config = CONFIG | {"input": [{"name": f"{prefix}{each}"} for each in names]}
    whole(plan_of(openai_server, tokenizer, name, [{"text_output": "It"}], config), task(**sampling))
    body = generated(openai_server)[0].body
    assert {key.removeprefix(prefix): value for key, value in body.items() if key != "id"} == expected


@BOTH
def test_the_prompt_begins_once(openai_server: OpenAiServer, tmp_path: Path, name: str) -> None:
    """The token that begins a prompt is left to a tokenizer that adds it."""
    folder = write_tokenizer(tmp_path, LLAMA, adds_bos=True)
    plan = plan_of(openai_server, folder, name, [{"text_output": "It"}])
    assert plan.prepare(task()).text.startswith("<s>")
    whole(plan)
    assert generated(openai_server)[0].body["text_input"].startswith("<|start|>system")


def test_llmapi_that_sends_parts(openai_server: OpenAiServer, tokenizer: Path) -> None:
    """Responses that hold only what is new are understood too, and half a character is waited for."""
    parts = [{"text_output": text} for text in ("It ", "is ", "so.")]
    assert whole(plan_of(openai_server, tokenizer, "triton-llmapi", parts)).text == "It is so."
    grown = [{"text_output": text} for text in ("gr\ufffd", "grö\ufffd", "größe")]
    assert whole(plan_of(openai_server, tokenizer, "triton-llmapi", grown)).parts == ["gr", "ö", "ße"]


@pytest.mark.parametrize(("reason", "status"), [("timeout", 504), ("cancelled", 503)])
def test_llmapi_that_ends_early(openai_server: OpenAiServer, tokenizer: Path, reason: str, status: int) -> None:
    """An answer that the model gave up is no answer."""
    plan = plan_of(openai_server, tokenizer, "triton-llmapi", [{"text_output": "It", "finish_reason": reason}])
    with pytest.raises(ServiceError, match=f"ended the answer early .{reason}.") as failure:
        whole(plan)
    assert failure.value.status == status


@pytest.mark.parametrize(
    ("url", "message"),
    [("", "--llm-url is ''"), ("grpc://host:8001", "has http://host:port"), ("http://a:b@h", "holds")],
)
def test_malformed_url(tokenizer: Path, url: str, message: str) -> None:
    """A URL that cannot be meant is refused at the start."""
    with pytest.raises(SettingError, match=message):
        open_plan("triton-engine", PlanSettings(url=url, tokenizer=tokenizer))
