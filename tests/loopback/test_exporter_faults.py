"""The exporter and agents that misbehave: nothing is lost, nothing waits for ever, nobody is called again and again."""

from __future__ import annotations

import functools

import pytest

from puremux.exporter import Pace
from puremux.proto import metrics_service_pb2, trace_config_pb2, trace_service_pb2
from puremux.protocol.connection import Connection
from puremux.status import StatusCode
from tests.loopback.exporters import exporter_to, out_of_time, quicken, total
from tests.shared.scripted_agent import NewAgent, ScriptedAgent, Stream
from tests.shared.span_data import span, spans
from tests.shared.waiting import eventually

OFFERED = trace_service_pb2.UpdatedLibraryConfig(
    config=trace_config_pb2.TraceConfig(constant_sampler=trace_config_pb2.ConstantSampler(decision="ALWAYS_ON"))
).SerializeToString()


HOPS = 30
"""Looks of each end at what has come: some connections could be made, used and broken in the time."""


def offer_config(stream: Stream) -> None:
    """Keep the Config stream open, as an agent does that can configure its clients."""
    stream.responder.send(OFFERED)


def test_a_stream_that_follows_a_slow_one_is_rotated_though_nothing_more_comes(agent: ScriptedAgent) -> None:
    held: list[Stream] = []
    agent.on_half_close = held.append
    pace = Pace(rotate_after=0.4, rotate_bytes=1 << 30, confirm_within=30.0)
    with out_of_time(agent, bundle_count=1, pace=pace) as (exporter, time):
        exporter.export(spans(1, "a"))
        agent.wait_for_spans(1)
        time.advance(0.2)
        pace.rotate_bytes = 1
        exporter.export(spans(1, "b"))
        eventually(lambda: held, 10)
        pace.rotate_bytes = 1 << 30
        exporter.export(spans(1, "c"))
        agent.wait_for_spans(3)
        time.advance(0.25)  # the timer of the first stream finds it closing
        agent.on_half_close = agent.confirm
        with agent.server.driver.lock:
            agent.confirm(held[0])
        eventually(lambda: exporter.stats()["confirmed"] == 2, 10)
        time.advance(0.2)
        eventually(lambda: exporter.stats()["confirmed"] == 3, 10)


def test_a_break_while_one_stream_ends_and_the_next_is_due_is_survived(
    agent: ScriptedAgent, new_agent: NewAgent
) -> None:
    agent.on_half_close = lambda stream: None
    with out_of_time(agent, pace=Pace(rotate_after=0.1, confirm_within=30.0)) as (exporter, time):
        exporter.export(spans(1, "a"))
        time.advance(0.1)
        agent.wait_for_spans(1)
        time.advance(0.2)
        eventually(lambda: agent.streams[0].has_half_closed, 10)
        exporter.export(spans(1, "b"))
        time.advance(0.1)
        agent.wait_for_spans(2)
        time.advance(0.2)  # the second stream is older than a rotation's time
        time.go_on()
        agent.stop()
        again = new_agent(address=agent.address)
        assert exporter.flush(10), exporter.stats()
    assert sorted(again.span_names()) == ["a0", "b0"]


@pytest.mark.parametrize("streams", [1, 2])
def test_few_streams_are_enough(new_agent: NewAgent, streams: int) -> None:
    agent = new_agent(max_streams=streams)
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


def test_one_item_that_is_refused_costs_no_other(agent: ScriptedAgent) -> None:

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


def test_batches_larger_than_the_agent_takes_are_divided_until_they_are_not(new_agent: NewAgent) -> None:
    agent = new_agent(max_message_bytes=2_000)
    with exporter_to(agent, bundle_count=100, resource={}) as exporter:
        quicken(exporter)
        exporter.export(spans(100))
        assert exporter.flush(20), exporter.stats()
        stats = exporter.stats()
    assert (stats["confirmed"], stats["dropped"]) == (100, {})
    assert len(set(agent.span_names())) == 100


def test_an_agent_that_dies_of_what_it_is_sent_is_not_killed_again_and_again(agent: ScriptedAgent) -> None:
    def die(stream: Stream) -> None:
        if b"poison" in stream.messages[-1]:
            stream.responder._link.close()

    agent.on_message = die
    with out_of_time(agent, bundle_count=4) as (exporter, time):
        exporter.export([*spans(3), span("poison")])
        eventually(lambda: exporter.stats()["replayed"] >= 4, 10)
        for _ in range(7):
            time.advance(0.1, agent.server.driver, hops=HOPS)
        assert exporter.stats()["connections"] <= 4, "as quick as the network allows"
        time.go_on()
        quicken(exporter)
        eventually(lambda: exporter.stats()["confirmed"] == 3, 20)
        good = 3
        while not exporter.stats()["dropped"] and good < 60:
            exporter.export(spans(1, f"later{good}-"))
            good += 1
            eventually(lambda: exporter.stats()["confirmed"] == good, 10)  # noqa: B023  run at once
        assert exporter.stats()["dropped"] == {"refused by the agent": 1}


def test_an_agent_that_configures_and_closes_is_not_called_again_and_again(agent: ScriptedAgent) -> None:
    def close_when_answered(stream: Stream) -> None:
        if len(stream.messages) == 2:
            stream.responder._link.close()

    agent.on_config = offer_config
    agent.on_message = close_when_answered
    with out_of_time(agent) as (exporter, time):
        eventually(lambda: agent.configs and len(agent.configs[0].messages) == 2, 10)
        for _ in range(7):
            time.advance(0.1, agent.server.driver, hops=HOPS)
        assert exporter.stats()["connections"] <= 2
        time.go_on()
        eventually(lambda: exporter.stats()["connections"] >= 2, 10)


def test_an_agent_that_configures_what_is_about_to_leave_is_heard_and_not_answered(
    agent: ScriptedAgent, caplog: pytest.LogCaptureFixture
) -> None:
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
    agent: ScriptedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow(monkeypatch, 65_535)
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


def test_an_agent_that_refuses_at_once_is_asked_ever_more_rarely(agent: ScriptedAgent) -> None:
    agent.on_message = lambda stream: stream.responder.finish(StatusCode.RESOURCE_EXHAUSTED, "too busy")
    with out_of_time(agent, bundle_count=10) as (exporter, time):
        exporter.export(spans(10))
        eventually(lambda: len(agent.streams) >= 2, 10)
        for _ in range(5):
            time.advance(0.1, agent.server.driver, hops=HOPS)
        assert len(agent.streams) <= 3
        agent.on_message = lambda stream: None
        time.go_on()
        assert exporter.flush(20)


def test_an_agent_that_is_quiet_but_acknowledges_is_not_left(agent: ScriptedAgent) -> None:
    pace = Pace(rotate_after=1_000.0, probe_after=1.0, probe_within=3.0)
    with out_of_time(agent, bundle_count=1, pace=pace) as (exporter, time):
        exporter.export(spans(1))
        agent.wait_for_spans(1)
        for _ in range(20):
            time.advance(1.0, agent.server.driver)
        time.advance(10.0, agent.server.driver)  # as if the machine had slept; nothing is owed
        stats = exporter.stats()
    assert (stats["connections"], stats["replayed"], stats["last_error"]) == (1, 0, None)


def test_a_success_makes_the_next_failure_the_first(agent: ScriptedAgent) -> None:
    """A refused batch is sent again at once, the clock standing still, if the one before it was taken."""
    ends = iter([StatusCode.UNAVAILABLE, StatusCode.OK] * 5)
    agent.on_half_close = lambda stream: stream.responder.finish(next(ends))
    with out_of_time(agent, pace=Pace(rotate_bytes=1), bundle_count=1) as (exporter, _):
        for number in range(5):
            exporter.export(spans(1, f"s{number}-"))
            eventually(lambda: exporter.stats()["confirmed"] == number + 1, 10)  # noqa: B023  run at once
        assert exporter.stats()["replayed"] == 5


def narrow(monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    """Have agents let so many bytes of a stream on their way at one time."""
    made = functools.partial(Connection, stream_window=window, max_stream_window=window)
    monkeypatch.setattr("puremux.server.client.Connection", made)


def test_an_agent_that_is_slow_but_reads_is_not_left(agent: ScriptedAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch, 65_535)
    pace = Pace(rotate_after=0.05, confirm_within=0.3, probe_after=0.05, probe_within=0.3)
    with out_of_time(agent, bundle_count=50, pace=pace) as (exporter, time):

        def read_slowly(stream: Stream) -> None:
            time.now += 0.04  # by the exporter's clock: all twenty take longer than it waits for a proof
            time.driver.wake()

        exporter.export(spans(1))
        assert exporter.flush(10)
        agent.on_message = read_slowly
        large = spans(1000)
        for each in large:
            each.attributes = {"filling": "x" * 400}
        with agent.server.driver.lock:  # it reads nothing before all is there, the end of the stream too
            exporter.export(large)
            eventually(lambda: exporter.stats()["unconfirmed"] == 1000, 10)
            time.advance(0.05)
        eventually(lambda: exporter.stats()["confirmed"] == 1001, 20)
        stats = exporter.stats()
    assert (stats["replayed"], stats["connections"]) == (0, 1)


def test_ok_before_the_agent_can_have_read_it_all_proves_nothing(
    agent: ScriptedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow(monkeypatch, 1_000)
    request = trace_service_pb2.ExportTraceServiceRequest(spans=[{"name": {"value": "x" * 500}}] * 10)
    with exporter_to(agent, pace=Pace(rotate_after=60.0)) as exporter:
        exporter.export(spans(1))
        agent.wait_for_spans(1)
        agent.on_message = lambda stream: stream.responder.finish(StatusCode.OK)
        with exporter._engine._driver.lock:
            for _ in range(10):
                exporter.export_trace_request(request)
            exporter._spans.service.pump()
            exporter._spans.service.rotate()  # and the windows hold most of it back
        eventually(lambda: exporter.stats()["replayed"] == 101, 10)
        agent.on_message = lambda stream: None
        assert exporter.flush(20)
