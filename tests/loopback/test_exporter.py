"""The exporter against an agent that does as it is told: delivery, bounds, life."""

from __future__ import annotations

import gc
import logging
import time
from types import SimpleNamespace

import pytest

from puremux.exporter import Pace
from puremux.proto import metrics_service_pb2, trace_config_pb2, trace_service_pb2
from puremux.status import StatusCode
from tests.loopback.exporters import exporter_to, quicken, total
from tests.shared.scripted_agent import METRICS_EXPORT, ScriptedAgent, Stream
from tests.shared.span_data import span, spans
from tests.shared.waiting import eventually


def test_flush_means_that_the_agent_has_it(agent: ScriptedAgent) -> None:
    with exporter_to(agent, bundle_delay=60.0, pace=Pace(rotate_after=60.0)) as exporter:
        exporter.export(spans(1000))
        assert exporter.flush(10)
        assert len(agent.span_names()) == 1000
        stats = exporter.stats()
    assert (stats["sent"], stats["confirmed"], stats["replayed"], stats["dropped"]) == (1000, 1000, 0, {})


def test_each_stream_begins_with_node_and_resource_and_names_them_once(agent: ScriptedAgent) -> None:
    with exporter_to(agent, service_name="shop", resource={"zone": "a"}, bundle_count=1) as exporter:
        for number in range(6):
            exporter.export(spans(1, f"n{number}-"))
            agent.wait_for_spans(number + 1)
        assert exporter.flush(10)
    for stream in agent.streams:
        requests = [trace_service_pb2.ExportTraceServiceRequest.FromString(each) for each in stream.messages]
        assert requests[0].node.service_info.name == "shop"
        assert requests[0].resource.labels == {"zone": "a"}
        assert not any(each.HasField("node") or each.HasField("resource") for each in requests[1:])


def test_streams_rotate_and_are_never_half_closed_without_a_message(agent: ScriptedAgent) -> None:
    with exporter_to(agent) as exporter:
        for number in range(3):
            exporter.export(spans(1, f"r{number}-"))
            eventually(lambda: exporter.stats()["confirmed"] == number + 1, 10)  # noqa: B023  run at once
    assert len(agent.streams) == 3
    assert all(stream.messages and stream.has_half_closed for stream in agent.streams)


def test_what_breaks_off_is_sent_again_on_the_next_connection(agent: ScriptedAgent) -> None:
    agent.on_half_close = lambda stream: None  # nothing is ever proven
    with exporter_to(agent) as exporter:
        exporter.export(spans(50))
        agent.wait_for_spans(50)
        agent.stop()
        exporter.export(spans(50, "later"))
        again = ScriptedAgent(agent.address)
        try:
            assert exporter.flush(10)
            assert len(set(again.span_names())) == 100
            assert exporter.stats()["replayed"] >= 50
            assert exporter.stats()["reconnects"] >= 1
        finally:
            again.stop()


@pytest.mark.parametrize(
    "code", [StatusCode.UNKNOWN, StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED], ids=lambda code: code.name
)
def test_a_bad_status_costs_nothing_but_time(agent: ScriptedAgent, code: StatusCode) -> None:
    refusals = iter([code, code])

    def refuse_twice(stream: Stream) -> None:
        stream.responder.finish(next(refusals, StatusCode.OK), "disk full")

    agent.on_half_close = refuse_twice
    with exporter_to(agent) as exporter:
        exporter.export(spans(10))
        assert exporter.flush(20)
        stats = exporter.stats()
    assert (stats["confirmed"], stats["dropped"]) == (10, {})


def test_a_stream_ended_with_ok_before_it_was_half_closed_proves_nothing(agent: ScriptedAgent) -> None:
    early = iter([True])
    agent.on_message = lambda stream: stream.responder.finish(StatusCode.OK) if next(early, False) else None
    with exporter_to(agent, pace=Pace(rotate_after=60.0)) as exporter:
        exporter.export(spans(10))
        eventually(lambda: exporter.stats()["replayed"] == 10, 10)
        assert exporter.flush(20)


def test_a_batch_that_is_always_refused_is_given_up_while_others_pass(agent: ScriptedAgent) -> None:
    def refuse_poison(stream: Stream) -> None:
        poisoned = any(b"poison" in payload for payload in stream.messages)
        stream.responder.finish(StatusCode.INVALID_ARGUMENT if poisoned else StatusCode.OK, "bad span")

    agent.on_half_close = refuse_poison
    with exporter_to(agent, bundle_count=1) as exporter:
        quicken(exporter)
        exporter.export([span("poison")])
        good = 0
        while not exporter.stats()["dropped"] and good < 100:
            exporter.export(spans(1, f"good{good}-"))
            good += 1
            eventually(lambda: exporter.stats()["confirmed"] == good, 10)  # noqa: B023  run at once
        assert exporter.flush(20)
        stats = exporter.stats()
    assert stats["dropped"] == {"refused by the agent": 1}
    assert total(stats) == stats["accepted"] == good + 1


def test_an_agent_that_proves_nothing_is_left_within_a_bound(agent: ScriptedAgent) -> None:
    agent.on_half_close = lambda stream: None
    with exporter_to(agent) as exporter:
        exporter.export(spans(10))
        eventually(lambda: exporter.stats()["connections"] >= 2, 10)
        agent.on_half_close = agent.confirm
        assert exporter.flush(10)


def test_an_agent_that_hangs_is_left_within_a_bound(agent: ScriptedAgent) -> None:
    with exporter_to(agent, connect_timeout=0.3) as exporter:
        exporter.export(spans(10))
        assert exporter.flush(10)
        with agent.server.driver.lock:  # as if it were stopped by SIGSTOP: the kernel still accepts
            exporter.export(spans(10, "hang"))
            eventually(lambda: "acknowledged no SETTINGS" in (exporter.stats()["last_error"] or ""), 10)
        assert exporter.flush(10)
    assert len(set(agent.span_names())) == 20


def test_counts_add_up_when_the_buffer_is_too_small_for_the_outage(agent: ScriptedAgent) -> None:
    agent.stop()
    exporter = exporter_to(agent, replay_bytes=2_000, queue_size=100)
    for _ in range(20):
        exporter.export(spans(10))
        eventually(lambda: exporter.stats()["queue"] == 0, 10)
    again = ScriptedAgent(agent.address)
    try:
        assert exporter.flush(10)
        stats = exporter.stats()
        exporter.stop()
        assert stats["dropped"]["replay buffer full"] > 0
        assert stats["confirmed"] == len(again.span_names())
        assert total(stats) == stats["accepted"] == 200
    finally:
        again.stop()


def test_stopping_does_not_wait_for_a_dead_agent_and_counts_what_it_could_not_deliver(agent: ScriptedAgent) -> None:
    agent.stop()
    exporter = exporter_to(agent)
    exporter.export(spans(10))
    began = time.monotonic()
    assert not exporter.stop()
    assert time.monotonic() - began < 2.5
    exporter.export(spans(5))
    assert exporter.stats()["dropped"] == {"the exporter was stopped": 15}


def test_what_is_no_span_is_counted_and_never_raised(agent: ScriptedAgent, caplog: pytest.LogCaptureFixture) -> None:
    with exporter_to(agent) as exporter:
        exporter.export([object(), span("good"), None])
        exporter.export(None)  # type: ignore[arg-type]  # that is the point
        exporter.export_metrics(42)  # type: ignore[arg-type]  # that is the point
        assert exporter.flush(10)
        assert agent.span_names() == ["good"]
        assert exporter.stats()["dropped"] == {"cannot be encoded": 2}
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 3 and not any("Traceback" in line for line in lines)


def test_spans_of_before_the_start_leave_after_it(agent: ScriptedAgent) -> None:
    exporter = exporter_to(agent, start=False)
    exporter.export(spans(3))
    assert not exporter._engine._driver.is_running, "nothing is done, connecting least of all"
    assert exporter.stats()["queue"] == 3
    exporter.start()
    agent.wait_for_spans(3)
    assert exporter.stop()


def test_an_exporter_that_is_dropped_delivers_and_ends_its_thread(agent: ScriptedAgent) -> None:
    exporter = exporter_to(agent, bundle_delay=60.0)
    thread = exporter._engine._driver
    exporter.export(spans(3))
    del exporter
    gc.collect()
    agent.wait_for_spans(3)
    eventually(lambda: thread._closed, 10)


def test_headers_and_compression_arrive(agent: ScriptedAgent) -> None:
    with exporter_to(agent, headers={"X-Token": "secret"}, compression="gzip") as exporter:
        exporter.export(spans(100))
        assert exporter.flush(10)
    assert ("x-token", "secret") in agent.streams[0].responder.request.metadata
    assert len(agent.span_names()) == 100


def test_ready_requests_keep_their_own_node(agent: ScriptedAgent) -> None:
    theirs = trace_service_pb2.ExportTraceServiceRequest()
    theirs.node.service_info.name = "theirs"
    theirs.spans.add().name.value = "ready"
    with exporter_to(agent, service_name="ours", bundle_count=1, pace=Pace(rotate_after=60)) as exporter:
        for step, send in enumerate(
            [
                lambda: exporter.export(spans(1, "a")),
                lambda: exporter.export_trace_request(theirs),
                lambda: exporter.export(spans(1, "b")),
            ]
        ):
            send()
            agent.wait_for_spans(step + 1)
        assert exporter.flush(10)
    assert [request.node.service_info.name for request in agent.requests()] == ["ours", "theirs", "ours"]


def test_metrics_have_a_stream_of_their_own(agent: ScriptedAgent) -> None:
    request = metrics_service_pb2.ExportMetricsServiceRequest()
    request.metrics.add().metric_descriptor.name = "m"
    with exporter_to(agent) as exporter:
        exporter.export_metrics_request(request)
        assert exporter.flush(10)
        assert exporter.stats()["metrics"]["confirmed"] == 1
    (received,) = agent.requests(METRICS_EXPORT)
    assert received.HasField("node") and received.metrics[0].metric_descriptor.name == "m"


def test_the_agent_decides_about_sampling_and_is_told_what_is_in_force(agent: ScriptedAgent) -> None:
    update = trace_service_pb2.UpdatedLibraryConfig()
    update.config.constant_sampler.decision = trace_config_pb2.ConstantSampler.ALWAYS_ON
    update.config.max_number_of_attributes = 5
    agent.on_config = lambda stream: stream.responder.send(update.SerializeToString())
    with exporter_to(agent) as exporter:
        eventually(lambda: exporter.sampler.limits.max_attributes == 5, 10)
        eventually(lambda: len(agent.configs[0].messages) == 2, 10)
        assert exporter.sampler.should_sample(SimpleNamespace(trace_options=None))
    first, second = (trace_service_pb2.CurrentLibraryConfig.FromString(each) for each in agent.configs[0].messages)
    assert first.HasField("node") and first.config.WhichOneof("sampler") == "probability_sampler"
    assert second.config.constant_sampler.decision == trace_config_pb2.ConstantSampler.ALWAYS_ON


def test_an_agent_without_config_is_asked_once_a_connection(
    agent: ScriptedAgent, caplog: pytest.LogCaptureFixture
) -> None:
    with exporter_to(agent) as exporter:
        for number in range(3):
            exporter.export(spans(1, f"c{number}-"))
            assert exporter.flush(10)
        assert len(agent.configs) == 1
        agent.stop()
        again = ScriptedAgent(agent.address)
        exporter.export(spans(1, "d"))
        assert exporter.flush(10)
        eventually(lambda: len(again.configs) == 1, 10)
        again.stop()
    assert not any("Config" in record.getMessage() for record in caplog.records)


def test_a_metric_of_many_time_series_travels_in_pieces(agent: ScriptedAgent) -> None:
    descriptor = SimpleNamespace(
        name="m", description="", unit="1", type=SimpleNamespace(name="CUMULATIVE_INT64", value=4), label_keys=[]
    )
    series = [SimpleNamespace(label_values=[], start_timestamp=None, points=[]) for _ in range(2500)]
    with exporter_to(agent) as exporter:
        exporter.export_metrics([SimpleNamespace(descriptor=descriptor, time_series=series)])
        assert exporter.flush(10)
        assert exporter.stats()["metrics"]["dropped"] == {}
    metrics = [metric for request in agent.requests(METRICS_EXPORT) for metric in request.metrics]
    assert [len(metric.timeseries) for metric in metrics] == [1000, 1000, 500]
    assert {metric.metric_descriptor.name for metric in metrics} == {"m"}


class Watching:
    """Remembers what an exporter's watcher is told."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, bytes]] = []
        self.looks = 0

    def batch(self, signal: str, payload: bytes) -> None:
        self.batches.append((signal, payload))

    def looked(self) -> None:
        self.looks += 1

    def forked(self) -> None:
        raise AssertionError("nothing forks here")

    def spans(self) -> list[str]:
        requests = [trace_service_pb2.ExportTraceServiceRequest.FromString(payload) for _, payload in self.batches]
        return [span.name.value for request in requests for span in request.spans]


def test_a_watcher_sees_each_batch_once_however_often_it_is_sent(agent: ScriptedAgent) -> None:
    refusals = iter([StatusCode.UNAVAILABLE])
    agent.on_half_close = lambda stream: stream.responder.finish(next(refusals, StatusCode.OK))
    watching = Watching()
    with exporter_to(agent) as exporter:
        exporter.watch(watching)
        exporter.export(spans(10))
        exporter.export_trace_request(
            trace_service_pb2.ExportTraceServiceRequest(spans=[{"name": {"value": "ready-made"}}])
        )
        assert exporter.flush(20)
        eventually(lambda: len(watching.spans()) == 11 and watching.looks, 10)
        exporter.unwatch(watching)
        exporter.export(spans(1, "unseen"))
        assert exporter.flush(20)
        stats = exporter.stats()
    assert stats["batches"]["replayed"] >= 1
    assert stats["batches"]["confirmed"] == stats["batches"]["sent"] >= 3
    assert sorted(watching.spans()) == sorted([*[f"span{number}" for number in range(10)], "ready-made"])
