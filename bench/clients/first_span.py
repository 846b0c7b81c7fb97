"""A library until its first span is proven to have arrived: ``first_span.py puremux|ocagent|otlp HOST:PORT``.

Importing it, starting an exporter, connecting, exporting one span; whatever it puts off until it is needed is in it.
The span was made before by the library's tracer, which a program that has spans has loaded.
"""

from __future__ import annotations

import sys
from typing import Any, Callable

from measure import measured, tell


def puremux(address: str) -> Callable[[], None]:
    from opencensus_spans import ready

    span = ready(1)

    def work() -> None:
        from puremux import Exporter

        exporter = Exporter(address, service_name="bench")
        exporter.export(span)
        assert exporter.flush()

    return work


def ocagent(address: str) -> Callable[[], None]:
    from opencensus_spans import ready

    span = ready(1)

    def work() -> None:
        from opencensus.ext.ocagent.trace_exporter import TraceExporter

        TraceExporter("bench", endpoint=address).emit(span)

    return work


def otlp(address: str) -> Callable[[], None]:
    span = _span_of_otlp()

    def work() -> None:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import SpanExportResult

        assert OTLPSpanExporter(endpoint=address, insecure=True).export(span) is SpanExportResult.SUCCESS

    return work


def _span_of_otlp() -> Any:
    from opentelemetry.sdk.trace import TracerProvider

    span = TracerProvider().get_tracer("bench").start_span("bench-span")
    span.end()
    return [span]


def main() -> None:
    library, address = sys.argv[1:]
    tell(measured(1, {"puremux": puremux, "ocagent": ocagent, "otlp": otlp}[library](address)))


if __name__ == "__main__":
    main()
