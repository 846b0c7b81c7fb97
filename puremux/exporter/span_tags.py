"""The tags of a span's fields, and of those of its parts, as they are written.

Floor 4, exporter: imports fields.
Spec: opencensus-proto, trace/v1/trace.proto.
"""

from __future__ import annotations

from .fields import LENGTH, VARINT, VARINTS, tag

SPANS = tag(2, LENGTH)  # of ExportTraceServiceRequest

# message Span
TRACE_ID = tag(1, LENGTH) + VARINTS[16]
SPAN_ID = tag(2, LENGTH) + VARINTS[8]
PARENT_SPAN_ID = tag(3, LENGTH) + VARINTS[8]
NAME = tag(4, LENGTH)
START_TIME = tag(5, LENGTH)
END_TIME = tag(6, LENGTH)
ATTRIBUTES = tag(7, LENGTH)
STACK_TRACE = tag(8, LENGTH)
TIME_EVENTS = tag(9, LENGTH)
LINKS = tag(10, LENGTH)
STATUS = tag(11, LENGTH)
SAME_PROCESS_AS_PARENT_SPAN = tag(12, LENGTH)
CHILD_SPAN_COUNT = tag(13, LENGTH)
KIND = tag(14, VARINT)
TRACESTATE = tag(15, LENGTH)

# messages Span.TimeEvents, TimeEvent, Annotation, MessageEvent
TIME_EVENT = tag(1, LENGTH)
DROPPED_ANNOTATIONS_COUNT = tag(2, VARINT)
DROPPED_MESSAGE_EVENTS_COUNT = tag(3, VARINT)
EVENT_TIME = tag(1, LENGTH)
ANNOTATION = tag(2, LENGTH)
MESSAGE_EVENT = tag(3, LENGTH)
ANNOTATION_DESCRIPTION = tag(1, LENGTH)
ANNOTATION_ATTRIBUTES = tag(2, LENGTH)
MESSAGE_TYPE = tag(1, VARINT)
MESSAGE_ID = tag(2, VARINT)
UNCOMPRESSED_SIZE = tag(3, VARINT)
COMPRESSED_SIZE = tag(4, VARINT)
MESSAGE_TYPE_FIELDS = [b"", MESSAGE_TYPE + VARINTS[1], MESSAGE_TYPE + VARINTS[2]]
MESSAGE_TYPES = [field + MESSAGE_ID for field in MESSAGE_TYPE_FIELDS]  # a usual event begins so

# messages Span.Links and Span.Link
LINK = tag(1, LENGTH)
DROPPED_LINKS_COUNT = tag(2, VARINT)
LINK_TYPE = tag(3, VARINT)
LINK_ATTRIBUTES = tag(4, LENGTH)
LINK_TRACESTATE = tag(5, LENGTH)

# messages StackTrace, StackFrames, StackFrame, Module
STACK_FRAMES = tag(1, LENGTH)
STACK_TRACE_HASH_ID = tag(2, VARINT)
FRAME = tag(1, LENGTH)
DROPPED_FRAMES_COUNT = tag(2, VARINT)
FUNCTION_NAME = tag(1, LENGTH)
ORIGINAL_FUNCTION_NAME = tag(2, LENGTH)
FILE_NAME = tag(3, LENGTH)
LINE_NUMBER = tag(4, VARINT)
COLUMN_NUMBER = tag(5, VARINT)
LOAD_MODULE = tag(6, LENGTH)
SOURCE_VERSION = tag(7, LENGTH)
MODULE = tag(1, LENGTH)
BUILD_ID = tag(2, LENGTH)

# messages Tracestate, its Entry, Status, TruncatableString, and the wrappers of google.protobuf
TRACESTATE_ENTRY = tag(1, LENGTH)
TRACESTATE_KEY = tag(1, LENGTH)
TRACESTATE_VALUE = tag(2, LENGTH)
STATUS_CODE = tag(1, VARINT)
STATUS_MESSAGE = tag(2, LENGTH)
TEXT = tag(1, LENGTH)
TRUNCATED_BYTE_COUNT = tag(2, VARINT)
WRAPPED = tag(1, VARINT)

# The enums that spans have all know 0 to 2, and 0 means "unspecified".
HIGHEST_ENUM = 2
