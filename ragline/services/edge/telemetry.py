"""What an operator sees: histograms and counters for Prometheus, and spans that join all hops into one trace.

Metrics are always kept. Spans are made only when there is somewhere to send them (`start_tracing`); until then a
caller's trace is handed on to the next service as it came. Nothing here uses context variables: the parent of a span
is what the `Caller` says, so that stages may run in threads and in batches as well as in the request's own task.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState
from prometheus_client import Counter, Gauge, Histogram

from ragline.services.edge.caller import Caller
from ragline.settings import ServiceSettings

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)

_EXPORT_SECONDS = 3
"""How long a collector that is down may hold up the end of a service."""

STAGES = Histogram("ragline_stage_seconds", "How long each stage of a question took.", ["stage"], buckets=_SECONDS)
TOKENS = Counter("ragline_tokens_total", "Tokens given to and taken from the language model.", ["kind"])
QUEUED = Gauge("ragline_queue_length", "Requests that wait for their turn.", ["queue"])
SHED = Counter("ragline_shed_total", "Requests refused with 429 because the queue was full.", ["queue"])
REQUESTS = Counter("ragline_requests_total", "Requests answered.", ["route", "status"])
REQUEST_SECONDS = Histogram(
    "ragline_request_seconds", "From the request's headers to the response's last byte.", ["route"], buckets=_SECONDS
)

_tracer: trace.Tracer | None = None


@contextmanager
def stage(name: str, caller: Caller) -> Iterator[Caller]:
    """Measure one stage of a request, and make it a span of the caller's trace.

    Args:
        name: embed, search, quote, retrieve, prompt, first_token, generate, support, queue.
        caller: on whose behalf.

    Yields:
        The caller to hand on to other services: their spans lie below this stage's.

    Example:
        >>> with stage("embed", Caller("a1")) as inner:
        ...     inner.request_id
        'a1'
    """
    began = time.perf_counter()
    try:
        with span(name, caller, SpanKind.INTERNAL) as (inner, _):
            yield inner
    finally:
        STAGES.labels(name).observe(time.perf_counter() - began)


@contextmanager
def span(name: str, caller: Caller, kind: SpanKind) -> Iterator[tuple[Caller, Span | None]]:
    """Make a span below the caller's; without tracing the caller stays as it is, and there is no span.

    A failure is noted by its type alone: its message may hold a text.
    """
    if _tracer is None:
        yield caller, None
        return
    made = _tracer.start_span(name, _parent(caller), kind, {"ragline.request_id": caller.request_id})
    try:
        yield _inside(caller, made.get_span_context()), made
    except BaseException as failure:
        made.set_status(Status(StatusCode.ERROR, type(failure).__name__))
        raise
    finally:
        made.end()


def count_tokens(kind: Literal["prompt", "completion"], count: int) -> None:
    """Count tokens that the language model read or wrote."""
    TOKENS.labels(kind).inc(count)


def observe_first_token(seconds: float) -> None:
    """Note how long the first piece of an answer took, from asking the backend."""
    STAGES.labels("first_token").observe(seconds)


def start_tracing(service: str, settings: ServiceSettings) -> None:
    """Send spans to the OTLP/HTTP endpoint of the settings; without one, do nothing."""
    global _tracer
    if not settings.otlp_endpoint or _tracer is not None:
        return
    # Here, because most services run without tracing, and these imports take longer than all others of the edge.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = OTLPSpanExporter(endpoint=f"{settings.otlp_endpoint}/v1/traces", timeout=_EXPORT_SECONDS)
    provider = TracerProvider(resource=Resource.create({"service.name": service}))  # flushes when the process ends
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _tracer = provider.get_tracer("ragline")


def _parent(caller: Caller) -> Context:
    if not caller.traceparent:
        return Context()
    _, trace_id, span_id, flags = caller.traceparent.split("-")[:4]
    parent = SpanContext(
        int(trace_id, 16),
        int(span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(flags, 16)),
        trace_state=TraceState.from_header([caller.tracestate]),
    )
    return trace.set_span_in_context(NonRecordingSpan(parent), Context())


def _inside(caller: Caller, context: SpanContext) -> Caller:
    traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    return replace(caller, traceparent=traceparent, tracestate=context.trace_state.to_header())
