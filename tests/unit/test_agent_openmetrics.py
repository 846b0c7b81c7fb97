"""What OpenMetrics has no place for is left out and counted, and prometheus-client can read the rest."""

from __future__ import annotations

import math
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from tests.shared.agent_messages import Type, distribution, metric, resource, summary
from tests.unit.agent_stores import store_of
from tests.unit.prometheus_pages import OPENMETRICS, get, own


def histogram(bounds: list[float], total: float, kind: int = Type.CUMULATIVE_DISTRIBUTION) -> Any:
    return metric("m", distribution(bounds, [1] * (len(bounds) + 1), total), kind)


@pytest.mark.parametrize(
    "message, expected",
    [
        pytest.param(metric("m", -1, Type.CUMULATIVE_INT64), set(), id="a counter below 0"),
        pytest.param(metric("m", -math.inf, Type.CUMULATIVE_DOUBLE), set(), id="a counter far below 0"),
        pytest.param(metric("m", math.nan, Type.CUMULATIVE_DOUBLE), set(), id="a counter that is no number"),
        pytest.param(histogram([1], -2.0), {"m_bucket"}, id="a histogram's sum below 0"),
        pytest.param(histogram([1], math.nan), {"m_bucket"}, id="a histogram's sum that is no number"),
        pytest.param(histogram([-1], 2.0), {"m_bucket"}, id="a histogram's sum beside bounds below 0"),
        pytest.param(histogram([1], -2.0, Type.GAUGE_DISTRIBUTION), {"m_bucket"}, id="a gauge histogram's"),
        pytest.param(histogram([-1], math.nan, Type.GAUGE_DISTRIBUTION), {"m_bucket"}, id="that is no number"),
        pytest.param(metric("m", summary({5: -1.0, 9: 2.0}, 2, 3.0), Type.SUMMARY), {"m", "m_sum", "m_count"}, id="p"),
        pytest.param(metric("m", summary({5: 1.0}, 2, -3.0), Type.SUMMARY), {"m", "m_count"}, id="a summary's sum"),
        pytest.param(metric("m", summary({}, 2, math.nan), Type.SUMMARY), {"m_count"}, id="NaN as a summary's sum"),
    ],
)
def test_what_the_format_forbids_is_left_out_and_counted(message: Any, expected: set[str]) -> None:
    store = store_of(message, metric("good", 5, Type.CUMULATIVE_INT64))
    found = [
        sample
        for family in parse_openmetrics(get(store, accept=OPENMETRICS).body)
        for sample in family.samples
        if family.name in ("m", "good")
    ]
    assert {sample.name for sample in found} == {"good_total", *expected}
    assert own(store)["conflicts,value"] == 1


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(metric("m", math.inf, Type.CUMULATIVE_DOUBLE), id="an endless counter"),
        pytest.param(histogram([-1], -2.0, Type.GAUGE_DISTRIBUTION), id="a gauge histogram below 0"),
        pytest.param(metric("m", summary({5: math.nan}, 2, 3.0), Type.SUMMARY), id="a quantile that is not known"),
    ],
)
def test_what_it_allows_is_not(message: Any) -> None:
    store = store_of(message)
    assert "\nm" in get(store, accept=OPENMETRICS).body
    list(parse_openmetrics(get(store, accept=OPENMETRICS).body))
    assert own(store)["conflicts,value"] == 0


@pytest.mark.parametrize(
    "key, text, expected",
    [
        pytest.param("_", "x" * 127, {}, id="a key that grows, so that all is too long"),
        pytest.param("k", 'a"b', {}, id="a quote, which prometheus-client cannot read back"),
        pytest.param("k", "a\\}\n# {", {"k": "a\\}\n# {"}, id="signs that it can"),
    ],
)
def test_an_exemplar_does_no_harm(key: str, text: str, expected: dict[str, str]) -> None:
    message = histogram([1], 2.0)
    message.timeseries[0].points[0].distribution_value.buckets[0].exemplar.attachments[key] = text
    page = get(store_of(message), accept=OPENMETRICS).body
    (family,) = (family for family in parse_openmetrics(page) if family.name == "m")
    assert [sample.exemplar.labels for sample in family.samples if sample.exemplar] == [expected]


def test_quantiles_that_are_written_alike_are_shown_once() -> None:
    message = metric("m", summary({50: 1.0, 50.00000000000001: 2.0}), Type.SUMMARY)
    assert get(store_of(message)).body.count('quantile="0.5"') == 1


@pytest.mark.parametrize(
    "kind, value", [(Type.CUMULATIVE_DISTRIBUTION, distribution([1], [1, 1], 2.0)), (Type.SUMMARY, summary({50: 1.0}))]
)
def test_a_resource_cannot_take_the_labels_of_the_format(kind: int, value: Any) -> None:
    store = store_of(metric("m", value, kind), resource=resource(le="1", quantile="2"))
    page = get(store, accept=OPENMETRICS).body
    (family,) = (family for family in parse_openmetrics(page) if family.name == "m")
    assert all(sample.labels["exported_le"] == "1" for sample in family.samples)
    assert all(sample.labels["exported_quantile"] == "2" for sample in family.samples)
