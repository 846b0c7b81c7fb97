"""What the agent takes from clients, and what it refuses and counts."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puremux.agent.intake import MetricsIntake, TraceIntake
from puremux.agent.refusal import LimitReached, ProtocolViolation, Reason
from puremux.agent.store import Store
from puremux.agent.views import SpansReceived
from puremux.status import StatusCode
from tests.shared.agent_messages import (
    STARTED,
    Type,
    descriptor,
    distribution,
    metric,
    metrics_request,
    node,
    point,
    resource,
    series,
    span,
    spans_request,
)
from tests.unit.agent_stores import held, make_store

# The rules of a stream


@pytest.mark.parametrize("intake, request_", [(TraceIntake, spans_request(span())), (MetricsIntake, metrics_request())])
def test_the_first_message_must_have_a_node(intake: Any, request_: Any) -> None:
    store = make_store()
    with pytest.raises(ProtocolViolation, match="Export's first message must have a Node") as caught:
        intake(store).receive(request_)
    assert caught.value.code is StatusCode.UNKNOWN
    assert store.clients() == []
    assert store.totals().trace_requests + store.totals().metrics_requests == 1


def test_an_empty_node_is_a_node() -> None:
    store = make_store()
    TraceIntake(store).receive(spans_request(span(), node={}))
    assert [client.spans for client in store.clients()] == [1]


def test_spans_refused_for_want_of_a_node_are_counted() -> None:
    store = make_store()
    with pytest.raises(ProtocolViolation):
        TraceIntake(store).receive(spans_request(span(1), span(2)))
    totals = store.totals()
    assert totals.refused_spans == {Reason.NO_NODE: 2}
    assert totals.spans == totals.spans_held == 0


def told(messages: list[dict[str, Any]]) -> list[tuple[str, dict[str, str]]]:
    """Which service and Resource the listeners hear of, message by message."""
    store = make_store()
    heard: list[SpansReceived] = []
    store.on_spans(heard.append)
    intake = TraceIntake(store)
    for message in messages:
        intake.receive(spans_request(span(), **message))
    return [(received.node.service_info.name, dict(received.resource.labels)) for received in heard]


A, B = node("a"), node("b")
HERE, THERE = resource(at="here"), resource(at="there")


@pytest.mark.parametrize(
    "messages, expected",
    [
        pytest.param([{"node": A}, {}], [("a", {}), ("a", {})], id="a Node holds"),
        pytest.param(
            [{"node": A, "resource": HERE}, {}],
            [("a", {"at": "here"})] * 2,
            id="a Resource holds, and so does the Node",
        ),
        pytest.param(
            [{"node": A, "resource": HERE}, {"node": B}],
            [("a", {"at": "here"}), ("b", {"at": "here"})],
            id="another Node leaves the Resource",
        ),
        pytest.param(
            [{"node": A, "resource": HERE}, {"resource": THERE}],
            [("a", {"at": "here"}), ("a", {"at": "there"})],
            id="another Resource leaves the Node",
        ),
        pytest.param(
            [{"node": A, "resource": HERE}, {"resource": resource()}],
            [("a", {"at": "here"}), ("a", {})],
            id="an empty Resource replaces too",
        ),
    ],
)
def test_node_and_resource_hold_each_on_its_own(messages: list[Any], expected: list[Any]) -> None:
    assert told(messages) == expected


def test_two_streams_of_a_process_are_one_client() -> None:
    store = make_store()
    TraceIntake(store).receive(spans_request(span(), node=node()))
    MetricsIntake(store).receive(metrics_request(metric(), node=node()))
    (client,) = store.clients()
    assert (client.requests, client.spans, client.metrics, client.series) == (2, 1, 1, 1)
    assert client.identity.instance == "web-1:7"


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"service": "till"}, id="another service"),
        pytest.param({"host": "web-2"}, id="another host"),
        pytest.param({"pid": 8}, id="another process"),
        pytest.param({"started": STARTED + 1}, id="the same pid, later"),
    ],
)
def test_identity_is_host_pid_start_and_service(other: dict[str, Any]) -> None:
    store = make_store()
    TraceIntake(store).receive(spans_request(node=node()))
    TraceIntake(store).receive(spans_request(node=node(**other)))
    assert len(store.clients()) == 2


def test_a_node_that_says_more_is_the_same_client() -> None:
    store = make_store()
    intake = TraceIntake(store)
    intake.receive(spans_request(node=node()))
    before = store.totals().bytes
    intake.receive(spans_request(node=node(zone="z")))
    (client,) = store.clients()
    assert client.attributes["zone"] == "z"
    assert store.totals().bytes > before
    store.expire(1e9)
    assert store.totals().bytes == 0


@pytest.mark.parametrize(
    "host, pid, started, instance",
    [
        pytest.param("web-1", 7, STARTED, "web-1:7", id="host and pid"),
        pytest.param("", 7, STARTED, "7@2023-11-14T22:13:20.000000000Z", id="no host: the start tells it apart"),
        pytest.param("", 7, 0, "7", id="the pid alone"),
        pytest.param("", 0, 0, "", id="nothing"),
    ],
)
def test_an_instance_has_a_short_name(host: str, pid: int, started: int, instance: str) -> None:
    store = make_store()
    TraceIntake(store).receive(spans_request(node=node(host=host, pid=pid, started=started)))
    assert store.clients()[0].identity.instance == instance


# What is refused


def refused(message: Any, **limits: Any) -> dict[Reason, int]:
    """How many time series of a metric are refused."""
    store = make_store(**limits)
    MetricsIntake(store).receive(metrics_request(message, node=node()))
    assert held(store) == {}
    totals = store.totals()
    assert (totals.series, totals.time_series, totals.metrics) == (0, 0, 1)
    assert store.clients()[0].refused == sum(totals.refused_time_series.values())
    return dict(totals.refused_time_series)


@pytest.mark.parametrize(
    "message, reason",
    [
        pytest.param(metric(kind=Type.UNSPECIFIED), Reason.UNSPECIFIED_TYPE, id="no type"),
        pytest.param(metric(kind=99), Reason.UNSPECIFIED_TYPE, id="a type from the future"),
        pytest.param(metric(name=""), Reason.UNUSABLE_DESCRIPTOR, id="no name"),
        pytest.param(metric(name="x" * 256), Reason.UNUSABLE_DESCRIPTOR, id="a long name"),
        pytest.param(metric(description="x" * 20_000), Reason.UNUSABLE_DESCRIPTOR, id="a long description"),
        pytest.param(metric(labels={str(i): "v" for i in range(65)}), Reason.UNUSABLE_LABELS, id="65 labels"),
        pytest.param(metric(labels={"k": "x" * 1025}), Reason.UNUSABLE_LABELS, id="a long label value"),
        pytest.param(metric(labels={"x" * 1025: "v"}), Reason.UNUSABLE_LABELS, id="a long label key"),
        pytest.param(metric(value=None), Reason.MALFORMED_POINT, id="no value"),
        pytest.param(metric(value=distribution([], [])), Reason.MALFORMED_POINT, id="a value of another kind"),
    ],
)
def test_what_cannot_be_is_refused_and_counted_but_not_told(message: Any, reason: Reason) -> None:
    assert refused(message) == {reason: 1}


def test_a_series_without_points_is_refused() -> None:
    message = metric()
    del message.timeseries[0].points[:]
    assert refused(message) == {Reason.MALFORMED_POINT: 1}


def test_more_label_values_than_keys_are_refused() -> None:
    message = metric()
    message.timeseries.append(series(["v"], point(1)))
    del message.timeseries[0]
    assert refused(message) == {Reason.UNUSABLE_LABELS: 1}


def test_what_is_good_is_taken_beside_what_is_refused() -> None:
    store = make_store()
    bad = metric("bad", kind=0)
    bad.timeseries.append(series([], point(2)))
    MetricsIntake(store).receive(metrics_request(bad, metric("good"), node=node()))
    totals = store.totals()
    assert list(held(store)) == [("shop", "good")]
    assert (totals.time_series, totals.refused_time_series) == (1, {Reason.UNSPECIFIED_TYPE: 2})


# The books balance, whatever comes


NAMES = st.sampled_from(["a", "b", "", "x" * 300])
VALUES = st.one_of(
    st.none(),
    st.integers(-5, 5),
    st.floats(width=32),
    st.builds(
        distribution, st.lists(st.floats(-10, 10), max_size=4), st.lists(st.integers(-1, 9), max_size=5), st.just(1.0)
    ),
)


@st.composite
def metrics(draw: st.DrawFn) -> Any:
    message = metric(draw(NAMES), None, draw(st.integers(0, 8)), labels={"k": "v"})
    del message.timeseries[:]
    for _ in range(draw(st.integers(0, 4))):
        labels = draw(st.lists(st.sampled_from(["x", "y", None, "z" * 2_000]), max_size=2))
        message.timeseries.append(series(labels, *map(point, draw(st.lists(VALUES, max_size=2)))))
    if draw(st.booleans()):
        message.resource.labels["r"] = draw(st.sampled_from(["1", "2", "3" * 20_000]))
    return message


@given(st.lists(st.tuples(st.integers(1, 3), st.lists(metrics(), max_size=4)), max_size=6), st.integers(0, 5))
def test_each_series_is_taken_or_counted_as_refused(requests: list[Any], limit: int) -> None:
    store = make_store(max_clients=2, max_series=8, max_series_per_client=limit, max_bytes_held=9_000)
    sent = 0
    for pid, messages in requests:
        request = metrics_request(*messages, node=node(pid=pid))
        sent += sum(len(message.timeseries) for message in messages)
        try:
            MetricsIntake(store).receive(request)
        except LimitReached:
            pass
    totals = store.totals()
    assert totals.time_series + sum(totals.refused_time_series.values()) == sent
    assert totals.series == len(
        [labels for source in store.metrics() for each in source.metrics for labels in each.points]
    )
    assert totals.series == sum(client.series for client in store.clients()) <= 8
    assert 0 <= totals.bytes <= 9_000
    store.expire(1e9)
    assert (store.totals().series, store.totals().bytes, store.clients()) == (0, 0, [])


def test_readers_on_other_threads_see_whole_things() -> None:
    store = Store()
    stop = threading.Event()
    torn: list[object] = []

    def read() -> None:
        while not stop.is_set():
            for source in store.metrics():
                torn.extend(each for each in source.metrics if len({value for _, value in each.points}) != 1)
            store.totals(), store.clients(), store.recent_spans(10)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    intake = MetricsIntake(store)
    shape = descriptor("m", Type.GAUGE_INT64, labels=["k"])
    for number in range(200):  # all series of the metric always have the same value
        message = metric(time=STARTED + number)
        message.metric_descriptor.CopyFrom(shape)
        del message.timeseries[:]
        message.timeseries.extend(series([str(each)], point(number, STARTED + number)) for each in range(20))
        intake.receive(metrics_request(message, node=node()))
        store.expire()
    stop.set()
    for reader in readers:
        reader.join()
    assert torn == []
