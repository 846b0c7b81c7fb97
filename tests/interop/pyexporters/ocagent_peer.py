"""opencensus-ext-ocagent, which puremux replaces, as a program: see peer.py for its modes."""

from __future__ import annotations

import argparse
import datetime
import functools
import warnings
from typing import Any

from opencensus.common.monitored_resource import monitored_resource
from opencensus.common.transports.async_ import AsyncTransport
from opencensus.common.transports.sync import SyncTransport
from opencensus.ext.ocagent.stats_exporter import new_stats_exporter
from opencensus.ext.ocagent.trace_exporter import TraceExporter
from opencensus.stats import aggregation, measure, stats, view
from opencensus.tags import tag_key, tag_map, tag_value
from opencensus.trace import attributes, link, samplers, span_data, status, time_event, tracer
from peer import Peer, parser, run

ROUNDS = 3


class OcagentPeer(Peer):
    """Its exporter makes a stream an export, unless spans are gathered by the AsyncTransport."""

    def __init__(self, options: argparse.Namespace) -> None:
        transport: Any = SyncTransport
        if options.mode != "demo":
            transport = functools.partial(AsyncTransport, **({"wait_period": options.period} if options.period else {}))
        self._options = options
        self._sent: list[span_data.SpanData] = []
        self._exporter = TraceExporter(options.service, endpoint=options.address, transport=transport)
        self._tracer = tracer.Tracer(exporter=self._exporter, sampler=samplers.AlwaysOnSampler())

    def demo(self) -> dict[str, Any]:
        for i in range(ROUNDS):
            noted = tracer.Tracer(exporter=self, sampler=samplers.AlwaysOnSampler())
            with noted.span("parent") as parent, noted.span("bench-span") as span:
                parent.span_kind = 1
                _fill(span, i)
                why = attributes.Attributes({"why": "demo"})
                context = noted.span_context
                span.add_link(link.Link(context.trace_id, parent.span_id, link.Type.PARENT_LINKED_SPAN, why))
        return {"spans": [_told(span) for span in self._sent], "views": self._record_views(), "config": self._config()}

    def export(self, spans: list[span_data.SpanData]) -> None:
        """Note what goes to the exporter."""
        self._sent.extend(spans)
        self._exporter.export(spans)

    def _record_views(self) -> list[str]:
        count = measure.MeasureInt("m_int", "an int measure", "1")
        latency = measure.MeasureFloat("m_float", "a float measure", "ms")
        method = tag_key.TagKey("method")
        views = [
            view.View("v/count", "a count", [method], count, aggregation.CountAggregation()),
            view.View("v/sum_int", "a sum", [method], count, aggregation.SumAggregation()),
            view.View("v/sum_float", "a sum", [method], latency, aggregation.SumAggregation()),
            view.View("v/last_int", "a value", [method], count, aggregation.LastValueAggregation()),
            view.View("v/last_float", "a value", [method], latency, aggregation.LastValueAggregation()),
            view.View("v/distribution", "a", [method], latency, aggregation.DistributionAggregation([1, 5, 10])),
        ]
        for each in views:
            stats.stats.view_manager.register_view(each)
        tags = tag_map.TagMap()
        tags.insert(method, tag_value.TagValue("repl"))
        for i in range(ROUNDS):
            measured = stats.stats.stats_recorder.new_measurement_map()
            measured.measure_int_put(count, i)
            measured.measure_float_put(latency, i * 2.5)
            measured.record(tags)
        # The thread that exports holds it by a weak reference only.
        self._stats = new_stats_exporter(
            service_name=self._options.service, endpoint=self._options.address, interval=0.2
        )
        return [each.name for each in views]

    def _config(self) -> str:
        """What the agent answers on its Config stream."""
        try:
            return str(self._exporter.update_config(None))
        except Exception as refused:  # grpc's error, or what its iterator makes of an early end
            return f"{type(refused).__name__} {refused.code().name if hasattr(refused, 'code') else refused}"

    def bench_span(self, i: int) -> None:
        with self._tracer.span("bench-span") as span:
            _fill(span, i)

    def bare_span(self, name: str) -> None:
        with self._tracer.span(name):
            pass

    def flush(self) -> None:
        if self._options.period:  # else it would take up to a minute
            self._exporter.transport.flush()

    def stop(self) -> None:
        """The library sends what it still holds when the interpreter exits."""


def _fill(span: Any, i: int) -> None:
    for key, value in (
        ("http.method", "GET"),
        ("http.path", "/a/b/c"),
        ("http.host", "example.com"),
        ("http.status_code", 200),
        ("i", i),
        ("cached", i & 1 == 0),
    ):
        span.add_attribute(key, value)
    span.add_annotation("an annotation", k="v")
    now = datetime.datetime.utcnow()
    received = time_event.MessageEvent(
        now, id=i, type=time_event.Type.RECEIVED, uncompressed_size_bytes=120, compressed_size_bytes=100
    )
    span.add_message_event(received)
    span.set_status(status.Status(0, "OK"))


def _told(span: span_data.SpanData) -> dict[str, Any]:
    return {
        "trace_id": span.context.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id or "",
        "name": span.name,
        "kind": span.span_kind,
        "start": span.start_time,
        "end": span.end_time,
        "attributes": dict(span.attributes),
        "annotations": [
            {"time": note.timestamp, "description": note.description, "attributes": note.attributes.attributes}
            for note in span.annotations
        ],
        "message_events": [
            {
                "time": event.timestamp,
                "type": event.type,
                "id": event.id,
                "uncompressed_size": event.uncompressed_size_bytes,
                "compressed_size": event.compressed_size_bytes,
            }
            for event in span.message_events
        ],
        "links": [
            {"trace_id": to.trace_id, "span_id": to.span_id, "type": to.type, "attributes": to.attributes.attributes}
            for to in span.links
        ],
        "status": span.status and {"code": span.status.canonical_code, "message": span.status.description},
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    # It would ask the cloud's metadata servers where it runs; a test asks nobody outside.
    monitored_resource.get_instance = lambda: None
    accepted = parser()
    accepted.add_argument("--period", type=float, help="seconds between two exports; without it, the library's 60")
    run(accepted.parse_args(), OcagentPeer)
