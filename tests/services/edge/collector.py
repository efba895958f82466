"""A collector of traces that speaks OTLP over HTTP."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Span:
    """What a test wants to know of a span."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent: str
    error: str


@dataclass
class Collector:
    """Keeps the spans that it is sent, and the headers they came with."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def trace(self, trace_id: str, *, spans: int, seconds: float = 10.0) -> list[Span]:
        """Return a trace when it has so many spans."""
        end = time.monotonic() + seconds
        while len(found := [each for each in self.spans if each.trace_id == trace_id]) < spans:
            assert time.monotonic() < end, found
            time.sleep(0.05)
        return found

    def keep(self, body: bytes) -> None:
        """Take an export."""
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = next(each.value.string_value for each in group.resource.attributes if each.key == "service.name")
            for made in (each for scope in group.scope_spans for each in scope.spans):
                ids = made.trace_id.hex(), made.span_id.hex(), made.parent_span_id.hex()
                self.spans.append(Span(service, made.name, *ids, made.status.message))


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            collector.headers.append({name.lower(): value for name, value in self.headers.items()})
            collector.keep(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield collector
        server.shutdown()
        thread.join()
