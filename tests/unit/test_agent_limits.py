"""The agent's limits: what fits is taken, the rest is told, and room comes back."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from puremux.agent.intake import MetricsIntake, TraceIntake
from puremux.agent.limits import AgentLimits
from puremux.agent.refusal import IntakeError, LimitReached, ListenerFailed, ProtocolViolation, Reason
from puremux.agent.store import Store
from puremux.status import StatusCode
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
)
from tests.unit.agent_stores import Clock, held, make_store, store_of
from tests.unit.prometheus_pages import get


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
            {"max_bytes_held": 4_700}, Reason.OUT_OF_MEMORY, "as much of metrics as it may, 4700", id="memory"
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


def test_descriptors_count_against_the_memory_that_may_be_held() -> None:
    store = make_store(max_bytes_held=1_000_000)
    metrics = [metric(f"m{number}", description="x" * 15_000) for number in range(100)]
    with pytest.raises(LimitReached):
        MetricsIntake(store).receive(metrics_request(*metrics, node=node()))
    totals = store.totals()
    assert totals.series < 70
    assert totals.bytes <= 1_000_000
    assert totals.refused_time_series == {Reason.OUT_OF_MEMORY: 100 - totals.series}


def test_a_description_that_grows_counts_too() -> None:
    store = make_store(max_bytes_held=10_000)
    intake = MetricsIntake(store)
    intake.receive(metrics_request(metric("m", 1, description="short"), node=node()))
    with pytest.raises(LimitReached):
        intake.receive(metrics_request(metric("m", 2, description="x" * 10_000)))
    assert held(store) == {("shop", "m"): 1}


def test_what_is_not_ascii_counts_as_what_it_takes() -> None:
    def bytes_of(label: str) -> int:
        store = make_store()
        MetricsIntake(store).receive(metrics_request(metric("m", labels={"k": label}), node=node()))
        return store.totals().bytes

    assert bytes_of("x" * 999 + "\N{SNOWMAN}") - bytes_of("x" * 1_000) == 3_000


def histogram(name: str, buckets: int, **fields: Any) -> Any:
    bounds, counts = range(buckets - 1), [1] * buckets
    return metric(name, distribution(bounds, counts, 5.0), Type.CUMULATIVE_DISTRIBUTION, **fields)


def test_what_takes_much_of_the_page_counts_for_it() -> None:
    """Each of a histogram's lines repeats all labels: twenty with a thousand buckets were a page of 285 MiB."""
    store = make_store(max_bytes_held=3_000_000)
    repeated = resource("k8s", **{f"k{number}": "v" * 240 for number in range(60)})
    metrics = [histogram(f"h{number}", 1_000) for number in range(20)]
    with pytest.raises(LimitReached):
        MetricsIntake(store).receive(metrics_request(*metrics, node=node(), resource=repeated))
    assert len(get(store).body) < 2 * store.limits.max_bytes_held


@pytest.mark.parametrize("keys", [{"k" * 200: "v"}, {"k": "v" * 200}])
def test_the_page_is_not_much_larger_than_what_is_held(keys: dict[str, str]) -> None:
    store = make_store()
    MetricsIntake(store).receive(metrics_request(histogram("h", 500, labels=keys), node=node("s" * 200)))
    assert len(get(store).body) < 2 * store.totals().bytes


@pytest.mark.parametrize("late", [False, True])
def test_what_is_said_of_each_source_counts_too(late: bool) -> None:
    """``target_info`` repeats all that the Node says for each Resource that it speaks for."""
    clock = Clock()
    store = make_store(clock)
    intake = MetricsIntake(store)
    long = node(zone="z" * 10_000)
    metrics = [metric("m", own_resource=resource("vm", host=str(number))) for number in range(200)]
    intake.receive(metrics_request(*metrics, node=node() if late else long))
    if late:
        intake.receive(metrics_request(node=long))
    assert len(get(store).body) < 2 * store.totals().bytes
    clock.now += store.limits.stale_after + 1
    store.expire()
    assert store.totals().bytes == 0


def test_a_client_has_so_many_lines_of_the_page() -> None:
    clock = Clock()
    store = make_store(clock, max_lines_per_client=100)
    intake = MetricsIntake(store)
    intake.receive(metrics_request(histogram("a", 40), histogram("b", 40), node=node()))
    with pytest.raises(LimitReached, match="takes 100 lines of its page of a client"):
        intake.receive(metrics_request(histogram("c", 40)))
    intake.receive(metrics_request(histogram("a", 50)))  # 94 are theirs now
    with pytest.raises(LimitReached):
        intake.receive(metrics_request(histogram("b", 50)))
    assert sorted(name for _, name in held(store)) == ["a", "b"]
    assert store.totals().refused_time_series == {Reason.TOO_MANY_LINES_OF_CLIENT: 2}
    clock.now += store.limits.stale_after - 1
    intake.receive(metrics_request(metric("d")))
    clock.now += 2
    store.expire()  # all but d
    intake.receive(metrics_request(histogram("c", 90)))
    assert sorted(name for _, name in held(store)) == ["c", "d"]


def test_long_names_of_services_are_cut_where_each_line_repeats_them() -> None:
    page = get(store_of(metric("m"), node=node("s" * 1_000, host="h" * 1_000))).body
    (line,) = [line for line in page.splitlines() if line.startswith("m{")]
    assert len(line) < 600


def test_what_expires_gives_its_memory_back() -> None:
    clock = Clock()
    store = make_store(clock)
    intake = MetricsIntake(store)
    intake.receive(metrics_request(metric("m", description="x" * 1_000), metric("n"), node=node()))
    intake.receive(metrics_request(metric("m", description="x" * 2_000)))
    clock.now += store.limits.stale_after + 1
    assert store.expire() == 1
    assert (store.totals().bytes, store.totals().series) == (0, 0)


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
