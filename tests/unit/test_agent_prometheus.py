"""The page, read back by prometheus-client's own parsers: every type, clashes, hostile names; no socket."""

from __future__ import annotations

import gzip
import math
from collections import Counter
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from puremux.agent import rendering
from puremux.agent.intake import MetricsIntake, TraceIntake
from puremux.agent.limits import AgentLimits
from puremux.agent.prometheus import AgentCollector, page_app
from puremux.agent.refusal import IntakeError
from puremux.agent.store import Store
from puremux.proto.well_known_pb2 import Timestamp
from tests.unit.agent_messages import (
    Type,
    distribution,
    metric,
    metrics_request,
    node,
    point,
    resource,
    series,
    span,
    spans_request,
    summary,
)

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
SHOP = {"service_name": "shop", "service_instance_id": "web-1:7"}


class Answer(NamedTuple):
    status: str
    headers: dict[str, str]
    body: str


def get(store: Store, path: str = "/metrics", *, query: str = "", accept: str | None = None, **options: Any) -> Answer:
    """What the page's WSGI application answers."""
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query}
    if accept is not None:
        environ["HTTP_ACCEPT"] = accept
    started: list[Any] = []
    body = b"".join(page_app(store, **options)(environ, lambda *args: started.extend(args)))
    return Answer(started[0], dict(started[1]), body.decode())


def families(store: Store, **options: Any) -> dict[str, Any]:
    """The clients' families on the page, by name."""
    return {
        family.name: family
        for family in parse_text(get(store, **options).body)
        if not family.name.startswith(("puremux_agent_", "target_info"))
    }


def samples(store: Store, **options: Any) -> dict[tuple[str, str], float]:
    """The clients' samples by name and labels, without the labels that all have."""
    return {
        (sample.name, ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()) if k not in SHOP)): sample.value
        for family in families(store, **options).values()
        for sample in family.samples
    }


def own(store: Store) -> dict[str, float]:
    """The agent's own figures."""
    return {
        ",".join([sample.name.replace("puremux_agent_", ""), *sample.labels.values()]): sample.value
        for family in parse_text(get(store).body)
        for sample in family.samples
        if family.name.startswith("puremux_agent_")
    }


def store_of(*metrics: Any, **fields: Any) -> Store:
    """A store that has had the metrics from one client."""
    store = Store()
    receive(store, *metrics, **fields)
    return store


def receive(store: Store, *metrics: Any, **fields: Any) -> None:
    MetricsIntake(store).receive(metrics_request(*metrics, **{"node": node(), **fields}))


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


# What OpenMetrics has no place for


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


# The agent's own figures


def test_the_agent_says_what_came_in_and_what_it_refused() -> None:
    store = Store(AgentLimits(max_clients=1))
    TraceIntake(store).receive(spans_request(span(1), span(2), node=node()))
    receive(store, metric("m"), metric("bad", kind=0))
    with pytest.raises(IntakeError):
        TraceIntake(store).receive(spans_request(span(3), node=node(pid=8)))
    figures = own(store)
    expected = {
        "clients": 1,
        "requests_total,trace": 2,
        "requests_total,metrics": 1,
        "spans_total": 2,
        "refused_spans_total,too_many_clients": 1,
        "refused_spans_total,no_node": 0,
        "metrics_total": 2,
        "time_series_total": 1,
        "refused_time_series_total,unspecified_type": 1,
        "held_time_series": 1,
        "held_spans": 2,
    }
    assert {name: figures[name] for name in expected} == expected


def test_an_empty_agent_has_a_page() -> None:
    assert own(Store())["clients"] == 0
    assert get(Store(), accept=OPENMETRICS).body.endswith("# EOF\n")


# HTTP


@pytest.mark.parametrize("path", ["/", "/metrics"])
def test_the_page_is_at_two_paths(path: str) -> None:
    answer = get(store_of(metric("m")), path)
    assert answer.status == "200 OK"
    assert "\nm{" in answer.body


def test_elsewhere_is_nothing() -> None:
    assert get(Store(), "/debug") == (
        "404 Not Found",
        {"Content-Type": "text/plain; charset=utf-8"},
        "The metrics are at /metrics.\n",
    )


@pytest.mark.parametrize(
    "accept, openmetrics",
    [
        pytest.param(
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", True, id="Prometheus"
        ),
        pytest.param("text/html,*/*;q=0.8", False, id="a browser"),
        pytest.param("application/openmetrics-text; version=x.y", False, id="a version that is none"),
        pytest.param("application/openmetrics-text; version=", False, id="an empty version"),
        pytest.param("text/plain; version=" + "9" * 5_000, False, id="a long version"),
    ],
)
def test_any_accept_header_gets_a_page(accept: str, openmetrics: bool) -> None:
    answer = get(store_of(metric("m")), accept=accept)
    assert answer.status == "200 OK"
    assert answer.body.endswith("# EOF\n") == openmetrics


def test_a_page_can_be_asked_for_some_names_only() -> None:
    answer = get(store_of(metric("a"), metric("b")), query="name[]=a")
    assert [sample.name for family in parse_text(answer.body) for sample in family.samples] == ["a"]


# Whatever clients send


TEXTS = st.one_of(
    st.sampled_from(["m", "m_total", "m_count", "m.x", "m_x", "le", "quantile", "target_info", ""]), st.text(max_size=8)
)
BOUNDS = st.lists(st.floats(), min_size=1, max_size=1)
INT64 = st.integers(-(2**63), 2**63 - 1)
UNITS = st.one_of(st.sampled_from(["", "1", "ms", "By/s"]), st.text(max_size=4))


@st.composite
def requests(draw: st.DrawFn) -> Any:
    messages = []
    for _ in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from(Type.Type.values()))
        name = Type.Type.Name(kind)
        value: Any = draw(st.floats()) if "DOUBLE" in name else draw(st.integers(-9, 9))
        if "DISTRIBUTION" in name:
            value = distribution(draw(BOUNDS), [draw(st.integers(0, 3)), 1], draw(st.floats()))
            exemplar = value.buckets[0].exemplar
            exemplar.value, exemplar.attachments[draw(TEXTS)] = draw(st.floats()), draw(TEXTS)
            exemplar.timestamp.seconds, exemplar.timestamp.nanos = draw(INT64), draw(st.integers(-(2**31), 2**31 - 1))
        elif name == "SUMMARY":
            count, total = draw(st.one_of(st.none(), st.integers(0, 9))), draw(st.one_of(st.none(), st.floats()))
            value = summary({50: draw(st.floats()), draw(st.floats(51, 100)): 1.0}, count, total)
        labels = draw(st.dictionaries(TEXTS, st.one_of(st.none(), TEXTS), max_size=3))
        message = metric(draw(TEXTS), None, kind, unit=draw(UNITS), description=draw(TEXTS), labels=labels)
        del message.timeseries[:]
        for _ in range(draw(st.integers(0, 2))):
            message.timeseries.append(series(labels.values(), point(value)))
        messages.append(message)
    sender = node(draw(TEXTS), pid=draw(st.integers(1, 2)), started=draw(st.integers(0, 1)))
    return metrics_request(
        *messages, node=sender, resource=resource(draw(TEXTS), **draw(st.dictionaries(TEXTS, TEXTS, max_size=2)))
    )


@given(st.lists(requests(), max_size=4))
def test_whatever_clients_send_the_page_can_be_read(received: list[Any]) -> None:
    store = Store()
    for request in received:
        MetricsIntake(store).receive(request)
    seen: set[Any] = set()
    for family in parse_text(get(store).body):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in seen
            seen.add(key)
    types = [line for line in get(store).body.split("\n") if line.startswith("# TYPE")]
    assert len(types) == len({line.split(" ")[2] for line in types})
    list(parse_openmetrics(get(store, accept=OPENMETRICS).body))


# In pieces


@pytest.mark.parametrize("at_once", [1, 2, 7])
@pytest.mark.parametrize("accept", ["", "application/openmetrics-text;version=1.0.0"])
def test_a_page_in_pieces_is_the_page_as_a_whole(accept: str, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    for pid in range(3):
        MetricsIntake(store).receive(
            metrics_request(
                metric("a", distribution([1, 2], [1, 2, 3]), Type.CUMULATIVE_DISTRIBUTION, description="# x\n# y"),
                metric("b", distribution([1, 2], [1, 2, 3]), Type.GAUGE_DISTRIBUTION, unit="s"),
                metric("c", summary({50: 1.0}, 5, 9.5), Type.SUMMARY),
                metric("d", 1, Type.CUMULATIVE_INT64, labels={"k": "# v\n"}),
                node=node(pid=pid),
            )
        )
    registry = CollectorRegistry(support_collectors_without_names=True)
    registry.register(AgentCollector(store))
    whole = choose_encoder(accept)[0](registry)
    monkeypatch.setattr(rendering, "AT_ONCE", at_once)
    page = rendering.render(registry.collect(), accept, "")
    assert len(page.body) > 5
    assert b"".join(page.body) == whole
    packed = rendering.render(registry.collect(), accept, "br, gzip;q=0.5")
    assert packed.content_encoding == "gzip"
    assert gzip.decompress(b"".join(packed.body)) == whole
