"""What the agent holds: the newest value of each series, recent spans, and how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puremux.agent.intake import MetricsIntake, TraceIntake
from puremux.agent.refusal import ListenerFailed, Reason
from puremux.agent.views import MetricsReceived, SpansReceived
from puremux.status import StatusCode
from tests.shared.agent_messages import (
    STARTED,
    Type,
    metric,
    metrics_request,
    node,
    point,
    resource,
    span,
    spans_request,
)
from tests.unit.agent_stores import EMPTY_EVENTS, Clock, held, make_store

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
