"""A span message as plain values that json can write, nothing left out.

Floor 5, agent: imports times and ``puremux.proto``.
Spec: opencensus-proto, trace/v1/trace.proto, whose names the keys have.

- Ids are hexadecimal; times are ``2026-11-23T22:13:55.185467266Z``; enums are their names.
- Attributes keep their types: an int is written ``1``, a double ``1.0``.  JSON has no NaN and no infinities: these are
  the texts ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, as in protobuf's own JSON.
- A text that the sender has cut is ``{"value": …, "truncated_byte_count": …}``.
- What is empty or absent in the message has no key, but for the keys that every span has.
"""

from __future__ import annotations

import functools
import math
from typing import Any

from ..proto import common_pb2, resource_pb2, trace_pb2
from .times import iso_time, nanoseconds

__all__ = ["node_record", "resource_record", "span_record"]

Record = dict[str, Any]

Span = trace_pb2.Span
LinkType = Span.Link.Type
MessageType = Span.TimeEvent.MessageEvent.Type


def span_record(span: trace_pb2.Span) -> Record:
    """A span as plain values, without its Node and Resource."""
    record: Record = {
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_span_id": span.parent_span_id.hex() or None,
        "name": _text(span.name),
        "kind": _name(Span.SpanKind, span.kind),
        "start_time": _time(span, "start_time"),
        "end_time": _time(span, "end_time"),
        "status": {"code": span.status.code, "message": span.status.message} if span.HasField("status") else None,
        **_attributes(span.attributes),
    }
    if span.HasField("time_events"):
        record.update(_time_events(span.time_events))
    if span.HasField("links"):
        record["links"] = [_link(link) for link in span.links.link]
        _count(record, "dropped_links_count", span.links.dropped_links_count)
    if span.HasField("tracestate"):
        record["tracestate"] = _tracestate(span.tracestate)
    if span.HasField("stack_trace"):
        record["stack_trace"] = _stack_trace(span.stack_trace)
    if span.HasField("same_process_as_parent_span"):
        record["same_process_as_parent_span"] = span.same_process_as_parent_span.value
    if span.HasField("child_span_count"):
        record["child_span_count"] = span.child_span_count.value
    return record


def node_record(node: common_pb2.Node) -> Record:
    """A Node as plain values."""
    process, library = node.identifier, node.library_info
    return {
        "service": node.service_info.name,
        "host_name": process.host_name,
        "pid": process.pid,
        "start_time": _time(process, "start_timestamp"),
        "language": _name(common_pb2.LibraryInfo.Language, library.language),
        "exporter_version": library.exporter_version,
        "core_library_version": library.core_library_version,
        "attributes": dict(node.attributes),
    }


def resource_record(resource: resource_pb2.Resource) -> Record:
    """A Resource as plain values."""
    return {"type": resource.type, "labels": dict(resource.labels)}


def _attributes(attributes: trace_pb2.Span.Attributes) -> Record:
    record: Record = {"attributes": {key: _value(value) for key, value in attributes.attribute_map.items()}}
    _count(record, "dropped_attributes_count", attributes.dropped_attributes_count)
    return record


def _value(value: trace_pb2.AttributeValue) -> Any:
    field = value.WhichOneof("value")
    if field is None:
        return None
    if field == "string_value":
        return _text(value.string_value)
    if field == "double_value":
        return value.double_value if math.isfinite(value.double_value) else _not_finite(value.double_value)
    return getattr(value, field)


def _not_finite(number: float) -> str:
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _time_events(events: trace_pb2.Span.TimeEvents) -> Record:
    """Annotations and message events apart, each in their order."""
    annotations, message_events = [], []
    for event in events.time_event:
        field = event.WhichOneof("value")
        if field == "message_event":
            message_events.append({"time": _time(event, "time"), **_message_event(event.message_event)})
        else:  # also an event that says nothing but its time
            text = {"description": _text(event.annotation.description)}
            annotations.append({"time": _time(event, "time"), **text, **_attributes(event.annotation.attributes)})
    record: Record = {}
    if annotations:
        record["annotations"] = annotations
    if message_events:
        record["message_events"] = message_events
    _count(record, "dropped_annotations_count", events.dropped_annotations_count)
    _count(record, "dropped_message_events_count", events.dropped_message_events_count)
    return record


def _message_event(event: trace_pb2.Span.TimeEvent.MessageEvent) -> Record:
    return {
        "type": _name(MessageType, event.type),
        "id": event.id,
        "uncompressed_size": event.uncompressed_size,
        "compressed_size": event.compressed_size,
    }


def _link(link: trace_pb2.Span.Link) -> Record:
    record = {
        "trace_id": link.trace_id.hex(),
        "span_id": link.span_id.hex(),
        "type": _name(LinkType, link.type),
        **_attributes(link.attributes),
    }
    if link.HasField("tracestate"):
        record["tracestate"] = _tracestate(link.tracestate)
    return record


def _tracestate(tracestate: trace_pb2.Span.Tracestate) -> list[list[str]]:
    """Pairs and no object: their order matters."""
    return [[entry.key, entry.value] for entry in tracestate.entries]


def _stack_trace(stack: trace_pb2.StackTrace) -> Record:
    record: Record = {"frames": [_frame(frame) for frame in stack.stack_frames.frame]}
    _count(record, "dropped_frames_count", stack.stack_frames.dropped_frames_count)
    _count(record, "stack_trace_hash_id", stack.stack_trace_hash_id)
    return record


def _frame(frame: trace_pb2.StackTrace.StackFrame) -> Record:
    record: Record = {
        "function_name": _text(frame.function_name),
        "file_name": _text(frame.file_name),
        "line_number": frame.line_number,
    }
    _count(record, "column_number", frame.column_number)
    for name in ("original_function_name", "source_version"):
        if frame.HasField(name):
            record[name] = _text(getattr(frame, name))
    if frame.HasField("load_module"):
        module = frame.load_module
        record["load_module"] = {"module": _text(module.module), "build_id": _text(module.build_id)}
    return record


def _text(text: trace_pb2.TruncatableString) -> Any:
    if text.truncated_byte_count:
        return {"value": text.value, "truncated_byte_count": text.truncated_byte_count}
    return text.value


def _time(message: Any, field: str) -> str | None:
    return iso_time(nanoseconds(getattr(message, field))) if message.HasField(field) else None


@functools.lru_cache(maxsize=256)
def _name(enum: Any, number: int) -> Any:
    """The name of an enum's number; a number that it doesn't know stays one."""
    return enum.Name(number) if number in enum.values() else number


def _count(record: Record, key: str, count: int) -> None:
    if count:
        record[key] = count
