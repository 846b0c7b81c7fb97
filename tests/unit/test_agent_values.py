"""Points of messages as plain values: what is kept, and what contradicts itself."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puremux.agent.limits import AgentLimits
from puremux.agent.times import iso_time
from puremux.agent.values import Distribution, Exemplar, MalformedPoint, Summary, read_value
from puremux.proto import metrics_pb2
from puremux.proto.well_known_pb2 import Timestamp
from tests.shared.agent_messages import Type, distribution, point, summary

LIMITS = AgentLimits(max_buckets=5)


def read(value: Any, kind: int = Type.CUMULATIVE_DISTRIBUTION) -> Any:
    return read_value(point(value), kind, LIMITS)


@pytest.mark.parametrize(
    "kind", [Type.GAUGE_INT64, Type.GAUGE_DOUBLE, Type.CUMULATIVE_INT64, Type.CUMULATIVE_DOUBLE], ids=Type.Type.Name
)
@pytest.mark.parametrize("value", [0, -1, 2**62, 1.5, math.inf])
def test_a_number_is_a_number(value: float, kind: int) -> None:
    assert read(value, kind) == value


@pytest.mark.parametrize("kind", Type.Type.values()[1:], ids=Type.Type.Name)
def test_each_type_takes_its_own_values_only(kind: int) -> None:
    values = {"number": 1, "distribution": distribution([], []), "summary": summary({})}
    taken = []
    for name, value in values.items():
        try:
            read(value, kind)
            taken.append(name)
        except MalformedPoint:
            pass
    name = Type.Type.Name(kind)
    assert taken == ["summary" if name == "SUMMARY" else "distribution" if "DISTR" in name else "number"]


def test_a_distribution_keeps_its_parts() -> None:
    message = distribution([1, 2.5], [4, 0, 6], 17.5)
    message.sum_of_squared_deviation = 3.5
    read_back = read(message)
    assert (read_back.count, read_back.sum, read_back.sum_of_squared_deviation) == (10, 17.5, 3.5)
    assert (read_back.bounds, read_back.buckets, read_back.exemplars) == ((1.0, 2.5), (4, 0, 6), ())


@pytest.mark.parametrize(
    "message, expected",
    [
        pytest.param(distribution([], [], count=7), (7, (), ()), id="no histogram"),
        pytest.param(distribution([1, 2], [], count=7), (7, (), ()), id="bounds without buckets"),
        pytest.param(distribution([], [7]), (7, (), (7,)), id="one bucket for all"),
        pytest.param(distribution([0], [1, 2]), (3, (0.0,), (1, 2)), id="a bound of 0"),
        pytest.param(distribution([-2, -1], [1, 2, 3]), (6, (-2.0, -1.0), (1, 2, 3)), id="bounds below 0"),
        pytest.param(distribution([1], [1, 2], count=99), (3, (1.0,), (1, 2)), id="the buckets know the count"),
    ],
)
def test_histograms_of_all_kinds(message: Any, expected: tuple[Any, ...]) -> None:
    value = read(message)
    assert (value.count, value.bounds, value.buckets) == expected


@pytest.mark.parametrize(
    "message, sentence",
    [
        pytest.param(distribution([1], [1]), "1 bounds and 1 buckets", id="a bucket too few"),
        pytest.param(distribution([1], [1, 2, 3]), "1 bounds and 3 buckets", id="a bucket too many"),
        pytest.param(distribution([], [1, 2]), "0 bounds and 2 buckets", id="buckets without bounds"),
        pytest.param(distribution([2, 1], [1, 2, 3]), "finite and increasing", id="bounds fall"),
        pytest.param(distribution([1, 1], [1, 2, 3]), "finite and increasing", id="a bound twice"),
        pytest.param(distribution([1, math.inf], [1, 2, 3]), "finite and increasing", id="an infinite bound"),
        pytest.param(distribution([math.nan], [1, 2]), "finite and increasing", id="a bound that is no number"),
        pytest.param(distribution([1], [-1, 2]), "count below zero", id="a bucket below 0"),
        pytest.param(distribution([], [], count=-1), "count below zero", id="a count below 0"),
        pytest.param(distribution(range(5), [1] * 6), "6 buckets; 5 are taken", id="too many buckets"),
        pytest.param(summary({10: 1, 5: 1}), "increasing, from 0 to 100", id="percentiles fall"),
        pytest.param(summary({101: 1}), "increasing, from 0 to 100", id="a percentile above 100"),
        pytest.param(summary({-1: 1}), "increasing, from 0 to 100", id="a percentile below 0"),
        pytest.param(summary({math.nan: 1}), "increasing, from 0 to 100", id="a percentile that is no number"),
        pytest.param(summary({}, count=-1), "count below zero", id="a summary's count below 0"),
        pytest.param(summary(dict.fromkeys(range(6), 1)), "6 percentiles; 5 are taken", id="too many percentiles"),
    ],
)
def test_what_contradicts_itself_is_malformed(message: Any, sentence: str) -> None:
    kind = Type.SUMMARY if isinstance(message, metrics_pb2.SummaryValue) else Type.GAUGE_DISTRIBUTION
    with pytest.raises(MalformedPoint, match=sentence):
        read(message, kind)


def test_exemplars_stand_beside_their_buckets() -> None:
    message = distribution([1], [1, 1])
    message.buckets[1].exemplar.value = 1.5
    message.buckets[1].exemplar.timestamp.CopyFrom(Timestamp(seconds=3, nanos=500_000_000))
    message.buckets[1].exemplar.attachments["trace_id"] = "ab"
    assert read(message).exemplars == (None, Exemplar(1.5, 3.5, (("trace_id", "ab"),)))


def test_an_exemplars_long_attachments_are_left_out() -> None:
    message = distribution([], [1])
    message.buckets[0].exemplar.attachments["k"] = "x" * 128
    assert read(message).exemplars == (Exemplar(0.0, None, ()),)


@pytest.mark.parametrize(
    "message, expected",
    [
        (summary({50: 1.5, 99.9: math.nan}, 3, 4.5), (3, 4.5, (50.0, 99.9))),
        (summary({}), (None, None, ())),
        (summary({0: 1, 100: 2}, 0, 0.0), (0, 0.0, (0.0, 100.0))),
    ],
)
def test_a_summary_knows_what_it_does_not_know(message: Any, expected: tuple[Any, ...]) -> None:
    value = read(message, Type.SUMMARY)
    assert isinstance(value, Summary)
    assert (value.count, value.sum, tuple(rank for rank, _ in value.percentiles)) == expected


def test_equal_bounds_are_held_once() -> None:
    assert read(distribution([1, 2], [1, 1, 1])).bounds is read(distribution([1, 2], [2, 2, 2])).bounds


@given(
    st.lists(st.floats(), max_size=4),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=6),
    st.integers(-(2**63), 2**63 - 1),
)
def test_a_distribution_is_whole_or_malformed(bounds: list[float], buckets: list[int], count: int) -> None:
    try:
        value = read(distribution(bounds, buckets, count=count))
    except MalformedPoint:
        return
    assert isinstance(value, Distribution)
    assert len(value.buckets) == (len(value.bounds) + 1 if buckets else 0)
    assert value.count == (sum(buckets) if buckets else count) >= 0
    assert list(value.bounds) == sorted(set(value.bounds))


@pytest.mark.parametrize(
    "nanos, text",
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (1_795_473_235_185_467_266, "2026-11-23T22:33:55.185467266Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (253_402_300_800 * 10**9, "253402300800.000000000s"),
        (-(2**63) * 10**9, "-9223372036854775808.000000000s"),
    ],
)
def test_times_are_written_to_the_nanosecond(nanos: int, text: str) -> None:
    assert iso_time(nanos) == text
