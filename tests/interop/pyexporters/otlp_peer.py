"""OpenTelemetry's OTLP exporter over gRPC, as a program: see peer.py for its modes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Status, StatusCode
from peer import Peer, parser, run

ROUNDS = 3


class OtlpPeer(Peer):
    """Its processor gathers spans in a queue and drops what does not fit; for the benchmark, all fit."""

    def __init__(self, options: argparse.Namespace) -> None:
        trusted = grpc.ssl_channel_credentials(Path(options.ca).read_bytes()) if options.ca else None
        exporter = OTLPSpanExporter(endpoint=options.address, insecure=trusted is None, credentials=trusted)
        self._provider = TracerProvider(resource=Resource.create({"service.name": options.service}))
        room = {"max_queue_size": options.spans + 1} if options.mode == "bench" else {}
        self._provider.add_span_processor(BatchSpanProcessor(exporter, **room))
        self._tracer = self._provider.get_tracer("peer")

    def demo(self) -> dict[str, Any]:
        sent = []
        for i in range(ROUNDS):
            with self._tracer.start_as_current_span("parent") as parent:
                sent += [parent, self._filled_span(i)]
        self.flush()
        return {"spans": [_told(span) for span in sent]}

    def bench_span(self, i: int) -> None:
        self._filled_span(i)

    def _filled_span(self, i: int) -> Any:
        span = self._tracer.start_span("bench-span")
        for key, value in (
            ("http.method", "GET"),
            ("http.path", "/a/b/c"),
            ("http.host", "example.com"),
            ("http.status_code", 200),
            ("i", i),
            ("cached", i & 1 == 0),
        ):
            span.set_attribute(key, value)
        span.add_event("an annotation", {"k": "v"})
        span.add_event("message", {"id": i, "uncompressed_size": 120, "compressed_size": 100})
        span.set_status(Status(StatusCode.OK))
        span.end()
        return span

    def bare_span(self, name: str) -> None:
        self._tracer.start_span(name).end()

    def flush(self) -> None:
        self._provider.force_flush()

    def stop(self) -> None:
        self._provider.shutdown()


def _told(span: Any) -> dict[str, Any]:
    return {
        "trace_id": f"{span.context.trace_id:032x}",
        "span_id": f"{span.context.span_id:016x}",
        "parent_span_id": f"{span.parent.span_id:016x}" if span.parent else "",
        "name": span.name,
        "start": span.start_time,
        "end": span.end_time,
        "attributes": dict(span.attributes),
    }


if __name__ == "__main__":
    accepted = parser()
    accepted.add_argument("--ca", help="file of the authority to trust; without it there is no TLS")
    run(accepted.parse_args(), OtlpPeer)
