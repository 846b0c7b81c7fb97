"""What the agent knows after messages have come in: rules of a stream, newest values, limits, expiry, counts."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puremux.agent import crowds
from puremux.agent.intake import MetricsIntake, TraceIntake
from puremux.agent.limits import AgentLimits
from puremux.agent.refusal import IntakeError, LimitReached, ListenerFailed, ProtocolViolation, Reason
from puremux.agent.store import Store
from puremux.agent.views import MetricsReceived, SpansReceived
from puremux.proto.trace_pb2 import Span
from puremux.status import StatusCode
from tests.unit.agent_messages import (
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


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


EMPTY_EVENTS = Span.TimeEvents(time_event=[Span.TimeEvent()] * 50_000)


def make_store(clock: Clock | None = None, **limits: Any) -> Store:
    return Store(AgentLimits(**limits), clock or Clock())


def held(store: Store) -> dict[tuple[str, ...], Any]:
    """All values, by service, metric's name and label values."""
    return {
        (source.client.service_name, metric.descriptor.name, *labels): value
        for source in store.metrics()
        for metric in source.metrics
        for labels, value in metric.points
    }


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


# The newest value


def test_the_last_value_of_each_series_is_held() -> None:
    store = make_store()
    intake = MetricsIntake(store)
    intake.receive(metrics_request(metric(value=1, labels={"k": "a"}), node=node()))
    intake.receive(metrics_request(metric(value=2, labels={"k": "b"}), metric(value=3, labels={"k": "a"})))
    assert held(store) == {("shop", "queue/length", "a"): 3, ("shop", "queue/length", "b"): 2}


def test_an_older_point_does_not_replace_a_newer_one() -> None:
    store = make_store()
    intake = MetricsIntake(store)
    intake.receive(metrics_request(metric(value=2, time=STARTED + 2), node=node()))
    intake.receive(metrics_request(metric(value=1, time=STARTED + 1)))
    assert list(held(store).values()) == [2]
    assert store.totals().time_series == 2
    intake.receive(metrics_request(metric(value=3, time=STARTED + 2)))
    assert list(held(store).values()) == [3]


def test_of_several_points_the_newest_counts() -> None:
    store = make_store()
    message = metric()
    del message.timeseries[0].points[:]
    message.timeseries[0].points.extend(
        [point(1, STARTED), point(3, STARTED + 9), point(4, STARTED + 9), point(2, STARTED + 5)]
    )
    MetricsIntake(store).receive(metrics_request(message, node=node()))
    assert list(held(store).values()) == [4]


def test_no_label_value_is_not_an_empty_one() -> None:
    store = make_store()
    MetricsIntake(store).receive(
        metrics_request(metric(value=1, labels={"k": None}), metric(value=2, labels={"k": ""}), node=node())
    )
    assert held(store) == {("shop", "queue/length", None): 1, ("shop", "queue/length", ""): 2}


def test_missing_label_values_are_none() -> None:
    store = make_store()
    message = metric(labels={"a": "1", "b": "2"})
    del message.timeseries[0].label_values[1:]
    MetricsIntake(store).receive(metrics_request(message, node=node()))
    assert list(held(store)) == [("shop", "queue/length", "1", None)]


def test_a_metrics_own_resource_replaces_the_requests() -> None:
    store = make_store()
    MetricsIntake(store).receive(
        metrics_request(
            metric(value=1),
            metric(value=2, own_resource=resource(pod="p")),
            metric(value=3, own_resource=resource()),
            node=node(),
            resource=resource("k8s", zone="z"),
        )
    )
    found = {tuple(source.resource.items()): source.metrics[0].points[0][1] for source in store.metrics()}
    assert found == {(("zone", "z"), ("opencensus.resourcetype", "k8s")): 1, (("pod", "p"),): 2, (): 3}


def test_another_type_is_another_metric() -> None:
    store = make_store()
    MetricsIntake(store).receive(
        metrics_request(metric(value=1), metric(value=2, kind=Type.CUMULATIVE_INT64), node=node())
    )
    assert [each.points for each in store.metrics()[0].metrics] == [[((), 1)], [((), 2)]]


def test_the_description_told_last_holds() -> None:
    store = make_store()
    intake = MetricsIntake(store)
    intake.receive(metrics_request(metric(description="old"), node=node()))
    intake.receive(metrics_request(metric(description="new")))
    (found,) = store.metrics()[0].metrics
    assert (found.descriptor.description, len(found.points)) == ("new", 1)


def test_clients_that_say_the_same_share_a_descriptor() -> None:
    store = make_store()
    for pid in (1, 2):
        MetricsIntake(store).receive(metrics_request(metric(), node=node(pid=pid)))
    first, second = (source.metrics[0].descriptor for source in store.metrics())
    assert first is second


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


# Limits


def fill(store: Store, count: int, pid: int = 7) -> None:
    """A client sends so many time series of one metric."""
    message = metric(labels={"k": ""})
    del message.timeseries[:]
    message.timeseries.extend(series([str(each)], point(each)) for each in range(count))
    MetricsIntake(store).receive(metrics_request(message, node=node(pid=pid)))


@pytest.mark.parametrize(
    "limits, reason, sentence",
    [
        pytest.param(
            {"max_series_per_client": 3},
            Reason.TOO_MANY_SERIES_OF_CLIENT,
            "takes 3 time series of a client",
            id="client's",
        ),
        pytest.param({"max_series": 3}, Reason.TOO_MANY_SERIES, "holds 3 time series, and takes no more", id="series"),
        pytest.param(
            {"max_bytes_held": 4_000}, Reason.OUT_OF_MEMORY, "as much of metrics as it may, 4000", id="memory"
        ),
    ],
)
def test_what_fits_is_taken_and_the_rest_is_told(limits: dict[str, int], reason: Reason, sentence: str) -> None:
    store = make_store(**limits)
    with pytest.raises(LimitReached, match=sentence) as caught:
        fill(store, 10)
    assert caught.value.code is StatusCode.RESOURCE_EXHAUSTED
    totals = store.totals()
    assert totals.series == totals.time_series == len(held(store)) == 3
    assert totals.refused_time_series == {reason: 7}
    fill(store, 3)  # what is held can still be updated
    assert store.totals().time_series == 6


def test_room_comes_back_when_series_expire() -> None:
    clock = Clock()
    store = make_store(clock, max_series=3, stale_after=60)
    fill(store, 3)
    clock.now += 61
    store.expire()
    fill(store, 3, pid=8)
    assert store.totals().series == 3


def test_a_value_that_grows_needs_room() -> None:
    store = make_store(max_bytes_held=5_000)
    intake = MetricsIntake(store)
    kind = Type.CUMULATIVE_DISTRIBUTION
    intake.receive(metrics_request(metric(value=distribution([1], [1, 1]), kind=kind), node=node()))
    with pytest.raises(LimitReached):
        intake.receive(metrics_request(metric(value=distribution(range(200), [1] * 201), kind=kind)))
    (value,) = held(store).values()
    assert len(value.buckets) == 2
    assert store.totals().bytes < 5_000


def test_what_a_value_grew_by_is_given_back() -> None:
    store = make_store()
    intake = MetricsIntake(store)
    kind = Type.CUMULATIVE_DISTRIBUTION
    intake.receive(metrics_request(metric(value=distribution([1], [1, 1]), kind=kind), node=node()))
    before = store.totals().bytes
    intake.receive(metrics_request(metric(value=distribution(range(200), [1] * 201), kind=kind)))
    assert store.totals().bytes > before + 199 * 8
    store.expire(1e9)
    assert store.totals().bytes == 0


def test_too_many_clients_are_refused() -> None:
    store = make_store(max_clients=2)
    for pid in (1, 2):
        TraceIntake(store).receive(spans_request(span(), node=node(pid=pid)))
    with pytest.raises(LimitReached, match="knows 2 clients"):
        TraceIntake(store).receive(spans_request(span(), span(), node=node(pid=3)))
    with pytest.raises(LimitReached, match="knows 2 clients"):
        MetricsIntake(store).receive(metrics_request(metric(), node=node(pid=3)))
    totals = store.totals()
    assert totals.refused_spans == {Reason.TOO_MANY_CLIENTS: 2}
    assert totals.refused_time_series == {Reason.TOO_MANY_CLIENTS: 1}
    assert (totals.spans, totals.trace_requests, totals.metrics_requests) == (2, 3, 1)


@pytest.mark.parametrize(
    "fields", [{"node": node(x="y" * 20_000)}, {"node": node(), "resource": resource(x="y" * 20_000)}]
)
def test_a_large_node_or_resource_is_refused(fields: dict[str, Any]) -> None:
    store = make_store()
    with pytest.raises(LimitReached, match="larger than 16384 bytes"):
        TraceIntake(store).receive(spans_request(span(), **fields))
    assert store.totals().refused_spans == {Reason.NODE_TOO_LARGE: 1}
    assert store.clients() == []


def test_a_metrics_large_resource_is_refused_with_it() -> None:
    store = make_store()
    large = metric("large", own_resource=resource(x="y" * 20_000))
    with pytest.raises(LimitReached, match="larger than 16384 bytes"):
        MetricsIntake(store).receive(metrics_request(large, metric("small"), node=node()))
    assert list(held(store)) == [("shop", "small")]


@pytest.mark.parametrize("limit", [-1, float("nan"), "many", None])
def test_limits_are_numbers_from_0_up(limit: Any) -> None:
    with pytest.raises(ValueError, match="max_clients takes a number"):
        AgentLimits(max_clients=limit)


@pytest.mark.parametrize(
    "error",
    [
        ProtocolViolation(Reason.NO_NODE, "x"),
        LimitReached(Reason.TOO_MANY_SERIES, AgentLimits()),
        ListenerFailed("x"),
        IntakeError(StatusCode.INTERNAL, Reason.NO_NODE, "x"),
    ],
)
def test_errors_survive_pickle(error: IntakeError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.code, copy.reason, str(copy)) == (type(error), error.code, error.reason, str(error))


# Spans held, and listeners


def test_recent_spans_come_newest_first() -> None:
    store = make_store()
    intake = TraceIntake(store)
    intake.receive(spans_request(span(1), span(2), node=node()))
    intake.receive(spans_request(span(3)))
    assert [held.span.span_id[-1] for held in store.recent_spans()] == [3, 2, 1]
    assert [held.span.span_id[-1] for held in store.recent_spans(2)] == [3, 2]
    assert store.recent_spans(1)[0].client.service_name == "shop"


@given(st.lists(st.integers(0, 12), max_size=20), st.integers(0, 10), st.integers(0, 400))
def test_spans_held_stay_within_their_limits(sizes: list[int], most: int, most_bytes: int) -> None:
    store = make_store(max_spans_held=most, max_span_bytes_held=most_bytes)
    intake = TraceIntake(store)
    numbers = iter(range(1, 1_000))
    for size in sizes:
        intake.receive(spans_request(*(span(next(numbers)) for _ in range(size)), node=node()))
    totals = store.totals()
    found = [int.from_bytes(held.span.span_id, "big") for held in store.recent_spans()]
    assert totals.spans == sum(sizes)
    assert len(found) == totals.spans_held <= most
    assert totals.span_bytes_held <= most_bytes
    assert found == sorted(found, reverse=True)


def test_a_request_too_large_to_be_held_does_not_push_the_others_out() -> None:
    store = make_store(max_span_bytes_held=500)
    intake = TraceIntake(store)
    intake.receive(spans_request(span(1), node=node()))
    intake.receive(spans_request(span(2, name="x" * 500)))
    assert [held.span.span_id[-1] for held in store.recent_spans()] == [1]
    assert store.totals().spans == 2


def test_spans_are_held_as_the_bytes_that_they_came_in() -> None:
    """Read, four MiB of spans that hold nothing but empty events would take a hundred."""
    store = make_store()
    request = spans_request(span(1, time_events=EMPTY_EVENTS), node=node())
    payload = request.SerializeToString()
    TraceIntake(store).receive(request, payload)
    assert store.totals().span_bytes_held == len(payload)
    (bundle,) = store._recent.bundles()
    assert bundle.payload is payload
    (held,) = store.recent_spans()
    assert len(held.span.time_events.time_event) == 50_000


def test_listeners_have_a_request_before_it_counts_as_received() -> None:
    store = make_store()
    seen: list[int] = []
    store.on_spans(lambda received: seen.append(store.totals().spans))
    TraceIntake(store).receive(spans_request(span(), node=node()))
    assert seen == [0]
    assert store.totals().spans == 1


def test_a_listener_that_fails_refuses_the_request_and_those_behind_it_have_it_the_next_time() -> None:
    store = make_store()
    heard: list[object] = []

    def fail(received: object) -> None:
        raise ListenerFailed("the disk is full")

    store.on_spans(heard.append)
    store.on_spans(fail)
    store.on_spans(heard.append)
    store.on_metrics(heard.append)
    store.on_metrics(fail)
    store.on_metrics(heard.append)
    with pytest.raises(ListenerFailed, match="the disk is full") as caught:
        TraceIntake(store).receive(spans_request(span(), node=node()))
    assert caught.value.code is StatusCode.UNAVAILABLE
    with pytest.raises(ListenerFailed):
        MetricsIntake(store).receive(metrics_request(metric(), node=node()))
    totals = store.totals()
    assert [type(each) for each in heard] == [SpansReceived, MetricsReceived]
    assert (totals.spans, totals.spans_held, totals.series) == (0, 0, 0)
    assert totals.refused_spans == totals.refused_time_series == {Reason.LISTENER_FAILED: 1}
    assert store.clients()[0].refused == 2


# Expiry and rates


def test_stale_series_and_clients_are_forgotten() -> None:
    clock = Clock()
    store = make_store(clock, stale_after=60)
    intake = MetricsIntake(store)
    intake.receive(metrics_request(metric("a"), metric("b"), node=node()))
    TraceIntake(store).receive(spans_request(span(), node=node(pid=8)))
    clock.now += 59
    intake.receive(metrics_request(metric("b", time=STARTED + 59)))
    assert store.expire() == 0
    assert store.expire(clock.now + 2) == 1  # 61 seconds since "a", and since the other client
    assert list(held(store)) == [("shop", "b")]
    assert [client.identity.pid for client in store.clients()] == [7]
    assert store.expire(clock.now + 61) == 1
    totals = store.totals()
    assert (totals.clients, totals.expired_clients, totals.series, totals.bytes) == (0, 2, 0, 0)
    assert (totals.spans, totals.metrics) == (1, 3)


def test_a_client_that_speaks_again_is_known_again() -> None:
    store = make_store()
    intake = MetricsIntake(store)
    intake.receive(metrics_request(metric(), node=node()))
    store.expire(1e9)
    intake.receive(metrics_request(metric()))
    assert list(held(store)) == [("shop", "queue/length")]


def test_rates_follow_what_comes_in_and_fade() -> None:
    clock = Clock()
    store = make_store(clock)
    intake = TraceIntake(store)
    for _ in range(600):
        intake.receive(spans_request(*[span()] * 5, node=node()))
        clock.now += 0.1
    assert store.clients()[0].spans_per_second == pytest.approx(50, rel=0.05)
    clock.now += 60
    assert store.clients()[0].spans_per_second < 0.5


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


# Messages of very many things


@pytest.mark.parametrize(
    "request_, expected",
    [
        pytest.param(spans_request(), 0, id="nothing"),
        pytest.param(spans_request(span(), span()), 2, id="spans"),
        pytest.param(spans_request(span(time_events=EMPTY_EVENTS)), 50_001, id="a span of many events"),
        pytest.param(
            spans_request(span(stack_trace={"stack_frames": {"frame": [{}] * 3}}, links={"link": [{}] * 2})),
            6,
            id="all",
        ),
    ],
)
def test_spans_and_what_they_hold_are_counted(request_: Any, expected: int) -> None:
    assert crowds.spans_items(request_) == expected


def test_metrics_and_what_they_hold_are_counted() -> None:
    message = metric()
    message.timeseries.add().points.add()
    message.timeseries.add()
    assert crowds.metrics_items(metrics_request(message, metric())) == 6 + 3


@given(
    st.lists(
        st.sampled_from([b"\x12\x00", b"\xbd\x01abcd", b"\x08\x80\x01", b"\x3d1234", b"\x3912345678", b"\x82\x7d\x01a"])
    )
)
def test_fields_are_counted_without_reading_them(fields: list[bytes]) -> None:
    message = b"".join(fields)
    assert crowds.has_more_fields(message, len(fields) - 1)
    assert not crowds.has_more_fields(message, len(fields))


@given(st.binary(max_size=40), st.integers(0, 3))
def test_counting_fields_of_anything_ends(message: bytes, most: int) -> None:
    crowds.has_more_fields(message, most)
