"""The direct encoder of spans: equal to the generated classes, on real spans and on any; its caches; its limits."""

from __future__ import annotations

import enum
import os
import random
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf.internal import api_implementation
from hypothesis import HealthCheck, settings
from opencensus.trace import link, samplers, status, time_event
from opencensus.trace.span import BoundedDict, BoundedList
from opencensus.trace.span_context import SpanContext
from opencensus.trace.span_data import SpanData
from opencensus.trace.tracer import Tracer

from fuzz import fuzz_spans
from puremux.exporter import attributes, spans
from puremux.exporter.fields import Cache
from puremux.exporter.limits import DEFAULT_LIMITS, SpanLimits
from puremux.exporter.reading import Defects
from puremux.exporter.spans import SpanEncoder
from puremux.exporter.spans_pb import span_message
from puremux.exporter.timestamps import CACHED_MILLISECONDS
from puremux.proto import trace_pb2, trace_service_pb2

ROOT = Path(__file__).resolve().parents[2]


class Kept:
    """An exporter that keeps what it gets."""

    def __init__(self) -> None:
        self.spans: list[SpanData] = []

    def export(self, span_datas: list[SpanData]) -> None:
        self.spans.extend(span_datas)


def traced(count: int) -> list[SpanData]:
    """Spans with all that a tracer can give them."""
    kept = Kept()
    tracer = Tracer(exporter=kept, sampler=samplers.AlwaysOnSampler())
    for number in range(count):
        with tracer.span("parent") as parent:
            parent.add_attribute("http.method", "GET")
            parent.add_attribute("http.status_code", 200)
            parent.add_attribute("number", number * 1000)
            parent.add_attribute("cached", number % 2 == 0)
            parent.add_attribute("share", number / 7)
            parent.add_annotation("an annotation", k="v")
            parent.add_message_event(time_event.MessageEvent(datetime(2026, 1, 1, 0, 0, 0, 5000), number, 2, 120, 100))
            parent.add_link(link.Link("0" * 31 + "1", "0" * 15 + "2", link.Type.PARENT_LINKED_SPAN))
            parent.set_status(status.Status(number % 17, "said"))
            with pytest.raises(RuntimeError), tracer.span("child"):
                raise RuntimeError("on purpose")
    return kept.spans


def by_classes(span: Any, limits: SpanLimits | None = None) -> bytes:
    request = trace_service_pb2.ExportTraceServiceRequest(spans=[span_message(span, limits or SpanLimits())])
    return request.SerializeToString(deterministic=True)


def test_spans_of_a_real_tracer() -> None:
    encoder = SpanEncoder()
    made = traced(20)
    assert len(made) == 40
    for span in made:
        assert encoder.field(span) == by_classes(span)
    assert not encoder.defects.counts


def test_spans_of_a_tracer_take_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = SpanEncoder()
    made = [span._replace(links=BoundedList(1)) for span in traced(20)[1::2]]
    expected = [by_classes(span) for span in made]
    assert [encoder.field(span) for span in made] == expected  # the long way, which learns how spans end
    monkeypatch.setattr(encoder, "_any_field", lambda span: pytest.fail(f"{span} took the long way"))
    assert [encoder.field(span) for span in made] == expected
    child = made[0]._replace(parent_span_id=made[1].span_id)
    assert encoder.field(child) == by_classes(child)


@pytest.mark.parametrize("nanos", ["000000", "000001", "002097", "002098", "003000", "268435", "268436", "999999"])
def test_every_length_of_a_time(nanos: str) -> None:
    encoder = SpanEncoder()
    span = traced(1)[1]._replace(end_time=f"2026-11-23T10:20:30.{nanos}Z", links=BoundedList(1))
    for _ in range(2):
        assert encoder.field(span) == by_classes(span)


def test_fields_one_after_the_other_are_a_request() -> None:
    encoder, made = SpanEncoder(), traced(3)
    refused: list[str] = []
    fields = list(encoder.fields([*made, "no span", *made], lambda error: refused.append(str(error))))
    assert len(refused) == 1
    assert "'no span' is left out" in refused[0]
    assert not fields.pop(len(made))
    request = trace_service_pb2.ExportTraceServiceRequest.FromString(b"".join(fields))
    assert list(request.spans) == 2 * [span_message(span) for span in made]


def test_any_span_is_written_as_the_generated_classes_write_it() -> None:
    settings(suppress_health_check=[HealthCheck.too_slow])(fuzz_spans.spans_agree)()


@pytest.mark.parametrize("seed", range(5))
def test_the_harness_takes_any_bytes(seed: int) -> None:
    fuzz_spans.check(random.Random(seed).randbytes(300 * seed))


@pytest.mark.skipif(api_implementation.Type() == "python", reason="the tests themselves run so")
def test_the_same_under_protobufs_python_implementation() -> None:
    program = (
        "from google.protobuf.internal import api_implementation\n"
        "assert api_implementation.Type() == 'python'\n"
        "from fuzz.fuzz_spans import spans_agree\n"
        "from hypothesis import HealthCheck, settings\n"
        "slow = dict(deadline=None, suppress_health_check=list(HealthCheck))\n"
        "settings(max_examples=50, database=None, **slow)(spans_agree)()"
    )
    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, timeout=50, check=True)


@pytest.mark.parametrize(
    "keys, order",
    [
        pytest.param(["b", "a"], ["a", "b"], id="ASCII"),
        pytest.param(["z", "é", "\U00010000", "\uffff"], ["z", "é", "\uffff", "\U00010000"], id="by code points"),
        pytest.param(["ab", "a", ""], ["", "a", "ab"], id="the beginning of another before it"),
    ],
)
def test_attributes_are_written_in_the_order_of_their_keys(keys: list[str], order: list[str]) -> None:
    span = traced(1)[0]._replace(attributes=dict.fromkeys(keys, True))
    written = SpanEncoder().field(span)
    entries = [b"\x0a" + bytes([len(key.encode())]) + key.encode() + b"\x12\x02\x18\x01" for key in order]
    assert b"".join(b"\x0a" + bytes([len(entry)]) + entry for entry in entries) in written


def test_equal_values_of_different_types_are_told_apart() -> None:
    encoder = SpanEncoder()
    span = traced(1)[0]
    for value in (1, True, 1.0, "1", 0, False, 0.0, -0.0, "0", 1):
        changed = span._replace(attributes={"key": value})
        assert encoder.field(changed) == by_classes(changed)


def test_equal_endings_of_different_types_are_written_alike() -> None:
    encoder = SpanEncoder()
    span = traced(1)[0]
    for one in (1, True, 1.0, "1", 1):
        changed = span._replace(span_kind=one, child_span_count=one, status=status.Status(one))
        assert encoder.field(changed) == by_classes(changed)


class Text(str):
    """A text that shows itself as another."""

    def __str__(self) -> str:
        return "shown"


class Loose(str):
    """A text that equals others, whatever their case."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.lower() == other.lower()

    def __hash__(self) -> int:
        return hash(self.lower())


class Kind(enum.IntEnum):
    SENT = 1


def test_what_equals_something_known_is_written_as_what_it_is() -> None:
    encoder = SpanEncoder()
    for name, number in (("a name", 1), (Text("a name"), True), ("a name", Kind.SENT), (Loose("A NAME"), 1)):
        moment = datetime(2026, 1, 1, 0, 0, 0, 500_000)
        event = time_event.MessageEvent(moment, number, number, number, number)
        span = traced(1)[1]._replace(
            name=name,
            links=BoundedList(1),
            annotations=BoundedList.from_seq(1, [time_event.Annotation(moment, name)]),
            message_events=BoundedList.from_seq(1, [event]),
        )
        for _ in range(2):
            assert encoder.field(span) == by_classes(span)


def test_a_span_keeps_its_trace_when_reading_it_has_another_one_written() -> None:
    encoder = SpanEncoder()
    one, other = (traced(1)[1]._replace(links=BoundedList(1)) for _ in range(2))
    expected = by_classes(one)

    class Annotation(time_event.Annotation):
        @property
        def attributes(self) -> Any:
            encoder.field(other)
            return self.given

        @attributes.setter
        def attributes(self, given: Any) -> None:
            self.given = given

    given = one.annotations._dq[0]
    inner = Annotation(datetime(2026, 1, 1), given.description, given.attributes)
    inner.timestamp = given.timestamp
    for _ in range(2):
        assert encoder.field(one._replace(annotations=BoundedList.from_seq(1, [inner]))) == expected


def test_new_limits_hold_from_the_next_span_on() -> None:
    encoder = SpanEncoder()
    span = traced(1)[1]
    for limits in (
        SpanLimits(),
        SpanLimits(max_attributes=1, max_string_bytes=2),
        SpanLimits(max_links=0),
        SpanLimits(),
    ):
        encoder.limits = limits
        assert encoder.limits is limits
        assert encoder.field(span) == by_classes(span, limits)


def test_caches_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "CACHED_TEXTS", 10)
    encoder = SpanEncoder()
    span = traced(1)[1]
    for number in range(100):
        changed = span._replace(
            name=f"name {number}",
            attributes={f"key {number}": f"value {number}", "big": "x" * 1000, "long" * 100: "y"},
            start_time=datetime(2026, 1, 1, 0, number % 60, number // 60, 500_000).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            annotations=[
                time_event.Annotation(datetime(2026, 1, 1, 0, 0, 0, 500_000), text)
                for text in (f"text {number}", "x" * 1000)
            ],
            status=status.Status(number, f"message {number}"),
        )
        ordinary = changed._replace(
            attributes=BoundedDict(32), annotations=BoundedList.from_seq(32, changed.annotations), links=BoundedList(1)
        )
        for each in changed, ordinary:
            assert encoder.field(each) == by_classes(each)
    held = [*vars(encoder).values(), *vars(encoder._quick).values()]
    caches = [cache for cache in held if isinstance(cache, Cache)]
    assert sorted(cache._size for cache in caches) == [10, 10, 10, 10, CACHED_MILLISECONDS]
    for cache in caches:
        assert 0 < len(cache.known) <= cache._size
        assert "x" * 1000 not in repr(cache.known)


def test_caches_of_attributes_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attributes, "CACHED_ENTRIES", 10)
    monkeypatch.setattr(attributes, "CACHED_SETS", 3)
    encoder = attributes.AttributeEncoder(DEFAULT_LIMITS, Defects(), SpanEncoder()._text)
    for number in range(100):
        given = {f"key {number % 20}": number, "text": f"value {number}", "big": "x" * 1000, "k" * 200: "y", "f": 0.5}
        for subset in (given, dict(list(given.items())[:2])):
            message = trace_pb2.Span.Attributes.FromString(encoder.body(subset))
            assert set(message.attribute_map) == set(subset)
        held = [entries for of_set in encoder._sets.known.values() for *_, entries in of_set]
        held += encoder._keys.values()
        assert len(encoder._sets.known) <= 3
        assert len(encoder._keys) + sum(len(entries.known) for entries in encoder._keys.values()) <= 10
        assert "x" * 1000 not in repr([entries.known for entries in held])
        assert "k" * 200 not in {*encoder._keys, *(key for keys in encoder._sets.known for key in keys)}


def test_a_tuple_of_another_shape_is_no_span_data() -> None:
    encoder = SpanEncoder()
    made = traced(1)
    assert encoder.field(made[0]) == by_classes(made[0])
    changed = SimpleNamespace(**made[0]._asdict())
    assert encoder.field(changed) == by_classes(made[0])
    with pytest.raises(ValueError, match="left out"):
        encoder.field(tuple(made[0]))


def test_a_context_without_a_tracestate() -> None:
    span = traced(1)[0]._replace(context=SimpleNamespace(trace_id=SpanContext().trace_id))
    assert SpanEncoder().field(span) == by_classes(span)


@pytest.mark.parametrize("dropped", [None, "", (), 0.0, False])
def test_a_count_of_dropped_parts_that_is_no_number_costs_no_other_part(dropped: Any) -> None:
    links = fuzz_spans.Bounded([None, link.Link("0" * 31 + "1", "0" * 15 + "2")])
    links.dropped = dropped
    span = traced(1)[1]._replace(links=links)
    assert SpanEncoder().field(span) == by_classes(span)
