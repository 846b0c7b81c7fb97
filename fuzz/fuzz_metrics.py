"""Whatever shape a metric has, the direct encoder and the generated classes write the same bytes, or both refuse it.

They also agree on what could not be sent as it was, and neither raises anything but ValueError.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fuzz.fuzz_spans import agree, anything, moments, mostly, numbers, texts, thing, times
from puremux.exporter.metrics import MetricEncoder
from puremux.exporter.metrics_pb import metric_message
from puremux.proto import metrics_pb2

GAUGE_INT64, GAUGE_DOUBLE, GAUGE_DISTRIBUTION, SUMMARY = 1, 2, 3, 7

reals = st.one_of(st.floats(), st.sampled_from([0.0, -0.0, 1.0, 1, True]), numbers)
labels = st.one_of(texts, texts, st.none())
optional_counts = st.one_of(st.none(), mostly(numbers))
optional_sums = st.one_of(st.none(), mostly(reals))

exemplars = thing(
    value=mostly(reals),
    timestamp=mostly(times),
    attachments=st.one_of(st.none(), st.dictionaries(texts, mostly(texts), max_size=3)),
)
buckets = thing(count=mostly(numbers), exemplar=st.one_of(st.none(), st.none(), exemplars))
explicit = thing(bounds=st.lists(mostly(reals), max_size=4))
distributions = thing(
    count=mostly(numbers),
    sum=mostly(reals),
    sum_of_squared_deviation=mostly(reals),
    bucket_options=st.one_of(st.none(), thing(type_=st.one_of(st.none(), explicit))),
    buckets=st.one_of(st.none(), st.lists(buckets, max_size=4)),
)
percentiles = thing(percentile=mostly(reals), value=mostly(reals))
snapshots = thing(
    count=optional_counts,
    sum_data=optional_sums,
    value_at_percentiles=st.one_of(st.none(), st.lists(percentiles, max_size=3)),
)
summaries = thing(count=optional_counts, sum_data=optional_sums, snapshot=st.one_of(st.none(), snapshots))

VALUES = {
    GAUGE_INT64: thing(value=mostly(numbers)),
    GAUGE_DOUBLE: thing(value=mostly(reals)),
    GAUGE_DISTRIBUTION: distributions,
    GAUGE_INT64 + 3: thing(value=mostly(numbers)),
    GAUGE_DOUBLE + 3: thing(value=mostly(reals)),
    GAUGE_DISTRIBUTION + 3: distributions,
    SUMMARY: thing(value=summaries),
}


@st.composite
def metrics(draw: st.DrawFn) -> Any:
    metric_type = draw(st.one_of(st.integers(0, 8), st.integers(1, 7), st.integers(1, 7)))
    value = draw(st.sampled_from([VALUES.get(metric_type, distributions), st.one_of(*VALUES.values(), anything)]))
    shared = draw(moments)
    point = thing(value=value, timestamp=st.one_of(st.just(shared), mostly(times)))
    series = thing(
        label_values=st.lists(st.one_of(st.none(), thing(value=mostly(labels))), max_size=3),
        points=st.lists(mostly(point), max_size=3),
        start_timestamp=st.one_of(st.none(), st.just(shared), mostly(times)),
    )
    descriptor = thing(
        name=mostly(texts),
        description=mostly(labels),
        unit=mostly(labels),
        type=st.one_of(st.just(metric_type), st.just(metric_type), st.just(metric_type), anything),
        label_keys=st.lists(thing(key=mostly(texts), description=labels), max_size=3),
    )
    return draw(thing(descriptor=descriptor, time_series=st.lists(mostly(series), max_size=4)))


@given(metrics(), st.sampled_from(["", "", "prefix", "\ud800"]))
def metrics_agree(metric: Any, prefix: str) -> None:
    agree(
        lambda defects: MetricEncoder(prefix, defects).encode,
        [metric, metric],
        metrics_pb2.Metric,
        lambda each, defects: metric_message(each, prefix, defects),
    )


def check(data: bytes) -> None:
    metrics_agree.hypothesis.fuzz_one_input(data)  # type: ignore[attr-defined]  # hypothesis adds it
