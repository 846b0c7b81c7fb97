"""OpenTelemetry's OTLP gRPC exporter alone: ready spans, in batches, each batch a unary call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from measure import attributes, measured, options, tell
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Status, StatusCode


class Keep(SpanExporter):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.spans: list[Any] = []

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS


def ready(number: int, count: int) -> list[Any]:
    keep = Keep()
    provider = TracerProvider(resource=Resource.create({"service.name": "bench"}))
    provider.add_span_processor(SimpleSpanProcessor(keep))
    tracer = provider.get_tracer("bench")
    for i in range(number):
        span = tracer.start_span("bench-span")
        for key, value in attributes(i, count):
            span.set_attribute(key, value)
        span.add_event("an annotation", {"k": "v"})
        span.add_event("message", {"id": i, "u": 120, "c": 100})
        span.set_status(Status(StatusCode.OK))
        span.end()
    return keep.spans


def main() -> None:
    asked = options()
    spans = ready(min(asked.spans, 10_000), asked.attributes)
    exporter = OTLPSpanExporter(endpoint=asked.address, insecure=True)
    exporter.export(spans[:1])

    def work() -> None:
        for begin in range(0, asked.spans, asked.batch):
            at = begin % len(spans)
            assert exporter.export(spans[at : at + asked.batch]) is SpanExportResult.SUCCESS

    tell(measured(asked.spans, work))


if __name__ == "__main__":
    main()
