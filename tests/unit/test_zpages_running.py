"""Running spans, as opencensus's tracers make them."""

from __future__ import annotations

import gc
from typing import Any

from opencensus.trace.samplers import AlwaysOffSampler, AlwaysOnSampler
from opencensus.trace.tracer import Tracer

from puremux.proto import trace_pb2
from puremux.zpages import running as running_module
from puremux.zpages.running import RunningSpans, observe_tracers, stop_observing


class Nowhere:
    def export(self, span_datas: Any) -> None:
        """Drop them."""


def tracer(sampler: Any = None) -> Tracer:
    return Tracer(sampler=sampler or AlwaysOnSampler(), exporter=Nowhere())


def observed() -> RunningSpans:
    running = RunningSpans()
    assert observe_tracers(running)
    return running


def test_a_span_is_running_from_its_start_to_its_end() -> None:
    running = observed()
    with tracer().span("outer") as outer:
        outer.add_attribute("cups", 2)
        with outer.span("inner"):
            assert running.names() == {"outer": 1, "inner": 1}
            found, _ = running.spans()
        assert running.names() == {"outer": 1}
    assert not running.names()
    assert (found.name, found.span_id.hex(), found.end) == ("outer", outer.span_id, 0)
    assert trace_pb2.Span.FromString(found.whole).attributes.attribute_map["cups"].int_value == 2


def test_a_child_names_its_parent() -> None:
    running = observed()
    with tracer().span("outer") as outer, outer.span("inner"):
        (inner,) = running.spans(lambda name: name == "inner")
    assert inner.parent_span_id.hex() == outer.span_id


def test_spans_that_are_not_sampled_are_not_there() -> None:
    running = observed()
    with tracer(AlwaysOffSampler()).span("unseen"):
        assert not running.names()


def test_a_span_that_is_dropped_without_an_end_is_gone() -> None:
    running = observed()
    own = tracer()
    span = own.start_span("lost")
    span.start()
    assert running.names() == {"lost": 1}
    del span, own
    from opencensus.trace import execution_context  # the tracer leaves itself there

    execution_context.clear()
    gc.collect()
    assert not running.names()
    assert not running._spans


def test_no_more_is_told_after_the_end() -> None:
    running = observed()
    stop_observing(running)
    with tracer().span("unseen"):
        assert not running.names()


class Stub:
    def __init__(self, name: str = "stub") -> None:
        self.name, self.start_time, self.end_time = name, "2026-11-23T12:00:00.000001Z", None


def test_too_many_are_counted_and_ended_ones_make_room_now_and_then() -> None:
    now = [0.0]
    running = RunningSpans(most=3, clock=lambda: now[0])
    held = [Stub() for _ in range(3)]
    for span in held:
        running.add(span)
    late = Stub("late")
    running.add(late)
    assert (running.missed, running.names()) == (1, {"stub": 3})
    held[0].end_time = "2026-11-23T12:00:01.000001Z"  # type: ignore[assignment]  # it has ended, and is still held
    running.add(late)
    assert running.missed == 2  # it was looked a moment ago
    now[0] += 1.0
    running.add(late)
    assert (running.missed, running.names()) == (2, {"stub": 2, "late": 1})


def test_a_span_of_another_shape_is_left_out() -> None:
    running = RunningSpans()
    stub = Stub()
    running.add(stub)
    assert running.spans() == []


class Broken(RunningSpans):
    def add(self, span: Any) -> None:
        raise RuntimeError("a mistake")


def test_a_mistake_of_ours_reaches_no_program() -> None:
    broken = Broken()
    assert observe_tracers(broken)
    with tracer().span("unharmed") as span:
        span.add_attribute("k", "v")
    assert broken not in [reference() for reference in running_module._watching]
