"""Ready spans, made by opencensus's own tracer before anything is measured."""

from __future__ import annotations

import datetime
import warnings
from typing import Any

from measure import attributes
from opencensus.trace import samplers, status, time_event, tracer

warnings.simplefilter("ignore", DeprecationWarning)  # opencensus is archived


class Keep:
    """An exporter that keeps what it is given."""

    def __init__(self) -> None:
        self.spans: list[Any] = []

    def export(self, spans: list[Any]) -> None:
        self.spans += spans


def fill(span: Any, i: int, count: int = 6) -> None:
    """Make it the span of the benchmarks: attributes, an annotation with one, a message event, a status."""
    for key, value in attributes(i, count):
        span.add_attribute(key, value)
    span.add_annotation("an annotation", k="v")
    now = datetime.datetime.utcnow()
    span.add_message_event(time_event.MessageEvent(now, i, time_event.Type.RECEIVED, 120, 100))
    span.set_status(status.Status(0, "OK"))


def ready(number: int, count: int = 6) -> list[Any]:
    """So many SpanData."""
    keep = Keep()
    made = tracer.Tracer(exporter=keep, sampler=samplers.AlwaysOnSampler())
    for i in range(number):
        with made.span("bench-span") as span:
            fill(span, i, count)
    return keep.spans
