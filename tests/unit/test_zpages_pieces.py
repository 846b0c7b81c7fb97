"""The smaller pieces of zPages: charts, history, views, the form of the sampler, a span in full."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puremux.proto import metrics_pb2, trace_config_pb2, trace_pb2
from puremux.zpages import details, sampling
from puremux.zpages.charts import Line, bars, line_chart, nice_ceiling
from puremux.zpages.history import MOST, History
from puremux.zpages.sampling import FormError, config_of, in_words, settings_of
from puremux.zpages.surface import Surface
from puremux.zpages.views import Distribution, Summary, distribution_titles, view_of

# Charts


@pytest.mark.parametrize(
    "value, ceiling", [(0, 1), (5e-324, 1), (1, 1), (3, 5), (11, 20), (500, 500), (501, 1000), (1e18, 1e18)]
)
def test_axes_end_at_round_numbers(value: float, ceiling: float) -> None:
    assert nice_ceiling(value) == ceiling


@given(st.lists(st.tuples(st.floats(0, 2e9), st.floats(0, 1e12), st.sampled_from("ab")), min_size=1, max_size=30))
def test_lines_and_bands_stay_inside_the_chart(points: list[tuple[float, float, str]]) -> None:
    points.sort(key=lambda point: point[0])
    times, values, states = zip(*points)
    chart = line_chart(times, [Line("n", values)], states)
    ((_, path),) = chart.paths
    places = [tuple(map(float, place.split(","))) for place in path[1:].split("L")]
    assert all(chart.left <= x <= chart.right and chart.top <= y <= chart.bottom for x, y in places)
    assert all(chart.left <= left <= chart.right and width >= 1 for _, left, width in chart.bands)
    assert len(chart.bands) == 1 + sum(before != after for before, after in zip(states, states[1:]))


def test_a_bar_for_each_count_and_none_for_nothing() -> None:
    drawn = bars([0, 1, 1_000_000], ["a", "b", "c"], 30.0, 40.0)
    assert [bar.height for bar in drawn] == [0.0, 1.5, 40.0]
    assert [bar.left for bar in drawn] == [0.0, 10.0, 20.0]
    assert bars([], []) == []


# History


def stats(**figures: Any) -> dict[str, Any]:
    zeros = dict.fromkeys(("queue", "waiting", "unconfirmed", "sent", "confirmed", "replayed"), 0)
    return {**zeros, "state": "ready", "dropped": {}, **figures}


def test_samples_are_a_second_apart_and_bounded() -> None:
    now = [100.0]
    history = History(lambda: stats(queue=int(now[0]), dropped={"queue full": 2, "stopped": 3}), lambda: now[0])
    for _ in range(10 * MOST):
        history.look()
        now[0] += 0.25
    samples = history.samples()
    assert len(samples) == MOST + 1
    assert {round(after.at - before.at, 2) for before, after in zip(samples, samples[1:-1])} == {1.0}
    assert (samples[-1].queue, samples[-1].held, samples[-1].dropped) == (int(now[0]), int(now[0]), 5)


def test_the_sample_of_this_moment_takes_the_place_of_one_just_before() -> None:
    now = [100.0]
    history = History(stats, lambda: now[0])
    history.look()
    now[0] += 0.1
    assert [sample.at for sample in history.samples()] == [100.1]


def test_an_exporter_that_is_gone_has_no_more_samples() -> None:
    history = History(lambda: None)
    history.look()
    assert history.samples() == []


# Views


def metric(**fields: Any) -> metrics_pb2.Metric:
    descriptor = {"name": "m", "description": "d", "unit": "ms", "type": 6, "label_keys": [{"key": "k"}]}
    return metrics_pb2.Metric(metric_descriptor=descriptor, **fields)


def test_a_distribution_is_shown_with_its_buckets() -> None:
    value = {
        "count": 3,
        "sum": 12.0,
        "sum_of_squared_deviation": 0.0,
        "bucket_options": {"explicit": {"bounds": [1, 10]}},
        "buckets": [{"count": 1}, {"count": 2}, {}],
    }
    series = {"label_values": [{"value": "v", "has_value": True}], "points": [{"distribution_value": value}]}
    view = view_of(metric(timeseries=[series]))
    assert (view.name, view.kind, view.unit, view.keys) == ("m", "CUMULATIVE_DISTRIBUTION", "ms", ["k"])
    (row,) = view.rows
    assert (row.labels, row.kind) == (["v"], "distribution")
    assert row.value == Distribution(3, 12.0, 0.0, [1.0, 10.0], [1, 2, 0])
    assert distribution_titles(row.value) == ["below 1: 1", "1 to 10: 2", "from 10: 0"]


@pytest.mark.parametrize(
    "point, value, kind",
    [
        ({"int64_value": 5}, 5, "number"),
        ({"double_value": 0.5}, 0.5, "number"),
        ({}, 0, "number"),
        (
            {
                "summary_value": {
                    "count": {"value": 2},
                    "snapshot": {"percentile_values": [{"percentile": 99, "value": 7}]},
                }
            },
            Summary(2, None, [(99.0, 7.0)]),
            "summary",
        ),
        (
            {"distribution_value": {"count": 1, "buckets": [{"count": 1}] * 5}},
            Distribution(1, 0.0, 0.0, [], []),
            "distribution",
        ),
    ],
)
def test_values(point: Any, value: Any, kind: str) -> None:
    (row,) = view_of(metric(timeseries=[{"points": [point]}])).rows
    assert (row.value, row.kind) == (value, kind)


def test_a_series_without_points_is_no_row_and_an_unknown_type_is_a_number() -> None:
    view = view_of(metrics_pb2.Metric(metric_descriptor={"name": "m", "type": 99}, timeseries=[{}]))
    assert (view.rows, view.kind) == ([], "99")


# The form of the sampler

NO_LIMITS = dict.fromkeys(sampling.LIMITS, "")


@pytest.mark.parametrize(
    "form, words",
    [
        ({"sampler": "own"}, "as the program decides by itself"),
        ({"sampler": "on"}, "every trace"),
        ({"sampler": "off"}, "no trace"),
        ({"sampler": "parent"}, "a trace if its parent is sampled"),
        ({"sampler": "probability", "probability": "0.25"}, "0.25 of the traces"),
        ({"sampler": "rate", "rate": " 7 "}, "7 traces a second at the most"),
    ],
)
def test_a_form_makes_a_config_and_a_config_the_form(form: dict[str, str], words: str) -> None:
    config = config_of({**NO_LIMITS, **form, "attributes": "5"})
    assert in_words(config) == words
    assert config.max_number_of_attributes == 5
    assert config_of({**NO_LIMITS, **form, **settings_of(config).limits}) == config
    assert settings_of(config).sampler == form["sampler"]


@pytest.mark.parametrize(
    "form, sentence",
    [
        ({}, "Choose one of the samplers."),
        ({"sampler": "probability", "probability": "1.5"}, "The share is a number from 0 to 1, not '1.5'."),
        ({"sampler": "probability", "probability": "nan"}, "The share is a number from 0 to 1, not 'nan'."),
        ({"sampler": "probability", "probability": "x" * 99}, f"The share is a number from 0 to 1, not '{'x' * 40}'."),
        ({"sampler": "rate", "rate": "-1"}, "The number of traces a second is a whole number from 0 up, not '-1'."),
        ({"sampler": "on", "links": "0"}, "The number of links is a whole number from 1 up, not '0'."),
        ({"sampler": "on", "links": "9" * 19}, f"The number of links is a whole number from 1 up, not '{'9' * 19}'."),
    ],
)
def test_what_does_not_fit_is_said(form: dict[str, str], sentence: str) -> None:
    with pytest.raises(FormError) as caught:
        config_of(form)
    assert str(caught.value) == sentence


@given(st.dictionaries(st.sampled_from(["sampler", "probability", "rate", *sampling.LIMITS]), st.text()))
def test_any_form_makes_a_config_or_a_sentence(form: dict[str, str]) -> None:
    try:
        assert isinstance(config_of(form), trace_config_pb2.TraceConfig)
    except FormError as error:
        assert len(str(error)) < 200


# A span in full


def surface(whole: Any = b"", parent: bytes = b"", span_id: bytes = b"s", start: int = 0, end: int = 10) -> Surface:
    return Surface("n", b"t", span_id, parent, start, end, 0, whole)


def full_span() -> trace_pb2.Span:
    span = trace_pb2.Span(kind=2, status={"code": 5, "message": "no such cart"})
    span.start_time.nanos = 100
    attributes = span.attributes.attribute_map
    attributes["text"].string_value.value, attributes["yes"].bool_value = "x", True
    attributes["int"].int_value, attributes["float"].double_value = 5, 0.5
    span.attributes.dropped_attributes_count = 3
    event = span.time_events.time_event.add()
    event.time.nanos, event.annotation.description.value = 1_100, "looked up"
    event = span.time_events.time_event.add()
    event.message_event.type, event.message_event.id = 2, 7
    event.message_event.uncompressed_size, event.message_event.compressed_size = 2048, 512
    span.links.link.add(trace_id=b"\1" * 16, span_id=b"\2" * 8, type=2)
    span.stack_trace.stack_frames.frame.add(function_name={"value": "f"}, file_name={"value": "a.py"}, line_number=3)
    span.tracestate.entries.add(key="k", value="v")
    span.same_process_as_parent_span.value = False
    return span


@pytest.mark.parametrize("whole", [full_span(), full_span().SerializeToString()], ids=["message", "bytes"])
def test_everything_a_span_has_is_shown(whole: Any) -> None:
    view = details.view_span(surface(whole, start=100))
    assert (view.kind, view.status, view.message) == ("client", "NOT_FOUND", "no such cart")
    assert view.attributes == [("float", "0.5"), ("int", "5"), ("text", "x"), ("yes", "true")]
    assert [(event.after, event.what) for event in view.events] == [
        ("+1.00 µs", "looked up"),
        ("", "message 7 received: 2.00 KiB, 512 B compressed"),
    ]
    assert [(link.trace_id, link.span_id, link.kind) for link in view.links] == [("01" * 16, "02" * 8, "parent")]
    assert view.frames == ["f, a.py:3"]
    assert view.tracestate == [("k", "v")]
    assert view.notes == [
        "3 attributes were dropped before the span was sent.",
        "The parent belongs to another process.",
    ]


def test_a_span_that_cannot_be_decoded_is_said() -> None:
    with pytest.raises(ValueError, match="the span cannot be decoded: "):
        details.view_span(surface(b"\xff"))


@pytest.mark.parametrize("code, name", [(0, "OK"), (5, "NOT_FOUND"), (99, "code 99"), (-1, "unknown code")])
def test_statuses_have_names(code: int, name: str) -> None:
    assert details.status_name(code) == name


def test_a_trace_is_a_tree_in_time() -> None:
    spans = [
        surface(span_id=b"a", start=0, end=100),
        surface(span_id=b"b", parent=b"a", start=10, end=50),
        surface(span_id=b"d", parent=b"a", start=60, end=0),
        surface(span_id=b"c", parent=b"b", start=20, end=30),
        surface(span_id=b"e", parent=b"gone", start=99, end=99),
    ]
    rows = details.trace_rows(spans)
    assert [(row.span.span_id, row.depth) for row in rows] == [(b"a", 0), (b"b", 1), (b"c", 2), (b"d", 1), (b"e", 0)]
    assert [(row.left, row.width) for row in rows] == [(0, 300), (30, 120), (60, 30), (180, 120), (297, 1.5)]


def test_a_trace_in_circles_and_a_huge_one_are_shown_all_the_same() -> None:
    circle = [
        surface(span_id=b"a", parent=b"b"),
        surface(span_id=b"b", parent=b"a"),
        surface(span_id=b"c", parent=b"c"),
    ]
    assert {row.span.span_id for row in details.trace_rows(circle)} == {b"a", b"b", b"c"}
    chain = [surface(span_id=b"%d" % number, parent=b"%d" % (number - 1), start=number) for number in range(5_000)]
    rows = details.trace_rows(chain)
    assert (len(rows), max(row.depth for row in rows)) == (details.MOST_ROWS, details.DEEPEST)
    assert details.trace_rows([]) == []
