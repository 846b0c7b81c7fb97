"""The page for Prometheus: what it says of the agent, how it is asked for, and that it can always be read."""

from __future__ import annotations

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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
from puremux.agent.prometheus import AgentCollector
from puremux.agent.refusal import IntakeError
from puremux.agent.store import Store
from tests.shared.agent_messages import (
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
from tests.shared.waiting import eventually
from tests.unit.agent_stores import receive, store_of
from tests.unit.prometheus_pages import OPENMETRICS, ask, get, own

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


def test_head_is_answered_without_a_body() -> None:
    store = store_of(metric("m"))
    status, headers, body = ask(store, {"REQUEST_METHOD": "HEAD", "HTTP_ACCEPT_ENCODING": "gzip"})
    assert (status, headers["Content-Encoding"], body) == ("200 OK", "gzip", b"")
    assert int(headers["Content-Length"]) > 100
    assert ask(store, {"REQUEST_METHOD": "HEAD", "PATH_INFO": "/x"})[::2] == ("404 Not Found", b"")


def test_other_methods_are_told_which_there_are() -> None:
    status, headers, _ = ask(Store(), {"REQUEST_METHOD": "POST"})
    assert (status, headers["Allow"]) == ("405 Method Not Allowed", "GET, HEAD")


@pytest.mark.parametrize(
    "accepted, is_packed",
    [
        ("gzip", True),
        ("br, GZIP ; q=0.5", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; Q=0.000, br", False),
        ("gzip;q=many", False),
    ],
)
def test_it_is_packed_for_those_who_take_that(accepted: str, is_packed: bool) -> None:
    _, headers, _ = ask(Store(), {"HTTP_ACCEPT_ENCODING": accepted})
    assert headers.get("Content-Encoding") == ("gzip" if is_packed else None)
    assert headers["Vary"] == "Accept, Accept-Encoding"


# Many at once


def test_those_who_ask_meanwhile_share_the_next_page() -> None:
    pages, begun, made = rendering.SharedPages(), threading.Event(), []
    may_end = threading.Event()

    def make() -> rendering.Rendered:
        begun.set()
        assert may_end.wait(20)
        made.append(rendering.Rendered("text/plain", None, [b"%d" % len(made)]))
        return made[-1]

    with ThreadPoolExecutor(11) as pool:
        first = pool.submit(pages.get, "metrics", make, 20.0)
        assert begun.wait(20)
        others = [pool.submit(pages.get, key, make, 20.0) for key in ["metrics"] * 8 + ["other"]]
        eventually(lambda: pages.waiting == 9, 20, "they all wait")
        may_end.set()
        found = [each.result() for each in (first, *others)]
    assert found[0] is made[0], "it was asked for before all others"
    assert not any(each is made[0] for each in found[1:]), "none is older than its request"
    assert len({id(each) for each in found[1:9]}) <= 2, "they share one, unless the other page came between"
    assert pages.waiting == 0
    assert pages.get("metrics", make, 20.0) is made[-1], "nothing is kept"


def test_who_waits_too_long_gets_none() -> None:
    pages, begun, may_end = rendering.SharedPages(), threading.Event(), threading.Event()

    def make() -> rendering.Rendered:
        begun.set()
        assert may_end.wait(20)
        return rendering.Rendered("text/plain", None, [])

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(pages.get, "metrics", make, 20.0)
        assert begun.wait(20)
        assert pages.get("metrics", make, 0.01) is None
        may_end.set()
        assert first.result() is not None


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
