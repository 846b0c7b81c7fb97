"""An application written for opencensus-ext-ocagent, with its import line changed."""

from __future__ import annotations

import functools
import ssl
import sys
from typing import Any

import pytest
from opencensus.common.transports.async_ import AsyncTransport
from opencensus.common.transports.sync import SyncTransport
from opencensus.stats import aggregation, measure, stats, view
from opencensus.tags import tag_map
from opencensus.trace.samplers import AlwaysOnSampler
from opencensus.trace.tracer import Tracer

from puremux.exporter import Exporter, compat
from puremux.exporter.compat import ExportRpcHandler, StatsExporter, TraceExporter, new_stats_exporter
from puremux.proto import metrics_service_pb2, trace_config_pb2
from tests.shared.scripted_agent import METRICS_EXPORT, ScriptedAgent
from tests.shared.span_data import spans
from tests.shared.waiting import eventually


class Noting:
    """Somebody's own transport."""

    def __init__(self, exporter: Any) -> None:
        self.exporter = exporter
        self.seen = 0

    def export(self, datas: list[Any]) -> None:
        self.seen += len(datas)
        self.exporter.emit(datas)


@pytest.mark.parametrize(
    "transport",
    [None, SyncTransport, AsyncTransport, functools.partial(AsyncTransport, wait_period=60), Noting],
    ids=["none", "SyncTransport", "AsyncTransport", "AsyncTransport with a period", "somebody's own"],
)
def test_a_traced_program_changes_one_line(agent: ScriptedAgent, transport: Any) -> None:
    exporter = TraceExporter("shop", host_name="box", endpoint=agent.address, transport=transport)
    tracer = Tracer(exporter=exporter, sampler=AlwaysOnSampler())
    with tracer.span("outer"), tracer.span("inner"):
        pass
    assert exporter.flush(10)
    assert sorted(agent.span_names()) == ["inner", "outer"]
    node = agent.requests()[0].node
    assert (node.service_info.name, node.identifier.host_name) == ("shop", "box")
    assert getattr(exporter.transport, "seen", 2) == 2
    assert exporter.stop(10)


def test_views_leave_at_each_interval(agent: ScriptedAgent) -> None:
    counted = measure.MeasureInt("compat/items", "items", "1")
    stats.stats.view_manager.register_view(view.View("compat/count", "", [], counted, aggregation.CountAggregation()))
    measurements = stats.stats.stats_recorder.new_measurement_map()
    measurements.measure_int_put(counted, 1)
    measurements.record(tag_map.TagMap())
    exporter = new_stats_exporter(service_name="shop", hostname="box", endpoint=agent.address, interval=0.1)

    def counts() -> list[int]:
        found = [metric for request in agent.requests(METRICS_EXPORT) for metric in request.metrics]
        named = [metric for metric in found if metric.metric_descriptor.name == "compat/count"]
        return [metric.timeseries[0].points[0].int64_value for metric in named]

    assert eventually(lambda: len(counts()) >= 2 and counts(), 10)[:2] == [1, 1]
    assert agent.requests(METRICS_EXPORT)[0].node.service_info.name == "shop"
    thread = exporter.interval_thread
    assert thread is not None
    thread.cancel()  # type: ignore[attr-defined]  # opencensus's PeriodicTask
    thread.join(10)
    assert exporter.exporter.stop(10)


def test_ready_requests_of_metrics(agent: ScriptedAgent) -> None:
    handler = ExportRpcHandler(service_name="shop", endpoint=agent.address)
    request = metrics_service_pb2.ExportMetricsServiceRequest()
    request.metrics.add().metric_descriptor.name = "m"
    handler.send(request)
    StatsExporter(handler).export_metrics([])
    assert handler.exporter.stop(10)
    (received,) = agent.requests(METRICS_EXPORT)
    assert received.metrics[0].metric_descriptor.name == "m" and received.node.service_info.name == "shop"


def test_update_config_is_in_force_at_once_and_tells_what_is(agent: ScriptedAgent) -> None:
    exporter = TraceExporter("shop", endpoint=agent.address)
    asked = trace_config_pb2.TraceConfig()
    asked.constant_sampler.decision = trace_config_pb2.ConstantSampler.ALWAYS_ON
    answer = exporter.update_config(asked)
    assert answer.constant_sampler.decision == trace_config_pb2.ConstantSampler.ALWAYS_ON
    assert exporter.update_config(None) == answer
    assert exporter.sampler.should_sample(None)
    exporter.stop()


def test_export_never_waits_for_a_dead_agent() -> None:
    agent = ScriptedAgent()
    agent.stop()
    exporter = TraceExporter("shop", endpoint=agent.address, transport=SyncTransport)
    exporter.export(spans(3))
    assert not exporter.stop(0.1)
    assert exporter.exporter.stats()["dropped"] == {"the exporter was stopped": 3}


@pytest.mark.parametrize("make", [TraceExporter, ExportRpcHandler], ids=lambda kind: kind.__name__)
def test_a_grpcio_stub_is_refused_in_words(make: Any) -> None:
    with pytest.raises(TypeError, match="name the agent by endpoint="):
        make(service_name="shop", client=object())


def test_without_opencensus_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opencensus.metrics.transport", None)
    with pytest.raises(ModuleNotFoundError, match="pip install opencensus"):
        new_stats_exporter("shop")


@pytest.mark.parametrize("has_tls", [True, False])
def test_plaintext_is_spoken_unless_tls_is_asked_for(
    has_tls: bool, client_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool | None] = []

    class Noted(Exporter):
        def __init__(self, *args: Any, insecure: bool | None, **options: Any) -> None:
            asked.append(insecure)
            super().__init__(*args, insecure=insecure, start=False, **options)

    monkeypatch.setattr(compat, "Exporter", Noted)
    options: dict[str, Any] = {"tls": client_tls} if has_tls else {}
    TraceExporter("shop", endpoint="agent.example:55678", **options).stop(0.1)
    assert asked == [None if has_tls else True]
