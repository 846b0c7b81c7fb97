"""The exporter and agents that misbehave: nothing is lost, nothing waits for ever, nobody is called again and again."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from puremux.exporter import Exporter, Pace
from puremux.proto import metrics_pb2, metrics_service_pb2, trace_config_pb2, trace_service_pb2
from puremux.protocol.connection import Connection
from puremux.status import StatusCode
from tests.loopback.scripted_agent import METRICS_EXPORT, ScriptedAgent, Stream
from tests.loopback.test_exporter import exporter_to, span, spans, total
from tests.waiting import eventually

OFFERED = trace_service_pb2.UpdatedLibraryConfig(
    config=trace_config_pb2.TraceConfig(constant_sampler=trace_config_pb2.ConstantSampler(decision="ALWAYS_ON"))
).SerializeToString()


@pytest.fixture
def ending() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def new_agent(ending: ExitStack, **limits: Any) -> ScriptedAgent:
    agent = ScriptedAgent(**limits)
    ending.callback(agent.stop)
    return agent


def offer_config(stream: Stream) -> None:
    """Keep the Config stream open, as an agent does that can configure its clients."""
    stream.responder.send(OFFERED)


@contextmanager
def exporting(exporter: Exporter, pause: float = 0.0005) -> Iterator[None]:
    """Hand over one span after the other, from another thread, for the while."""
    running = True

    def pour() -> None:
        while running:
            exporter.export(spans(1, "poured"))
            time.sleep(pause)

    thread = threading.Thread(target=pour)
    thread.start()
    try:
        yield
    finally:
        running = False
        thread.join()


def slow_span(name: str) -> Any:
    """A span that takes its time to be encoded."""

    class Slow(type(span())):  # type: ignore[misc]  # a SimpleNamespace with a property
        @property
        def span_kind(self) -> int:
            time.sleep(0.001)
            return 0

    values = vars(span(name))
    del values["span_kind"]
    return Slow(**values)


def test_counts_add_up_at_every_moment_and_never_go_back(ending: ExitStack) -> None:
    agent = new_agent(ending)
    refusals = iter([StatusCode.UNAVAILABLE, StatusCode.OK] * 50)
    agent.on_half_close = lambda stream: stream.responder.finish(next(refusals, StatusCode.OK))
    options = {"queue_size": 50, "bundle_count": 5, "pace": Pace(rotate_after=0.01)}
    accepted = 0
    with exporter_to(agent, **options) as exporter, exporting(exporter), exporting(exporter):
        for _ in range(1_000):
            exporter.export([slow_span("slow")])
            stats = exporter.stats()
            assert total(stats) == stats["accepted"] >= accepted + 1
            accepted = stats["accepted"]


def test_flush_waits_for_what_was_handed_over_and_not_for_what_comes_meanwhile(ending: ExitStack) -> None:
    agent = new_agent(ending)
    later = agent.server.driver.call_later
    agent.on_half_close = lambda stream: later(0.05, lambda: agent.confirm(stream)) and None
    with exporter_to(agent) as exporter, exporting(exporter):
        for number in range(3):
            exporter.export(spans(3, f"mine{number}-"))
            assert exporter.flush(10)
            assert {f"mine{number}-{n}" for n in range(3)} <= set(agent.span_names())


def test_stop_delivers_what_was_handed_over_though_others_go_on(ending: ExitStack) -> None:
    agent = new_agent(ending)
    exporter = exporter_to(agent)
    with exporting(exporter):
        exporter.export(spans(3, "mine"))
        exporter.stop(10)
        assert {f"mine{n}" for n in range(3)} <= set(agent.span_names())
    exporter.stop()
    stats = exporter.stats()
    assert total(stats) == stats["accepted"] and stats["queue"] == stats["waiting"] == stats["unconfirmed"] == 0


def test_a_stream_that_follows_a_slow_one_is_rotated_though_nothing_more_comes(ending: ExitStack) -> None:
    agent = new_agent(ending)
    held: list[Stream] = []
    agent.on_half_close = held.append
    pace = Pace(rotate_after=0.4, rotate_bytes=1 << 30, confirm_within=30.0)
    with exporter_to(agent, bundle_count=1, pace=pace) as exporter:
        exporter.export(spans(1, "a"))
        agent.wait_for_spans(1)
        began = time.monotonic()  # about when the timer of the first stream was set
        time.sleep(0.2)
        pace.rotate_bytes = 1
        exporter.export(spans(1, "b"))
        eventually(lambda: held, 10)
        pace.rotate_bytes = 1 << 30
        exporter.export(spans(1, "c"))
        agent.wait_for_spans(3)
        time.sleep(max(0.0, began + 0.45 - time.monotonic()))  # the timer has found the first stream closing
        agent.on_half_close = agent.confirm
        with agent.server.driver.lock:
            agent.confirm(held[0])
        eventually(lambda: exporter.stats()["confirmed"] == 3, 10)


def test_a_break_while_one_stream_ends_and_the_next_is_due_is_survived(ending: ExitStack) -> None:
    agent = new_agent(ending)
    agent.on_half_close = lambda stream: None
    with exporter_to(agent, pace=Pace(rotate_after=0.1, confirm_within=30.0)) as exporter:
        exporter.export(spans(1, "a"))
        eventually(lambda: agent.streams and agent.streams[0].has_half_closed, 10)
        exporter.export(spans(1, "b"))
        agent.wait_for_spans(2)
        time.sleep(0.2)  # the second stream is older than a rotation's time
        agent.stop()
        again = new_agent(ending, address=agent.address)
        assert exporter.flush(10), exporter.stats()
    assert sorted(again.span_names()) == ["a0", "b0"]


@pytest.mark.parametrize("streams", [1, 2])
def test_few_streams_are_enough(ending: ExitStack, streams: int) -> None:
    agent = new_agent(ending, max_streams=streams)
    agent.on_config = offer_config
    metrics = metrics_service_pb2.ExportMetricsServiceRequest()
    metrics.metrics.add().metric_descriptor.name = "m"
    with exporter_to(agent) as exporter:
        for number in range(5):
            exporter.export(spans(10, f"s{number}-"))
            exporter.export_metrics_request(metrics)
            assert exporter.flush(10), exporter.stats()
        stats = exporter.stats()
    assert (stats["confirmed"], stats["metrics"]["confirmed"], stats["replayed"]) == (50, 5, 0)


def test_one_item_that_is_refused_costs_no_other(ending: ExitStack) -> None:
    agent = new_agent(ending)

    def refuse_poison(stream: Stream) -> None:
        poisoned = any(b"poison" in payload for payload in stream.messages)
        stream.responder.finish(StatusCode.INVALID_ARGUMENT if poisoned else StatusCode.OK, "bad span")

    agent.on_half_close = refuse_poison
    with exporter_to(agent, bundle_count=16) as exporter:
        quicken(exporter)
        exporter.export([*spans(7, "a"), span("poison"), *spans(8, "b")])
        good = 15
        eventually(lambda: exporter.stats()["confirmed"] == good, 20)
        while not exporter.stats()["dropped"] and good < 60:
            exporter.export(spans(1, f"later{good}-"))
            good += 1
            eventually(lambda: exporter.stats()["confirmed"] == good, 10)  # noqa: B023  run at once
        stats = exporter.stats()
    assert stats["dropped"] == {"refused by the agent": 1}
    assert total(stats) == stats["accepted"] == good + 1


def test_batches_larger_than_the_agent_takes_are_divided_until_they_are_not(ending: ExitStack) -> None:
    agent = new_agent(ending, max_message_bytes=2_000)
    with exporter_to(agent, bundle_count=100, resource={}) as exporter:
        quicken(exporter)
        exporter.export(spans(100))
        assert exporter.flush(20), exporter.stats()
        stats = exporter.stats()
    assert (stats["confirmed"], stats["dropped"]) == (100, {})
    assert len(set(agent.span_names())) == 100


def test_an_agent_that_dies_of_what_it_is_sent_is_not_killed_again_and_again(ending: ExitStack) -> None:
    agent = new_agent(ending)

    def die(stream: Stream) -> None:
        if b"poison" in stream.messages[-1]:
            stream.responder._link.close()

    agent.on_message = die
    with exporter_to(agent, bundle_count=4) as exporter:
        exporter.export([*spans(3), span("poison")])
        eventually(lambda: exporter.stats()["replayed"] >= 4, 10)
        time.sleep(0.7)
        assert exporter.stats()["connections"] <= 4, "as quick as the network allows"
        quicken(exporter)
        eventually(lambda: exporter.stats()["confirmed"] == 3, 20)
        good = 3
        while not exporter.stats()["dropped"] and good < 60:
            exporter.export(spans(1, f"later{good}-"))
            good += 1
            eventually(lambda: exporter.stats()["confirmed"] == good, 10)  # noqa: B023  run at once
        assert exporter.stats()["dropped"] == {"refused by the agent": 1}


def test_an_agent_that_configures_and_closes_is_not_called_again_and_again(ending: ExitStack) -> None:
    agent = new_agent(ending)

    def configure_and_close(stream: Stream) -> None:
        stream.responder.send(OFFERED)
        agent.server.driver.call_later(0.01, stream.responder._link.close)

    agent.on_config = configure_and_close
    with exporter_to(agent) as exporter:
        eventually(lambda: exporter.stats()["connections"] >= 1, 10)
        time.sleep(0.7)
        assert exporter.stats()["connections"] <= 2
        eventually(lambda: exporter.stats()["connections"] >= 2, 10)


def test_an_agent_that_configures_what_is_about_to_leave_is_heard_and_not_answered(
    ending: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    agent = new_agent(ending)
    agent.on_config = lambda stream: None
    with exporter_to(agent) as exporter:
        eventually(lambda: agent.configs and len(agent.configs[0].messages) == 1, 10)
        agent.on_half_close = lambda stream: None if stream in agent.configs else agent.confirm(stream)
        stream = exporter._engine._config._stream
        with exporter._engine.channel.driver.lock:
            assert stream is not None
            stream.connection_leaves()  # as at GOAWAY
        eventually(lambda: agent.configs[0].has_half_closed, 10)
        agent.configs[0].responder.send(OFFERED)
        in_force = trace_config_pb2.TraceConfig.FromString
        eventually(lambda: in_force(exporter.sampler.current()).HasField("constant_sampler"), 10)
    assert not caplog.records


def test_an_agent_that_configures_without_end_and_never_reads_fills_no_memory(
    ending: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow(monkeypatch, 65_535)
    agent = new_agent(ending)
    agent.on_config = lambda stream: None
    with exporter_to(agent) as exporter:
        eventually(lambda: agent.configs and len(agent.configs[0].messages) == 1, 10)
        stream = exporter._engine._config._stream
        with agent.server.driver.lock:  # it reads nothing
            for number in range(1, 4_001):
                config = trace_config_pb2.TraceConfig(max_number_of_attributes=number)
                update = trace_service_pb2.UpdatedLibraryConfig(config=config)
                agent.configs[0].responder.send(update.SerializeToString())
            eventually(lambda: exporter.sampler.limits.max_attributes == 4_000, 20)
            with exporter._engine.channel.driver.lock:
                assert stream is not None and stream.pending < 1_000
        answers = trace_service_pb2.CurrentLibraryConfig.FromString
        eventually(lambda: answers(agent.configs[0].messages[-1]).config.max_number_of_attributes == 4_000, 20)


def test_an_agent_that_refuses_at_once_is_asked_ever_more_rarely(ending: ExitStack) -> None:
    agent = new_agent(ending)
    agent.on_message = lambda stream: stream.responder.finish(StatusCode.RESOURCE_EXHAUSTED, "too busy")
    with exporter_to(agent) as exporter:
        exporter.export(spans(10))
        eventually(lambda: len(agent.streams) >= 2, 10)
        time.sleep(0.5)
        assert len(agent.streams) <= 3
        agent.on_message = lambda stream: None
        assert exporter.flush(20)


def narrow(monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    """Have agents let so many bytes of a stream on their way at one time."""
    made = functools.partial(Connection, stream_window=window, max_stream_window=window)
    monkeypatch.setattr("puremux.server.client.Connection", made)


def test_an_agent_that_is_slow_but_reads_is_not_left(ending: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch, 65_535)
    agent = new_agent(ending)

    def slow(stream: Stream) -> None:
        time.sleep(0.03)  # the agent's thread: it reads nothing meanwhile

    agent.on_message = slow
    pace = Pace(rotate_after=0.05, confirm_within=0.3, probe_after=0.05, probe_within=0.3)
    with exporter_to(agent, bundle_count=50, pace=pace) as exporter:
        large = spans(1000)
        for each in large:
            each.attributes = {"filling": "x" * 400}
        exporter.export(large)
        assert exporter.flush(30)
        stats = exporter.stats()
    assert (stats["confirmed"], stats["replayed"], stats["connections"]) == (1000, 0, 1)


def test_ok_before_the_agent_can_have_read_it_all_proves_nothing(
    ending: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow(monkeypatch, 1_000)
    agent = new_agent(ending)
    request = trace_service_pb2.ExportTraceServiceRequest(spans=[{"name": {"value": "x" * 500}}] * 10)
    with exporter_to(agent, pace=Pace(rotate_after=60.0)) as exporter:
        exporter.export(spans(1))
        agent.wait_for_spans(1)
        agent.on_message = lambda stream: stream.responder.finish(StatusCode.OK)
        with exporter._engine._driver.lock:
            for _ in range(10):
                exporter.export_trace_request(request)
            exporter._spans.service.rotate()  # and the windows hold most of it back
        eventually(lambda: exporter.stats()["replayed"] == 101, 10)
        agent.on_message = lambda stream: None
        assert exporter.flush(20)


def test_what_raises_in_odd_ways_harms_nobody(ending: ExitStack, caplog: pytest.LogCaptureFixture) -> None:
    agent = new_agent(ending)

    class Unspeakable(Exception):
        def __repr__(self) -> str:
            raise RuntimeError("no")

        __str__ = __repr__

    class Hostile:
        def __init__(self, error: BaseException) -> None:
            self._error = error

        def __getattr__(self, name: str) -> Any:
            raise self._error

    def broken() -> Iterator[Any]:
        yield span("before")
        raise Unspeakable

    with exporter_to(agent) as exporter:
        exporter.export([Hostile(Unspeakable()), Hostile(SystemExit(1)), Hostile(RecursionError()), span("good")])
        exporter.export(broken())
        exporter.export_metrics(broken())
        assert exporter.flush(10)
        stats = exporter.stats()
    assert sorted(agent.span_names()) == ["before", "good"]
    assert (stats["dropped"], stats["queue"]) == ({"cannot be encoded": 3}, 0)


def test_a_log_handler_may_ask_for_counts_while_others_do(ending: ExitStack) -> None:
    agent = new_agent(ending)
    agent.on_half_close = lambda stream: stream.responder.finish(StatusCode.UNKNOWN, "disk full")
    asked = threading.Event()

    class Asking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:  # under the handler's own lock
            other = threading.Thread(target=exporter.stats)
            other.start()
            other.join(5)
            assert not other.is_alive(), "the driver's lock is held while a line is logged"
            asked.set()

    handler = Asking()
    logging.getLogger("puremux.exporter").addHandler(handler)
    try:
        exporter = exporter_to(agent)
        exporter.export(spans(1))
        assert asked.wait(10)
        exporter.stop(0.1)
    finally:
        logging.getLogger("puremux.exporter").removeHandler(handler)


def test_stopping_again_and_at_once_says_the_same(ending: ExitStack) -> None:
    agent = new_agent(ending)
    agent.stop()
    exporter = exporter_to(agent)
    exporter.export(spans(3))
    said: list[bool] = []
    threads = [threading.Thread(target=lambda: said.append(exporter.stop())) for _ in range(4)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began < 4
    assert [*said, exporter.stop(), exporter.flush()] == [False] * 6
    assert exporter.stats()["dropped"] == {"the exporter was stopped": 3}


def test_stopping_and_flushing_from_the_exporters_own_thread(ending: ExitStack) -> None:
    agent = new_agent(ending)
    exporter = exporter_to(agent)
    exporter.export(spans(3))
    said: list[bool] = []
    done = threading.Event()

    def stop() -> None:
        said.extend([exporter.flush(10), exporter.stop(10)])
        done.set()

    exporter._engine._driver.call_unlocked(stop)
    assert done.wait(20)
    assert said == [True, True]


def test_ready_requests_wait_for_the_start_and_are_counted_after_the_end(ending: ExitStack) -> None:
    agent = new_agent(ending)
    request = trace_service_pb2.ExportTraceServiceRequest(spans=[{"name": {"value": "ready"}}])
    exporter = exporter_to(agent, start=False)
    exporter.export_trace_request(request)
    assert exporter.stats()["state"] == "idle"
    exporter.start()
    assert exporter.stop(10)
    exporter.export_trace_request(request)
    stats = exporter.stats()
    assert agent.span_names() == ["ready"]
    assert (stats["confirmed"], stats["waiting"], stats["dropped"]) == (1, 0, {"the exporter was stopped": 1})


def test_requests_that_bring_a_node_and_nothing_else_are_bounded_too(ending: ExitStack) -> None:
    agent = new_agent(ending)
    agent.stop()
    request = trace_service_pb2.ExportTraceServiceRequest()
    request.node.service_info.name = "x" * 1000
    exporter = exporter_to(agent, replay_bytes=10_000)
    for _ in range(100):
        exporter.export_trace_request(request)
    assert len(exporter._spans.ledger.waiting) <= 10
    exporter.stop(0.1)


def test_a_small_queue_is_emptied_in_time(ending: ExitStack) -> None:
    agent = new_agent(ending)
    with exporter_to(agent, queue_size=100, bundle_delay=60.0) as exporter:
        for _ in range(20):
            exporter.export(spans(50))
            eventually(lambda: exporter.stats()["queue"] < 50, 10)
        assert exporter.stats()["dropped"] == {}


def test_agents_in_turn_are_left_politely(ending: ExitStack) -> None:
    agents = [new_agent(ending), new_agent(ending)]
    addresses = [agent.address for agent in agents]
    with Exporter(addresses, policy="round_robin", bundle_delay=0.02, pace=Pace(rotate_after=60.0)) as exporter:
        eventually(lambda: exporter.stats()["connections"] == 2, 10)
        exporter.export(spans(10))
        used = eventually(lambda: [agent for agent in agents if agent.streams], 10)[0]
        used.wait_for_spans(10)
        used.server.stop(5.0)  # GOAWAY first
        eventually(lambda: exporter.stats()["confirmed"] == 10, 10)
        exporter.export(spans(10, "later"))
        assert exporter.flush(10)
        assert (exporter.stats()["confirmed"], exporter.stats()["replayed"]) == (20, 0)


def test_streams_go_to_all_agents_in_turn(ending: ExitStack) -> None:
    agents = [new_agent(ending) for _ in range(3)]
    addresses = [agent.address for agent in agents]
    with Exporter(addresses, policy="round_robin", bundle_delay=0.02) as exporter:
        eventually(lambda: exporter.stats()["connections"] == 3, 10)
        for number in range(9):
            exporter.export(spans(10, f"s{number}-"))
            assert exporter.flush(10)
    counts = [len(agent.span_names()) for agent in agents]
    assert sum(counts) == 90 and min(counts) >= 20, counts


def test_another_agent_takes_over(ending: ExitStack) -> None:
    agents = [new_agent(ending), new_agent(ending)]
    with exporter_to(agents[0]) as unused:
        unused.stop()
    with Exporter([agent.address for agent in agents], bundle_delay=0.02) as exporter:
        exporter.export(spans(10, "first"))
        assert exporter.flush(10)
        agents[0].stop()
        exporter.export(spans(10, "second"))
        assert exporter.flush(10)
    names = Counter(name for agent in agents for name in agent.span_names())
    assert len(names) == 20


def test_the_exporter_tells_the_agent_about_itself_when_asked(ending: ExitStack) -> None:
    agent = new_agent(ending)
    exporter = exporter_to(agent, own_metrics=0.05, metric_name_prefix="shop")
    exporter.export([*spans(3), object()])
    assert exporter.flush(10)
    eventually(lambda: len(agent.requests(METRICS_EXPORT)) >= 2, 10)
    assert exporter.stop(10)
    told: dict[tuple[str, ...], Any] = {}
    types: dict[str, int] = {}
    for request in agent.requests(METRICS_EXPORT):
        for metric in request.metrics:
            for series in metric.timeseries:
                labels = [label.value for label in series.label_values]
                told[(metric.metric_descriptor.name, *labels)] = series.points[0].int64_value
                types[metric.metric_descriptor.name.rpartition("/")[2]] = metric.metric_descriptor.type
    assert told["shop/puremux/exporter/confirmed", "spans"] == 3
    assert told["shop/puremux/exporter/dropped", "spans", "cannot be encoded"] == 1
    assert told["shop/puremux/exporter/accepted", "spans"] == 4
    assert told["shop/puremux/exporter/accepted", "metrics"] > 0
    assert told[("shop/puremux/exporter/reconnects",)] == 0
    assert types["queue"] == types["unconfirmed"] == metrics_pb2.MetricDescriptor.GAUGE_INT64
    assert types["confirmed"] == types["dropped"] == metrics_pb2.MetricDescriptor.CUMULATIVE_INT64


def quicken(exporter: Exporter) -> None:
    """Have refused streams tried again at once: the test is about what is sent, not when."""
    from puremux.subchannel import Backoff

    for signal in exporter._engine.signals:
        signal.service._backoff = Backoff(initial=0.01, maximum=0.01)
