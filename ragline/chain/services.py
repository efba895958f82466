"""The services of a chain, as its options ask for them."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ragline.chain.embedder import EmbedderService
from ragline.chain.options import SMALL_MODEL, ChainOptions
from ragline.chain.ports import HOST, Ports
from ragline.chain.service import PythonService, Service
from ragline.chain.state import Place

ORDER = ("llm", "small-llm", "vectorstore", "embedder")
"""From where questions come in to what answers them: services are stopped in this order."""


@dataclass(frozen=True)
class Services:
    """The services of a chain; none is started.

    Attributes:
        llm: where questions come in.
        vectorstore: finds passages.
        embedder: embeds questions.
        small_llm: a small language model, where it is asked for.
    """

    llm: PythonService
    vectorstore: PythonService
    embedder: EmbedderService
    small_llm: PythonService | None

    @classmethod
    def of(
        cls,
        options: ChainOptions,
        triton: Path,
        cache: Path,
        place: Place,
        ports: Ports,
        stopping: threading.Event,
    ) -> Self:
        """Return what the options ask for.

        Args:
            options: of the chain.
            triton: the environment of the Triton server.
            cache: folder for what can be made again.
            place: of the chain.
            ports: to listen on.
            stopping: ends what takes long.
        """
        embedder = EmbedderService(triton, options.store, options.name, place.repository, place.folder, ports, stopping)
        small = _small_llm(place, ports) if options.small_llm else None
        return cls(_llm(options, place, ports), _vectorstore(options, cache, place, ports), embedder, small)

    @property
    def independent(self) -> list[Service]:
        """Those that can be started before the embedder's model is prepared."""
        return [self.llm, *([self.small_llm] if self.small_llm else [])]

    @property
    def all(self) -> list[Service]:
        """All, in the order of `ORDER`."""
        return [*self.independent, self.vectorstore, self.embedder]


def _url(port: int) -> str:
    return f"http://{HOST}:{port}"


def _vectorstore(options: ChainOptions, cache: Path, place: Place, ports: Ports) -> PythonService:
    arguments = {
        "--store": options.store,
        "--name": options.name,
        "--embedder-url": _url(ports.embedder),
        "--cache": str(cache),
        "--host": HOST,
        "--port": str(ports.vectorstore),
    }
    return _service("vectorstore", place, ports.vectorstore, arguments, "/v2/models/vectorstore/ready")


def _llm(options: ChainOptions, place: Place, ports: Ports) -> PythonService:
    arguments = {
        "--plan": options.serving_plan,
        "--vectorstore-url": _url(ports.vectorstore),
        "--host": HOST,
        "--port": str(ports.llm),
    }
    if options.small_llm:
        # What so small a model says is shown only where a document says it too.
        arguments |= {"--llm-url": _url(ports.small_llm) + "/v1", "--llm-model": SMALL_MODEL, "--show": "supported"}
    given = {"--llm-url": options.llm_url, "--llm-model": options.llm_model, "--tokenizer": options.tokenizer}
    arguments |= {name: value for name, value in given.items() if value}
    return _service("llm", place, ports.llm, arguments, "/v2/models/llm/ready")


def _small_llm(place: Place, ports: Ports) -> PythonService:
    arguments = {"--port": str(ports.small_llm)}
    return _service("small-llm", place, ports.small_llm, arguments, "/health")


def _service(name: str, place: Place, port: int, arguments: dict[str, str], ready: str) -> PythonService:
    words = [word for pair in arguments.items() for word in pair]
    module = f"ragline.services.{name.replace('-', '_')}"
    return PythonService(name, _url(port), place.log_of(name), module, words, ready)
