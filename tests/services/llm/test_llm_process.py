"""The llm service as a process: v1, any request at all, wrong options."""

from typing import Any

import httpx
import pytest

from ragline.services.llm.__main__ import main
from tests.services.fuzz import fuzz
from tests.services.llm.conftest import Llm

PREDICT = "/v1/models/llm:predict"


def test_no_request_makes_it_fail(llm: Llm) -> None:
    """Whatever comes in, at every path of both APIs."""
    fuzz(llm.url, examples=15)


def test_v1_predicts(llm: Llm) -> None:
    """As the tutorial's clients ask: with parameters, and with texts of their own."""
    instances: list[dict[str, Any]] = [
        {
            "input": "What do hotels cost?",
            "num_docs": 2,
            "max_tokens": 20,
            "top_k": 1,
            "top_p": 0.9,
            "temperature": 0.1,
        },
        {"input": "What do hotels cost?", "context": "A hotel costs at most 150 EUR for each night."},
    ]
    answer = httpx.post(f"{llm.url}{PREDICT}", json={"instances": instances})
    first, second = answer.json()["predictions"]
    assert (first["answer"], first["supported"], first["plan"]) == (
        "Hotels cost at most 150 EUR a night [1].",
        True,
        "openai",
    )
    assert (first["citations"][0]["source"], second["citations"][0]["source"]) == ("travel.md", "context 1")
    assert (first["release"], second["release"]) == ("a" * 16, "")
    assert [request["instances"][0]["num_docs"] for request in llm.store.requests] == [2]
    assert sorted(request["max_tokens"] for request in llm.model.requests) == [20, 256]


def test_an_instance_that_fails_is_named(llm: Llm) -> None:
    """With the status of what failed."""
    llm.store.refusal = (400, "the filter is malformed")
    answer = httpx.post(f"{llm.url}{PREDICT}", json={"instances": [{"input": "x"}]})
    assert answer.status_code == 400
    assert answer.json()["error"] == "instances[0]: vectorstore: the filter is malformed"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--vectorstore-url"),
        (["--vectorstore-url", "http://127.0.0.1:1", "--plan", "magic"], "extractive"),
        (["--vectorstore-url", "http://127.0.0.1:1", "--concurrency", "0"], "whole number"),
        (["--vectorstore-url", "http://127.0.0.1:1", "--timeout", "soon"], "number of seconds"),
    ],
)
def test_wrong_options_are_refused(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything starts."""
    with pytest.raises(SystemExit) as caught:
        main(options)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
