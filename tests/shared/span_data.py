"""Spans as an application hands them over: opencensus's SpanData by its shape, where opencensus need not be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

__all__ = ["span", "spans"]


def span(name: str = "Foo") -> Any:
    """What an application hands over, as little of it as a span can be."""
    return SimpleNamespace(
        name=name,
        context=SimpleNamespace(trace_id="0af7651916cd43dd8448eb211c80319c", tracestate=None),
        span_id="b7ad6b7169203331",
        parent_span_id=None,
        attributes={},
        start_time="2026-11-23T12:00:00.000001Z",
        end_time="2026-11-23T12:00:01.000002Z",
        child_span_count=0,
        stack_trace=None,
        annotations=[],
        message_events=[],
        links=[],
        status=None,
        same_process_as_parent_span=True,
        span_kind=0,
    )


def spans(count: int, prefix: str = "span") -> list[Any]:
    return [span(f"{prefix}{number}") for number in range(count)]
