"""From clients' metrics to families: types, labels, and names that clash."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from puremux.proto.well_known_pb2 import Timestamp
from tests.shared.agent_messages import Type, distribution, metric, node, resource, summary
from tests.unit.agent_stores import receive, store_of
from tests.unit.prometheus_pages import OPENMETRICS, SHOP, families, get, own, samples

# Every type


@pytest.mark.parametrize(
    "kind, value, expected",
    [
        pytest.param(Type.GAUGE_INT64, -3, {("m", ""): -3}, id="gauge of whole numbers"),
        pytest.param(Type.GAUGE_DOUBLE, 1.5, {("m", ""): 1.5}, id="gauge"),
        pytest.param(Type.GAUGE_DOUBLE, math.inf, {("m", ""): math.inf}, id="infinite gauge"),
        pytest.param(Type.CUMULATIVE_INT64, 2**53, {("m_total", ""): 2**53}, id="counter of whole numbers"),
        pytest.param(Type.CUMULATIVE_DOUBLE, 0.5, {("m_total", ""): 0.5}, id="counter"),
        pytest.param(
            Type.CUMULATIVE_DISTRIBUTION,
            distribution([1, 2.5, 1e6], [1, 2, 3, 4], 17.5),
            {
                ("m_bucket", "le=1.0"): 1,
                ("m_bucket", "le=2.5"): 3,
                ("m_bucket", "le=1e+06"): 6,
                ("m_bucket", "le=+Inf"): 10,
                ("m_sum", ""): 17.5,
                ("m_count", ""): 10,
            },
            id="distribution: buckets add up",
        ),
        pytest.param(
            Type.CUMULATIVE_DISTRIBUTION,
            distribution([], [], 2.0, count=4),
            {("m_bucket", "le=+Inf"): 4, ("m_sum", ""): 2, ("m_count", ""): 4},
            id="distribution without a histogram",
        ),
        pytest.param(
            Type.GAUGE_DISTRIBUTION,
            distribution([1], [1, 2], 9.0),
            {
                ("m_bucket", "le=1.0"): 1,
                ("m_bucket", "le=+Inf"): 3,
                ("m_gsum", ""): 9,
                ("m_gcount", ""): 3,
            },
            id="gauge distribution",
        ),
        pytest.param(
            Type.SUMMARY,
            summary({50: 1.5, 99.9: 2.5}, 5, 9.5),
            {("m", "quantile=0.5"): 1.5, ("m", "quantile=0.999"): 2.5, ("m_sum", ""): 9.5, ("m_count", ""): 5},
            id="summary",
        ),
        pytest.param(
            Type.SUMMARY, summary({50: 1.5}), {("m", "quantile=0.5"): 1.5}, id="summary that knows no count and sum"
        ),
    ],
)
def test_a_value_is_on_the_page(kind: int, value: Any, expected: dict[Any, float]) -> None:
    store = store_of(metric("m", value, kind))
    assert samples(store) == expected


def test_no_number_is_one_too() -> None:
    (value,) = samples(store_of(metric("m", math.nan, Type.GAUGE_DOUBLE))).values()
    assert math.isnan(value)


def test_openmetrics_on_request() -> None:
    message = metric("m", distribution([1], [1, 2], 9.0), Type.CUMULATIVE_DISTRIBUTION, unit="ms")
    message.timeseries[0].points[0].distribution_value.buckets[0].exemplar.value = 0.5
    message.timeseries[0].points[0].distribution_value.buckets[0].exemplar.timestamp.CopyFrom(Timestamp(seconds=3))
    message.timeseries[0].points[0].distribution_value.buckets[0].exemplar.attachments["trace.id"] = "ab"
    store = store_of(
        message,
        metric("g", distribution([1], [1, 2], 9.0), Type.GAUGE_DISTRIBUTION),
        metric("c", 1, Type.CUMULATIVE_INT64),
        metric("s", summary({50: 1.5}, 5, 9.5), Type.SUMMARY),
    )
    answer = get(store, accept=OPENMETRICS)
    found = {family.name: family for family in parse_openmetrics(answer.body)}
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    kinds = {name: found[name].type for name in ("m_milliseconds", "g", "c", "s", "target")}
    assert kinds == {
        "m_milliseconds": "histogram",
        "g": "gaugehistogram",
        "c": "counter",
        "s": "summary",
        "target": "info",
    }
    assert found["m_milliseconds"].unit == "milliseconds"
    exemplar = found["m_milliseconds"].samples[0].exemplar
    assert (exemplar.value, float(exemplar.timestamp), exemplar.labels) == (0.5, 3.0, {"trace_id": "ab"})


@given(
    st.dictionaries(st.floats(-1e6, 1e6), st.integers(0, 10**6), max_size=8),
    st.integers(0, 10**6),
    st.floats(allow_nan=False),
)
def test_a_histogram_adds_up(counts: dict[float, int], last: int, total: float) -> None:
    bounds = sorted(counts)
    buckets = [counts[bound] for bound in bounds] + [last]
    found = samples(store_of(metric("m", distribution(bounds, buckets, total), Type.CUMULATIVE_DISTRIBUTION)))
    by_bound = {float(labels.partition("=")[2]): value for (name, labels), value in found.items() if "_bucket" in name}
    cumulative = [by_bound[bound] for bound in sorted(by_bound)]
    assert list(by_bound) == [*bounds, math.inf]
    assert cumulative == sorted(cumulative)
    assert [after - before for before, after in zip([0, *cumulative], cumulative)] == buckets
    if total >= 0 and not any(bound < 0 for bound in bounds):
        assert found["m_count", ""] == cumulative[-1] == sum(buckets)
        assert found["m_sum", ""] == total


# Labels


def test_each_series_says_service_instance_and_resource() -> None:
    store = store_of(
        metric("m", labels={"k.x": "v", "none": None, "empty": ""}), resource=resource("k8s", **{"pod.name": "p"})
    )
    (sample,) = families(store)["m"].samples
    assert sample.labels == {**SHOP, "k_x": "v", "pod_name": "p", "opencensus_resourcetype": "k8s"}


def test_target_info_says_what_else_the_node_does() -> None:
    store = store_of(metric(), node=node(zone="z"), resource=resource(pod="p"))
    (info,) = (family for family in parse_text(get(store).body) if family.name == "target_info")
    (sample,) = info.samples
    assert sample.value == 1
    assert sample.labels == {
        **SHOP,
        "host_name": "web-1",
        "process_pid": "7",
        "opencensus_starttime": "2023-11-14T22:13:20.000000000Z",
        "opencensus_exporterversion": "0.1",
        "telemetry_sdk_language": "python",
        "zone": "z",
        "pod": "p",
    }


def test_target_info_is_said_once_of_sources_that_differ_in_nothing_it_says() -> None:
    store = store_of(metric("m"), node=node(zone="z"), resource=resource(zone="1"))
    receive(store, metric("m"), node=node(zone="z"), resource=resource(zone="2"))
    assert len(families(store)["m"].samples) == 2
    assert get(store).body.count("\ntarget_info{") == 1


def test_node_labels_are_on_each_series_when_asked_for() -> None:
    store = store_of(metric("m"))
    found = families(store, node_labels=True)
    assert found["m"].samples[0].labels["job"] == found["m"].samples[0].labels["service_name"] == "shop"
    assert found["m"].samples[0].labels["host_name"] == "web-1"
    assert "target_info" not in get(store, node_labels=True).body


def test_what_a_node_does_not_say_is_no_label() -> None:
    (sample,) = families(store_of(metric("m"), node={}))["m"].samples
    assert sample.labels == {}


@pytest.mark.parametrize("source", ["node", "resource"])
def test_an_instance_can_name_itself(source: str) -> None:
    named = {"service.instance.id": "one"}
    fields = {"node": node(**named)} if source == "node" else {"resource": resource(**named)}
    (sample,) = families(store_of(metric("m"), **fields))["m"].samples
    assert sample.labels == {"service_name": "shop", "service_instance_id": "one"}


@pytest.mark.parametrize(
    "labels, expected",
    [
        pytest.param({"a.b": "1", "a_b": "2"}, "a_b=1;2", id="two become one"),
        pytest.param({"a.b": "1", "a_b": None}, "a_b=1", id="two become one, of which one is none"),
        pytest.param({"service.name": "mine"}, "exported_service_name=mine", id="the page's own"),
        pytest.param({"pod": "mine"}, "exported_pod=mine,pod=p", id="the Resource's"),
        pytest.param({"le": "9"}, "exported_le=9,pod=p", id="a histogram's"),
        pytest.param({"quantile": "9"}, "exported_quantile=9,pod=p", id="a summary's"),
        pytest.param({"__name__": "x"}, "key__name__=x", id="Prometheus's"),
        pytest.param({"k": 'a"b\\c\nd'}, 'k=a"b\\c\nd', id="signs that need escapes"),
    ],
)
def test_labels_that_clash(labels: dict[str, Any], expected: str) -> None:
    store = store_of(metric("m", labels=labels), resource=resource(pod="p"))
    ((name, found),) = samples(store)
    assert name == "m"
    assert sorted(found.split(",")) == sorted({*expected.split(","), "pod=p"})


# Clashes between clients


def test_the_type_first_seen_holds_and_others_stand_apart() -> None:
    store = store_of(metric("m", 1, Type.GAUGE_INT64))
    receive(store, metric("m", distribution([], [5], 1.0), Type.CUMULATIVE_DISTRIBUTION), node=node(pid=8))
    receive(store, metric("m", 2, Type.GAUGE_INT64), node=node(pid=9))
    found = families(store)
    assert {name: (family.type, len(family.samples)) for name, family in found.items()} == {
        "m": ("gauge", 2),
        "m_histograms": ("histogram", 3),
    }
    assert "shown apart from m, which another client has with another type" in found["m_histograms"].documentation
    assert own(store)["conflicts,type"] == 1


def test_where_no_name_is_free_a_metric_is_left_out_and_counted() -> None:
    store = store_of(
        metric("m", 1, Type.GAUGE_INT64),
        metric("m_summaries", 1, Type.GAUGE_INT64),
        metric("m", summary({50: 1.5}, 5, 9.5), Type.SUMMARY),
    )
    assert samples(store) == {("m", ""): 1, ("m_summaries", ""): 1}
    figures = own(store)
    assert (figures["conflicts,type"], figures["conflicts,dropped"]) == (1, 1)


@pytest.mark.parametrize(
    "first, second, expected",
    [
        pytest.param(
            metric("m", distribution([], [1]), Type.CUMULATIVE_DISTRIBUTION),
            metric("m_count", 1, Type.GAUGE_INT64),
            {"m", "m_count_gauges"},
            id="a histogram's count",
        ),
        pytest.param(
            metric("m_total", 1, Type.GAUGE_INT64),
            metric("m", 1, Type.CUMULATIVE_INT64),
            {"m_total", "m_counters"},
            id="a counter's total",
        ),
        pytest.param(
            metric("a"),
            metric("puremux_agent_clients", 1, Type.GAUGE_INT64),
            {"a", "puremux_agent_clients_gauges"},
            id="the agent's own",
        ),
        pytest.param(metric("a"), metric("target_info"), {"a", "target_info_gauges"}, id="target_info"),
    ],
)
def test_no_two_families_share_a_samples_name(first: Any, second: Any, expected: set[str]) -> None:
    store = store_of(first, second)
    page = get(store).body
    names = Counter(line.split()[2] for line in page.splitlines() if line.startswith("# TYPE"))
    assert set(names.values()) == {1}
    assert {family.name for family in parse_text(page)} >= expected
    list(parse_openmetrics(get(store, accept=OPENMETRICS).body))  # it raises where names clash


def test_the_help_first_seen_holds_and_says_that_others_differ() -> None:
    store = store_of(metric("m", description="One."))
    for pid, description in ((8, "Two."), (9, "Three."), (10, "One.")):
        receive(store, metric("m", description=description), node=node(pid=pid))
    assert families(store)["m"].documentation == "One. (described otherwise by other clients)"
    assert own(store)["conflicts,help"] == 1


def test_a_metric_without_description_has_a_help_still() -> None:
    assert families(store_of(metric("opdemo/x", description="")))["opdemo_x"].documentation == "opdemo/x of OpenCensus"


def test_of_equal_series_the_later_client_is_shown() -> None:
    store = store_of(metric("m", 1), node=node(started=1))
    receive(store, metric("m", 2), node=node(started=2))
    assert samples(store) == {("m", ""): 2}
    assert own(store)["conflicts,series"] == 1
    assert get(store).body.count("target_info{") == 1


def test_two_metrics_that_come_to_one_name_do_not_clash_when_labels_differ() -> None:
    store = store_of(metric("a.b", 1, labels={"x": "1"}), metric("a_b", 2, labels={"x": "2"}))
    assert samples(store) == {("a_b", "x=1"): 1, ("a_b", "x=2"): 2}


def test_the_page_does_not_depend_on_when_it_is_asked_for() -> None:
    store = store_of(metric("b"), metric("a"), metric("b", 1.5, Type.CUMULATIVE_DOUBLE))
    assert get(store) == get(store)
    assert list(families(store)) == ["a", "b", "b_counters"]
