"""The llm service as a process: overload, backends that come and go, and what it shows of a model's text."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import httpx

from tests.services.llm.conftest import Llm, llm_process
from tests.services.llm.stand_ins import StoreServer, http_server, wait_until

PREDICT = "/v1/models/llm:predict"


def test_a_busy_service_refuses_and_says_when_to_ask_again(llm: Llm, tmp_path: Path) -> None:
    """What is beyond the queue is shed at once."""
    llm.model.pause = 0.05
    with http_server(llm.store.application) as store:
        options = ["--plan", "openai", "--llm-url", llm.model_url, "--vectorstore-url", store]
        with llm_process(tmp_path / "log", *options, "--concurrency", "1", "--queue", "2") as url:

            async def run() -> list[httpx.Response]:
                async with httpx.AsyncClient() as http:
                    body = {"instances": [{"input": "What?"}]}
                    return await asyncio.gather(*(http.post(f"{url}{PREDICT}", json=body) for _ in range(6)))

            answers = asyncio.run(run())
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 3
    assert {int(answer.headers["retry-after"]) >= 1 for answer in answers if answer.status_code == 429} == {True}


def test_readiness_tells_the_truth(tmp_path: Path) -> None:
    """A question that cannot be answered says why; the probe follows."""
    with ExitStack() as stack:
        store = ExitStack()
        store_url = store.enter_context(http_server(StoreServer().application))
        url = stack.enter_context(llm_process(tmp_path / "log", "--vectorstore-url", store_url))
        assert httpx.get(f"{url}/v2/models/llm/ready").status_code == 200
        answer = httpx.post(f"{url}{PREDICT}", json={"instances": [{"input": "What do hotels cost?"}]})
        assert answer.json()["predictions"][0]["plan"] == "extractive"
        store.close()
        answer = httpx.post(f"{url}{PREDICT}", json={"instances": [{"input": "What do hotels cost?"}]})
        assert answer.status_code == 503
        assert "vectorstore at http://127.0.0.1" in answer.json()["error"]
        wait_until(lambda: httpx.get(f"{url}/v2/models/llm/ready").status_code == 503, 8)
        port = int(store_url.rpartition(":")[2])
        stack.enter_context(http_server(StoreServer().application, port))
        wait_until(lambda: httpx.get(f"{url}/v2/models/llm/ready").status_code == 200)


def test_only_quotes_are_shown_of_a_model_that_makes_things_up(llm: Llm, tmp_path: Path) -> None:
    """The option `--show supported`."""
    llm.model.words = ["Hotels ", "are ", "free. ", "Meals ", "cost ", "40 ", "EUR ", "a ", "day."]
    with http_server(llm.store.application) as store:
        options = ["--plan", "openai", "--llm-url", llm.model_url, "--vectorstore-url", store]
        with llm_process(tmp_path / "log", *options, "--show", "supported") as url:
            answer = httpx.post(f"{url}{PREDICT}", json={"instances": [{"input": "What do meals cost?"}]})
            assert answer.json()["predictions"][0]["answer"] == "Meals cost 40 EUR a day. [1]"
            llm.model.words = ["Hotels ", "are ", "free."]
            answer = httpx.post(f"{url}{PREDICT}", json={"instances": [{"input": "What do meals cost?"}]})
            assert answer.json()["predictions"][0]["answer"] == "Hotels cost at most 150 EUR a night. [1]"
