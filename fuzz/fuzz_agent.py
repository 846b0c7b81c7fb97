"""Whatever comes on an Export call is refused or taken, and a strict scraper can read the page after it.

The page is read by prometheus-client's parser of OpenMetrics, which refuses all of it for a single sample; and the span
log as JSON.
"""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.message import DecodeError
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from puremux.agent.intake import MetricsIntake, TraceIntake
from puremux.agent.prometheus import AgentCollector
from puremux.agent.refusal import IntakeError
from puremux.agent.rendering import render
from puremux.agent.spanlog import span_lines
from puremux.agent.store import Store
from puremux.agent.views import SpansReceived
from puremux.proto.metrics_service_pb2 import ExportMetricsServiceRequest
from puremux.proto.trace_service_pb2 import ExportTraceServiceRequest

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def check(data: bytes) -> None:
    store = Store()
    store.on_spans(log)
    receive(data, ExportTraceServiceRequest, TraceIntake(store))
    receive(data, ExportMetricsServiceRequest, MetricsIntake(store))
    page = b"".join(render(AgentCollector(store).collect(), OPENMETRICS, "").body)
    assert list(text_string_to_metric_families(page.decode()))
    store.expire(float("inf"))
    totals = store.totals()
    assert (totals.clients, totals.series, totals.bytes) == (0, 0, 0)


def receive(data: bytes, message: Any, intake: Any) -> None:
    try:
        intake.receive(message.FromString(data), data)
    except (DecodeError, IntakeError):  # documented: it is no such message; it has no Node, or is beyond a limit
        pass


def log(received: SpansReceived) -> None:
    lines = span_lines(received)
    assert lines.isascii()
    assert [json.loads(line)["node"] is not None for line in lines.splitlines()] == [True] * len(received.request.spans)
