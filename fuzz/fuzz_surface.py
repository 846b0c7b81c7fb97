"""The surface of a request is what the generated classes say of it; of other bytes there is some, or a ValueError."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from puremux.proto.trace_service_pb2 import ExportTraceServiceRequest
from puremux.zpages.surface import metrics_in, spans_in

SECOND = 1_000_000_000


def check(data: bytes) -> None:
    for read in (spans_in, metrics_in):
        try:
            list(read(data))
        except ValueError:  # documented: this is no such message
            pass
    try:
        request = ExportTraceServiceRequest.FromString(data)
    except DecodeError:
        return
    # Written anew: a field that comes twice is one for protobuf, which no encoder of ours ever writes.
    try:
        found = list(spans_in(ExportTraceServiceRequest(spans=request.spans).SerializeToString()))
    except ValueError:  # documented: an unknown group, which protobuf hands on, and nobody has sent for fifteen years
        return
    assert len(found) == len(request.spans)
    for surface, span in zip(found, request.spans):
        assert surface.name == span.name.value
        assert (surface.trace_id, surface.span_id) == (span.trace_id, span.span_id)
        assert surface.parent_span_id == span.parent_span_id
        assert surface.start == span.start_time.seconds * SECOND + span.start_time.nanos
        assert surface.end == span.end_time.seconds * SECOND + span.end_time.nanos
        assert surface.code == span.status.code
