"""What the application's thread pays to hand an ended span over: ``handing_over.py puremux|ocagent|otlp HOST:PORT``.

Each library in the way that does not wait for the agent: puremux's ``export``, opencensus-ext-ocagent's with its
AsyncTransport, OpenTelemetry's ``BatchSpanProcessor.on_end``.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Callable

from measure import apart, in_a_row, nothing, percentiles, tell


def puremux(address: str) -> tuple[Callable[[Any], object], Any]:
    from opencensus_spans import ready

    from puremux import Exporter

    return Exporter(address, service_name="bench").export, ready(1)


def ocagent(address: str) -> tuple[Callable[[Any], object], Any]:
    from opencensus.common.transports.async_ import AsyncTransport
    from opencensus.ext.ocagent.trace_exporter import TraceExporter
    from opencensus_spans import ready

    exporter = TraceExporter("bench", endpoint=address, transport=AsyncTransport)
    return exporter.export, ready(1)


def otlp(address: str) -> tuple[Callable[[Any], object], Any]:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from otlp_ready import ready

    processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=address, insecure=True), max_queue_size=20_000)
    return processor.on_end, ready(1, 6)[0]


def main() -> None:
    library, address = sys.argv[1:]
    call, argument = {"puremux": puremux, "ocagent": ocagent, "otlp": otlp}[library](address)
    record = {}
    for way in (in_a_row, apart):
        name = way.__name__
        record[f"{name} p50"], record[f"{name} p99"] = percentiles(way(call, argument), 500, 990)
        (record[f"{name} nothing"],) = percentiles(way(nothing, argument), 500)
    tell(record)
    os._exit(0)  # at once: the peers would wait for what they hold, one of them for a minute


if __name__ == "__main__":
    main()
