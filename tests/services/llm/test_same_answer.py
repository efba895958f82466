"""The chain's answers without a model are those of the library."""

import asyncio
from pathlib import Path

import pytest

from ragline.live import LiveIndex
from ragline.services.edge.caller import Caller
from ragline.services.llm.asked import Asked
from ragline.services.llm.gate import Gate
from ragline.services.llm.plans.extractive import Extractive
from ragline.services.llm.responder import Responder
from ragline.services.llm.retrieved import Retrieved
from ragline.services.vectorstore.service import VectorStoreService
from tests.reindex.conftest import Corpus


class Direct:
    """The vector store's service, without HTTP between."""

    def __init__(self, service: VectorStoreService) -> None:
        self._service = service

    async def find(self, asked: Asked, caller: Caller, *, quotes: bool) -> Retrieved:
        """Return what it predicts."""
        instance = {"input": asked.question, "num_docs": asked.num_docs, "quotes": quotes}
        (prediction,) = await self._service.predict([instance], caller)
        return Retrieved.of(prediction)


def test_text_and_citations_are_those_of_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Word for word and number for number, found or not."""
    monkeypatch.setenv("RAGLINE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "store").mkdir()
    corpus = Corpus(tmp_path / "docs", str(tmp_path / "store"), tmp_path / "work")
    corpus.write(
        ferry="The ferry leaves at seven. It waits for nobody. Tickets cost four crowns.",
        tower="# Tower\n\nThe tower is green.\n\nIts door is open from nine to five.",
        harbour="The harbour has two piers, and the ferry leaves from the second one.",
    )
    corpus.run()
    with LiveIndex(corpus.store_uri, corpus.name, tmp_path / "served", interval=0.05) as live:
        assert live.wait(60), live.status()
        responder = Responder(Extractive(), Direct(VectorStoreService(live)), Gate(4, 4))
        found = []
        for question in ("When does the ferry leave?", "Is the door of the tower open?", "Who won the cup in 1954?"):
            with live.answerer() as answerer:
                expected = answerer.ask(question)
            outcome = asyncio.run(responder.answer(Asked(question), Caller("r")))
            assert (outcome.answer, outcome.citations) == (expected.answer, expected.citations)
            assert (outcome.found, outcome.release) == (expected.found, expected.release)
            found.append(outcome.found)
    assert True in found
