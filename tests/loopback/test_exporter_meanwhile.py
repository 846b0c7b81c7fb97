"""The exporter while others go on: it counts, flushes and stops, whoever exports, logs or asks at the same time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from puremux.exporter import Exporter, Pace
from puremux.exporter.batches import Batch
from puremux.exporter.streams import _ExportStream
from puremux.proto import metrics_pb2, trace_service_pb2
from puremux.status import StatusCode
from tests.loopback.exporters import exporter_to, out_of_time, total
from tests.shared.scripted_agent import METRICS_EXPORT, ScriptedAgent, Stream
from tests.shared.span_data import span, spans
from tests.shared.waiting import eventually


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


def test_counts_add_up_at_every_moment_and_never_go_back(agent: ScriptedAgent) -> None:
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


def test_flush_waits_for_what_was_handed_over_and_not_for_what_comes_meanwhile(agent: ScriptedAgent) -> None:
    later = agent.server.driver.call_later
    agent.on_half_close = lambda stream: later(0.05, lambda: agent.confirm(stream)) and None
    with exporter_to(agent) as exporter, exporting(exporter):
        for number in range(3):
            exporter.export(spans(3, f"mine{number}-"))
            assert exporter.flush(10)
            assert {f"mine{number}-{n}" for n in range(3)} <= set(agent.span_names())


def test_flush_waits_for_the_proof_and_not_for_its_time(agent: ScriptedAgent) -> None:
    held: list[Stream] = []
    agent.on_half_close = held.append
    with exporter_to(agent, bundle_delay=60.0, pace=Pace(rotate_after=60.0, confirm_within=60.0)) as exporter:
        exporter.export(spans(3))
        said: list[bool] = []
        flushing = threading.Thread(target=lambda: said.append(exporter.flush(40)))
        flushing.start()
        eventually(lambda: held, 10)
        with agent.server.driver.lock:
            agent.confirm(held[0])
        flushing.join(20)
        assert said == [True]


def test_stop_delivers_what_was_handed_over_though_others_go_on(agent: ScriptedAgent) -> None:
    exporter = exporter_to(agent)
    with exporting(exporter):
        exporter.export(spans(3, "mine"))
        exporter.stop(10)
        assert {f"mine{n}" for n in range(3)} <= set(agent.span_names())
    exporter.stop()
    stats = exporter.stats()
    assert total(stats) == stats["accepted"] and stats["queue"] == stats["waiting"] == stats["unconfirmed"] == 0


def test_a_log_handler_may_ask_for_counts_while_others_do(agent: ScriptedAgent) -> None:
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


def test_stopping_again_and_at_once_says_the_same(agent: ScriptedAgent) -> None:
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


def test_stopping_waits_longer_for_an_agent_that_still_speaks(agent: ScriptedAgent) -> None:
    held: list[Stream] = []
    agent.on_half_close = held.append
    with out_of_time(agent, bundle_count=3, pace=Pace(probe_after=0.1)) as (exporter, time):
        exporter.export(spans(3))
        agent.wait_for_spans(3)
        signal, asked = exporter._spans, threading.Event()
        has_spoken = signal.was_heard_since
        signal.was_heard_since = lambda when: (asked.set(), has_spoken(when))[1]  # type: ignore[method-assign]
        said: list[bool] = []
        stopping = threading.Thread(target=lambda: said.append(exporter.stop()))
        stopping.start()
        eventually(lambda: held, 10)
        time.advance(0.6, agent.server.driver)  # a probe is acknowledged
        time.advance(0.6, agent.server.driver)
        assert asked.wait(10)
        with agent.server.driver.lock:
            agent.confirm(held[0])
        stopping.join(10)
    assert said == [True]


def test_stopping_and_flushing_from_the_exporters_own_thread(agent: ScriptedAgent) -> None:
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


def test_ready_requests_wait_for_the_start_and_are_counted_after_the_end(agent: ScriptedAgent) -> None:
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


def test_requests_that_bring_a_node_and_nothing_else_are_bounded_too(agent: ScriptedAgent) -> None:
    agent.stop()
    request = trace_service_pb2.ExportTraceServiceRequest()
    request.node.service_info.name = "x" * 1000
    exporter = exporter_to(agent, replay_bytes=10_000)
    for _ in range(100):
        exporter.export_trace_request(request)
    assert len(exporter._spans.ledger.waiting) <= 10
    exporter.stop(0.1)


def test_a_small_queue_is_emptied_in_time(agent: ScriptedAgent) -> None:
    with exporter_to(agent, queue_size=100, bundle_delay=60.0) as exporter:
        for _ in range(20):
            exporter.export(spans(50))
            eventually(lambda: exporter.stats()["queue"] < 50, 10)
        assert exporter.stats()["dropped"] == {}


def test_the_exporter_tells_the_agent_about_itself_when_asked(agent: ScriptedAgent) -> None:
    exporter = exporter_to(agent, own_metrics=0.05, metric_name_prefix="shop", bundle_delay=60.0)
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


def test_spans_are_counted_once_when_submitting_them_raises(
    agent: ScriptedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = exporter_to(agent, start=False)
    service = exporter._spans.service
    submit, errors = service.submit, iter([OSError("for once")])

    def submit_and_raise(batch: Batch) -> None:
        submit(batch)
        for error in errors:
            raise error

    monkeypatch.setattr(service, "submit", submit_and_raise)
    exporter.export(spans(3))
    exporter.start()
    eventually(lambda: exporter.stats()["confirmed"] == 3, 10)
    stats = exporter.stats()
    assert (stats["accepted"], stats["queue"], stats["dropped"]) == (3, 0, {})
    assert exporter.stop(10)


def test_spans_are_counted_when_joining_them_raises(agent: ScriptedAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = exporter_to(agent, start=False)
    errors = iter([MemoryError()])

    def no_batch(name: str, payload: bytes) -> None:
        for error in errors:
            raise error

    monkeypatch.setattr(exporter._engine.watchers, "batch", no_batch)
    exporter.export(spans(3))
    exporter.start()
    eventually(lambda: exporter.stats()["dropped"], 10)
    stats = exporter.stats()
    assert (stats["accepted"], stats["queue"], stats["dropped"]) == (3, 0, {"cannot be encoded": 3})
    assert exporter.stop(10)


def test_a_ready_request_is_put_on_its_stream_by_the_exporters_thread(
    agent: ScriptedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the application's a signal's handler may come in the middle of it, flush, and find half a change."""
    put: list[str] = []
    real = _ExportStream.put

    def watched(stream: _ExportStream, batch: Any, identity: bytes) -> None:
        put.append(threading.current_thread().name)
        real(stream, batch, identity)

    monkeypatch.setattr(_ExportStream, "put", watched)
    with exporter_to(agent) as exporter:
        exporter.export(spans(1))
        assert exporter.flush(10)
        exporter.export_trace_request(agent.requests()[0])
        assert exporter.flush(10)
    assert put == ["puremux"] * 2
