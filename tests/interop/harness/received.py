"""What the Collector received: its file of OTLP-JSON lines, read back as plain values.

Ids are lower-case hex, times are nanoseconds since 1970, 64-bit integers (strings in OTLP-JSON) are ints.
Spec: opentelemetry-proto, trace.proto and metrics.proto; OTLP's JSON encoding.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Distribution", "Event", "Link", "Point", "Received", "Span", "Summary"]

Attributes = Mapping[str, Any]
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Event:
    """An annotation, or a message event, which the Collector names "message"."""

    time: int
    name: str
    attributes: Attributes


@dataclass(frozen=True)
class Link:
    """A pointer to another span; OpenCensus's link type has no place in OTLP."""

    trace_id: str
    span_id: str
    attributes: Attributes


@dataclass(frozen=True)
class Span:
    """One span as it arrived."""

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    kind: int
    start: int
    end: int
    attributes: Attributes
    events: list[Event]
    links: list[Link]
    status: tuple[int, str]
    tracestate: str
    dropped: tuple[int, int, int]
    """Attributes, events and links that were left out."""
    resource: Attributes
    """The resource's labels, and what the Collector made of the Node."""


@dataclass(frozen=True)
class Distribution:
    """A histogram's point."""

    count: int
    sum: float
    bounds: list[float]
    bucket_counts: list[int]
    exemplars: list[Json]


@dataclass(frozen=True)
class Summary:
    """A summary's point."""

    count: int
    sum: float
    quantiles: Mapping[float, float]


@dataclass(frozen=True)
class Point:
    """One point of one time series of one metric."""

    metric: str
    description: str
    unit: str
    kind: str
    """``"gauge"``, ``"sum"``, ``"histogram"`` or ``"summary"``."""
    labels: Attributes
    value: int | float | Distribution | Summary
    start: int
    time: int
    resource: Attributes


STARTS = (b'{"resourceSpans":', b'{"resourceMetrics":')  # of a request


@dataclass
class Received:
    """The file, read on from where it was left the last time."""

    path: Path
    _spans: list[Span] = field(default_factory=list)
    _points: list[Point] = field(default_factory=list)
    _offset: int = 0

    def spans(self) -> list[Span]:
        """Every span so far, in the order of arrival, doubled ones too."""
        self._read_on()
        return list(self._spans)

    def points(self) -> list[Point]:
        """Every point of every metric so far, in the order of arrival."""
        self._read_on()
        return list(self._points)

    def _read_on(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # it is being written
                self._offset += len(line)
                request = _request(line)
                self._spans.extend(_spans(request))
                self._points.extend(_points(request))


def _request(line: bytes) -> Json:
    """What a line says.  A Collector that was killed may have left half a request in front of the next one's."""
    try:
        request: Json = json.loads(line)
    except ValueError:
        begin = max(line.rfind(start) for start in STARTS)
        request = json.loads(line[begin:]) if begin > 0 else {}
    return request


def _spans(request: Json) -> Iterator[Span]:
    for of_resource in request.get("resourceSpans", ()):
        resource = _attributes(of_resource.get("resource", {}))
        for of_scope in of_resource.get("scopeSpans", ()):
            yield from (_span(span, resource) for span in of_scope.get("spans", ()))


def _span(span: Json, resource: Attributes) -> Span:
    status = span.get("status", {})
    return Span(
        trace_id=span["traceId"],
        span_id=span["spanId"],
        parent_span_id=span.get("parentSpanId", ""),
        name=span.get("name", ""),
        kind=span.get("kind", 0),
        start=int(span.get("startTimeUnixNano", 0)),
        end=int(span.get("endTimeUnixNano", 0)),
        attributes=_attributes(span),
        events=[
            Event(int(event.get("timeUnixNano", 0)), event.get("name", ""), _attributes(event))
            for event in span.get("events", ())
        ],
        links=[Link(link["traceId"], link["spanId"], _attributes(link)) for link in span.get("links", ())],
        status=(status.get("code", 0), status.get("message", "")),
        tracestate=span.get("traceState", ""),
        dropped=(
            span.get("droppedAttributesCount", 0),
            span.get("droppedEventsCount", 0),
            span.get("droppedLinksCount", 0),
        ),
        resource=resource,
    )


def _points(request: Json) -> Iterator[Point]:
    for of_resource in request.get("resourceMetrics", ()):
        resource = _attributes(of_resource.get("resource", {}))
        for of_scope in of_resource.get("scopeMetrics", ()):
            for metric in of_scope.get("metrics", ()):
                yield from _points_of(metric, resource)


def _points_of(metric: Json, resource: Attributes) -> Iterator[Point]:
    kind = next((kind for kind in ("gauge", "sum", "histogram", "summary") if kind in metric), "")
    for point in metric.get(kind, {}).get("dataPoints", ()):
        yield Point(
            metric=metric["name"],
            description=metric.get("description", ""),
            unit=metric.get("unit", ""),
            kind=kind,
            labels=_attributes(point),
            value=_value_of_point(kind, point),
            start=int(point.get("startTimeUnixNano", 0)),
            time=int(point.get("timeUnixNano", 0)),
            resource=resource,
        )


def _value_of_point(kind: str, point: Json) -> int | float | Distribution | Summary:
    if kind == "histogram":
        return Distribution(
            count=int(point.get("count", 0)),
            sum=float(point.get("sum", 0)),
            bounds=[float(bound) for bound in point.get("explicitBounds", ())],
            bucket_counts=[int(count) for count in point.get("bucketCounts", ())],
            exemplars=list(point.get("exemplars", ())),
        )
    if kind == "summary":
        quantiles = {float(at.get("quantile", 0)): float(at.get("value", 0)) for at in point.get("quantileValues", ())}
        return Summary(int(point.get("count", 0)), float(point.get("sum", 0)), quantiles)
    return int(point["asInt"]) if "asInt" in point else float(point.get("asDouble", 0))


def _attributes(holder: Json) -> dict[str, Any]:
    return {pair["key"]: _value(pair.get("value", {})) for pair in holder.get("attributes", ())}


def _value(value: Json) -> Any:
    if "intValue" in value:
        return int(value["intValue"])
    if "doubleValue" in value:
        return float(value["doubleValue"])
    return value.get("stringValue", value.get("boolValue"))
