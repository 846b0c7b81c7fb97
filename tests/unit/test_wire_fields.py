"""Protobuf, field by field: known messages by their names, unknown ones by a guess, and any bytes at all."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from puremux.proto import metrics_pb2, trace_pb2
from puremux.wire.fields import MAX_DEPTH, MAX_FIELDS, read_fields
from puremux.wire.parts import Layer, Part, Stretch

SPAN: Descriptor = trace_pb2.Span.DESCRIPTOR
DISTRIBUTION: Descriptor = metrics_pb2.DistributionValue.DESCRIPTOR


def read(data: bytes, kind: Descriptor | None = None) -> tuple[Part, ...]:
    """The parts; they must be all the bytes."""
    parts = read_fields(Stretch.at(0, data), kind)
    assert b"".join(leaf.data for part in parts for leaf in part.leaves()) == data
    return parts


def outline(parts: Any) -> list[Any]:
    """Names and values, those inside too."""
    return [(part.name, part.value, outline([p for p in part.parts if p.parts])) for part in parts]


def test_a_known_message_is_told_by_its_names() -> None:
    span = trace_pb2.Span(
        trace_id=bytes(range(16)),
        name=trace_pb2.TruncatableString(value="GET /\x1b"),
        kind=2,
        child_span_count={"value": 3},
    )
    assert outline(read(span.SerializeToString(), SPAN)) == [
        ("trace_id", "000102030405060708090a0b0c0d0e0f", []),
        ("name", "TruncatableString", [("value", '"GET /\\x1b"', [])]),
        ("child_span_count", "UInt32Value", [("value", "3", [])]),
        ("kind", "CLIENT (2)", []),
    ]


def test_numbers_are_read_as_their_types_say() -> None:
    value = metrics_pb2.DistributionValue(count=-3, sum=2.5)
    value.bucket_options.explicit.bounds.extend([0.5, 1e9])
    told = outline(read(value.SerializeToString(), DISTRIBUTION))
    assert told[:2] == [("count", "-3", []), ("sum", "2.5", [])]
    assert told[2] == (
        "bucket_options",
        "BucketOptions",
        [("explicit", "Explicit", [("bounds", "0.5, 1000000000.0", [])])],
    )


@pytest.mark.parametrize(
    "data, name, value",
    [
        pytest.param(b"\x08\x96\x01", "field 1", "150", id="a varint"),
        pytest.param(b"\x09" + struct.pack("<d", 1.5), "field 1", "4609434218613702656, or 1.5", id="64 bits"),
        pytest.param(b"\x0d" + struct.pack("<f", 1.5), "field 1", "1069547520, or 1.5", id="32 bits"),
        pytest.param(b"\x12\x07testing", "field 2", '"testing"', id="text"),
        pytest.param(b"\x12\x02\xff\xfe", "field 2", "fffe", id="bytes"),
        pytest.param(b"\x12\x00", "field 2", '""', id="nothing"),
        pytest.param(b"\x12\x04\x0a\x02hi", "field 2", "message", id="a message"),
        pytest.param(b"\x0b\x08\x01\x0c", "field 1", "group", id="a group"),
        pytest.param(b"\xa0\x06\x01", "field 100", "1", id="a large field number"),
    ],
)
def test_what_is_not_known_is_guessed(data: bytes, name: str, value: str) -> None:
    (part,) = read(data)
    assert (part.name, part.value) == (name, value)


@pytest.mark.parametrize(
    "data, reason",
    [
        pytest.param(b"\x08", "number is cut short", id="no value"),
        pytest.param(b"\x08" + b"\x80" * 11, "more than ten bytes", id="an endless varint"),
        pytest.param(b"\x12\x09abc", "has 9 bytes; only 3 are there", id="longer than the message"),
        pytest.param(b"\x0d\0\0", "number is cut short", id="half a float"),
        pytest.param(b"\x00\x01", "no field number 0", id="field 0"),
        pytest.param(b"\x0f", "no such wire type", id="wire type 7"),
        pytest.param(b"\x0c", "group ends that has not begun", id="a group's end"),
        pytest.param(b"\x0b\x08\x01", "number is cut short", id="a group without end"),
        pytest.param(b"\x0b" * 40, "groups in each other", id="groups in groups"),
        pytest.param(b"\x08\x01" * (MAX_FIELDS + 1), "are not told", id="too many fields"),
    ],
)
def test_what_is_broken_is_told_with_its_reason(data: bytes, reason: str) -> None:
    last = read(data)[-1]
    assert reason in last.note and last.layer is Layer.UNKNOWN


def test_a_known_message_that_breaks_off_is_told_up_to_there() -> None:
    span = trace_pb2.Span(name=trace_pb2.TruncatableString(value="ok"), kind=1).SerializeToString()
    broken = span[:2] + b"\x0a\x7f" + span[4:]  # the text claims 127 bytes
    told = read(broken, SPAN)
    assert told[0].name == "name" and told[0].parts[-1].layer is Layer.UNKNOWN
    assert told[1].name == "kind", "what is behind it is read"


def test_a_number_where_text_should_be_is_told_as_it_is() -> None:
    (part,) = read(b"\x20\x05", SPAN)  # Span.name is field 4, a message
    assert (part.name, part.value) == ("name", "5") and "though it is a message" in part.note


def test_text_that_is_no_protobuf_is_told_as_text() -> None:
    assert outline(read(b"hello")) == [("text", '"hello"', [])]
    assert read(b"hello", SPAN)[-1].layer is Layer.UNKNOWN, "where a type is known, it is broken"


def test_messages_in_messages_end_somewhere() -> None:
    data = b""
    for _ in range(MAX_DEPTH * 3):
        if len(data) > 120:
            break
        data = b"\x0a" + bytes([len(data)]) + data
    read(data)


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([None, SPAN, DISTRIBUTION]))
def test_any_bytes_are_told(data: bytes, kind: Descriptor | None) -> None:
    read(data, kind)


@settings(max_examples=150, deadline=None)
@given(
    st.builds(
        trace_pb2.Span,
        trace_id=st.binary(max_size=20),
        kind=st.integers(0, 2),
        name=st.builds(trace_pb2.TruncatableString, value=st.text(max_size=20)),
        status=st.builds(trace_pb2.Status, code=st.integers(-(2**31), 2**31 - 1), message=st.text(max_size=9)),
        same_process_as_parent_span=st.builds(dict, value=st.booleans()),
    )
)
def test_every_message_of_ours_is_understood(span: Any) -> None:
    parts = read(span.SerializeToString(), SPAN)
    assert not [leaf for part in parts for leaf in part.leaves() if leaf.layer is Layer.UNKNOWN]
    assert [part.name for part in parts] == [field.name for field, _ in span.ListFields()]
    status = {inner.name: inner.value for part in parts if part.name == "status" for inner in part.parts}
    assert status.get("code", "0") == str(span.status.code)
