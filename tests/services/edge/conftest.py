"""Two tiny services, of which one calls the other, and a collector of their traces."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.services.edge.collector import Collector, collecting
from tests.services.edge.processes import Running, running


@dataclass(frozen=True)
class Chain:
    """The services; `front` calls `back`."""

    front: Running
    back: Running
    collector: Collector


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Two services as processes, which send their traces; shared by all tests of the edge."""
    logs = tmp_path_factory.mktemp("logs")
    with ExitStack() as stack:
        collector = stack.enter_context(collecting())
        tracing = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-key=of-the-collector",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        back = stack.enter_context(running(logs / "back.log", **tracing))
        front = stack.enter_context(running(logs / "front.log", ["--upstream", back.url], **tracing))
        yield Chain(front, back, collector)
