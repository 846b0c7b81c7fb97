"""The agent's Prometheus page beside the Collector's, after both had the same metrics; and promtool's word on it."""

from __future__ import annotations

import math
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from puremux.agent import Agent
from puremux.agent.prometheus import serve_page
from puremux.exporter import Exporter
from tests.shared.agent_messages import Type, distribution, metric, metrics_request, node, resource, series, summary

from .harness.collector import Collector
from .harness.prometheus import check_page, read_page

METRICS = [
    metric("opdemo/latency", distribution([10, 50], [1, 2, 3], 97.5), Type.CUMULATIVE_DISTRIBUTION, unit="ms"),
    metric("opdemo/line_counts", 5, Type.CUMULATIVE_INT64, unit="1"),
    metric("bytes/sent", 2**53, Type.CUMULATIVE_INT64, unit="By"),
    metric("cpu_total", 1.5, Type.CUMULATIVE_DOUBLE, unit="s"),
    metric("queue.length", -3, Type.GAUGE_INT64),
    metric("fill", 0.25, Type.GAUGE_DOUBLE, unit="1"),
    metric("rate", 3.5, Type.GAUGE_DOUBLE, unit="By/s"),
    metric("things", 3, Type.GAUGE_INT64, unit="{things}"),
    metric("1st-of:all.ünï", 3, Type.GAUGE_INT64),
    metric("plain", distribution([], [], 2.0, count=4), Type.CUMULATIVE_DISTRIBUTION),
    metric("sizes", summary({50: 1.5, 99: 2.5}, 5, 9.5), Type.SUMMARY, unit="By"),
    metric("labels", 1, Type.GAUGE_INT64, labels={"k.x": "v", "1x": 'a"b\\c\nd', "_u": "é", "none": None}),
    metric("own", 1, Type.GAUGE_INT64, own_resource=resource("vm", zone="z")),
]
REQUEST = metrics_request(*METRICS, node=node(shelf="s"), resource=resource("k8s", **{"pod.name": "p"}))
THEIRS_ALONE = ("otel_scope_name", "otel_scope_version", "otel_scope_schema_url")  # all empty
OURS_ALONE = ("service_instance_id",)

BASE_UNITS = "use base unit"
"""promtool's advice against milliseconds.  The names are the Collector's, and so are theirs."""


@pytest.fixture
def agent() -> Iterator[Agent]:
    with Agent("127.0.0.1:0", prometheus="127.0.0.1:0") as running:
        yield running


def send(address: str, *requests: Any) -> None:
    """Hand requests to an agent, and wait until it has them."""
    with Exporter(address) as exporter:
        for request in requests:
            exporter.export_metrics_request(request)
        assert exporter.flush(10)


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def comparable(page: str) -> dict[Any, float]:
    """The samples of the clients, by name and labels; bounds and quantiles as numbers, times to the second."""
    found = {}
    for sample in read_page(page):
        labels: dict[str, Any] = {k: v for k, v in sample.labels.items() if k not in THEIRS_ALONE + OURS_ALONE}
        for number in ("le", "quantile"):
            if number in labels:
                labels[number] = float(labels[number])
        if "opencensus_starttime" in labels:
            labels["opencensus_starttime"] = labels["opencensus_starttime"].replace(".000000000", "")
        if not sample.name.startswith("puremux_agent_"):
            found[sample.name, frozenset(labels.items())] = sample.value
    return found


def test_names_labels_and_values_are_the_collectors(agent: Agent, collector: Callable[..., Collector]) -> None:
    theirs = collector("all")
    send(theirs.address, REQUEST)
    send(agent.address, REQUEST)
    page = serve_page(agent.store, "127.0.0.1", 0, node_labels=True)
    try:
        ours = comparable(fetch(page.url))
    finally:
        page.close()
    assert ours == comparable(theirs.page())
    assert len(ours) == 22


def test_promtool_finds_nothing_but_units(agent: Agent) -> None:
    send(agent.address, REQUEST)
    advice = check_page(fetch(str(agent.page))).splitlines()
    assert [line for line in advice if BASE_UNITS not in line] == []
    assert advice == ['opdemo_latency_milliseconds use base unit "seconds" instead of "milliseconds"']


def test_promtool_can_read_what_clashes_and_what_is_hostile(agent: Agent) -> None:
    hostile = metric("<script>", 1, labels={"__name__": "x", "le": "\x00", "a.b": "\u2028", "a_b": '"\\'})
    hostile.timeseries.append(series(["y", None, "", "z"], *hostile.timeseries[0].points))
    send(
        agent.address,
        metrics_request(hostile, metric("m", math.nan, Type.GAUGE_DOUBLE), node=node()),
        metrics_request(metric("m", distribution([1], [1, 1]), Type.GAUGE_DISTRIBUTION), node=node(pid=8)),
        metrics_request(metric("m", summary({50: 1.0}), Type.SUMMARY), node=node(pid=9)),
        metrics_request(metric("m_total", 1), metric("target_info", 1), metric("m", 5), node=node("ü\n", pid=10)),
    )
    page = fetch(str(agent.page))
    assert "puremux_agent_time_series_total 8.0" in page
    assert check_page(page) == 'm_total non-counter metrics should not have "_total" suffix\n'
