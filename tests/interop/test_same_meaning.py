"""The same spans and metrics by the peers' exporters and by ours, field by field.

What differs stands in the tables here, and in docs/reference/differences.md with its reason.
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from puremux.exporter.identity import Identity
from puremux.exporter.metrics import MetricEncoder
from puremux.exporter.spans import SpanEncoder
from puremux.proto import metrics_pb2, trace_pb2
from puremux.proto.trace_service_pb2 import ExportTraceServiceRequest
from tests.shared.scripted_agent import METRICS_EXPORT, ScriptedAgent
from tests.shared.waiting import eventually

from .harness.exporters import Exporting
from .harness.process import ROOT, built

PEERS = ROOT / "tests" / "interop" / "pyexporters"
ARRIVING = 15.0
"""Seconds: Go's exporter gathers spans for two."""

# Of each sample that differs, the fields, [...] standing for any index or key.
PYTHON_DIFFERENCES = {
    "many attributes": {"attributes.attribute_map[...].int_value", "attributes.dropped_attributes_count"},
    "int64 gauge": {"timeseries[...].start_timestamp.seconds", "timeseries[...].start_timestamp.nanos"},
    "double gauge": {"timeseries[...].start_timestamp.seconds", "timeseries[...].start_timestamp.nanos"},
}


def fields(message: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Every field that is set, by its path; an empty message is told as one."""
    for field, value in message.ListFields():
        path = at + field.name
        if hasattr(value, "items"):
            for key, each in value.items():
                yield from _field(f"{path}[{key}]", each)
        elif hasattr(value, "__len__") and not isinstance(value, (str, bytes)):
            for index, each in enumerate(value):
                yield from _field(f"{path}[{index}]", each)
        else:
            yield from _field(path, value)


def _field(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not hasattr(value, "ListFields"):
        yield path, value
        return
    inside = list(fields(value, path + "."))
    yield from inside or [(path, "empty")]


def differing(ours: Any, theirs: Any) -> set[str]:
    """The paths at which two messages differ, without indexes and keys."""
    told = dict(fields(ours)), dict(fields(theirs))
    paths = {path for path in {*told[0], *told[1]} if told[0].get(path) != told[1].get(path)}
    return {re.sub(r"\[[^]]*\]", "[...]", path) for path in paths}


# opencensus-ext-ocagent


@pytest.fixture(scope="module")
def samples() -> Iterator[Any]:
    sys.path.insert(0, str(PEERS))
    try:
        yield importlib.import_module("samples")
    finally:
        sys.path.remove(str(PEERS))


@pytest.fixture(scope="module")
def theirs() -> dict[str, dict[str, dict[str, str]]]:
    """What the peer's conversion functions make of the samples."""
    command = [str(built(".venvs/ocagent/bin/python")), "-W", "ignore", str(PEERS / "convert.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]  # it is what the fixture says


def our_span(span: Any) -> trace_pb2.Span:
    request = ExportTraceServiceRequest.FromString(SpanEncoder().field(span))
    return request.spans[0]


def our_metric(metric: Any) -> metrics_pb2.Metric:
    return metrics_pb2.Metric.FromString(MetricEncoder().encode(metric))


@pytest.mark.parametrize("kind", ["spans", "metrics"])
def test_opencensus_ext_ocagent(kind: str, samples: Any, theirs: Mapping[str, Any]) -> None:
    ours: Any = {"spans": our_span, "metrics": our_metric}[kind]
    message: Any = {"spans": trace_pb2.Span, "metrics": metrics_pb2.Metric}[kind]
    items = {"spans": samples.SPANS, "metrics": samples.METRICS}[kind]
    assert len(items) >= 6
    for name, item in items.items():
        peer = message.FromString(bytes.fromhex(theirs[kind][name]["hex"]))
        assert differing(ours(item), peer) == PYTHON_DIFFERENCES.get(name, set()), name


# Go's exporter: what it sent, and what ours makes of the same


@pytest.fixture
def agent() -> Iterator[ScriptedAgent]:
    agent = ScriptedAgent()
    yield agent
    agent.stop()


def moment(nanoseconds: int) -> str:
    whole, fraction = divmod(nanoseconds, 10**9)
    return f"{datetime.fromtimestamp(whole, timezone.utc):%Y-%m-%dT%H:%M:%S}.{fraction:09}Z"


def span_data(told: Mapping[str, Any]) -> Any:
    """A recorded span, as opencensus would hand it to us."""

    def attributes(given: Any) -> Any:
        return SimpleNamespace(attributes=given or {})

    return SimpleNamespace(
        name=told["name"],
        context=SimpleNamespace(trace_id=told["trace_id"], tracestate=None),
        span_id=told["span_id"],
        parent_span_id=told["parent_span_id"] or None,
        attributes=told["attributes"] or {},
        start_time=moment(told["start"]),
        end_time=moment(told["end"]),
        child_span_count=None,
        stack_trace=None,
        annotations=[
            SimpleNamespace(
                timestamp=moment(note["time"]),
                description=note["description"],
                attributes=attributes(note["attributes"]),
            )
            for note in told["annotations"]
        ],
        message_events=[
            SimpleNamespace(
                timestamp=moment(event["time"]),
                id=event["id"],
                type=event["type"],
                uncompressed_size_bytes=event["uncompressed_size"],
                compressed_size_bytes=event["compressed_size"],
            )
            for event in told["message_events"]
        ],
        links=[
            SimpleNamespace(
                trace_id=link["trace_id"],
                span_id=link["span_id"],
                type=link["type"],
                attributes=attributes(link["attributes"]),
            )
            for link in told["links"]
        ],
        status=SimpleNamespace(code=told["status"]["code"], message=told["status"]["message"]),
        same_process_as_parent_span=None,
        span_kind=told["kind"],
    )


GO_DIFFERENCES = {
    "parent": {"parent_span_id", "status"},
    "bench-span": {"links.link[...].attributes.attribute_map[...].string_value.value"},
}


def test_spans_of_gos_exporter(agent: ScriptedAgent, go_exporter: Callable[..., Exporting]) -> None:
    exporting = go_exporter(agent.address, "demo")
    record = exporting.record()
    wanted = {told["span_id"]: told for told in record["spans"]}

    def arrived() -> dict[str, Any]:
        spans = [span for request in agent.requests() for span in request.spans]
        return {span.span_id.hex(): span for span in spans if span.span_id.hex() in wanted}

    eventually(lambda: len(arrived()) == len(wanted), ARRIVING)
    found: dict[str, set[str]] = {"parent": set(), "bench-span": set()}
    for span_id, theirs in arrived().items():
        ours = our_span(span_data(wanted[span_id]))
        found[ours.name.value] |= differing(ours, theirs)
    assert found == GO_DIFFERENCES
    exporting.finish()


TYPES = {
    "v/count": 4,
    "v/sum_int": 4,
    "v/sum_float": 5,
    "v/last_int": 1,
    "v/last_float": 2,
    "v/distribution": 6,
}
"""Numbers of the descriptors' types, as opencensus's own conversion of views has them."""

START = {"timeseries[...].start_timestamp.seconds", "timeseries[...].start_timestamp.nanos"}
GO_METRIC_DIFFERENCES: Mapping[str, set[str]] = {"v/last_int": START, "v/last_float": START}


def metric(name: str, view: Mapping[str, Any], theirs: Any) -> Any:
    """A recorded view as a metric that opencensus would hand to us; when it was is in what Go's exporter sent."""
    (row,) = view["rows"]
    (series,) = theirs.timeseries
    return SimpleNamespace(
        descriptor=SimpleNamespace(
            name=name,
            description=view["description"],
            unit=view["unit"],
            type=TYPES[name],
            label_keys=[SimpleNamespace(key=key, description="") for key in row["tags"]],
        ),
        time_series=[
            SimpleNamespace(
                start_timestamp=moment(nanoseconds(series.start_timestamp)),
                label_values=[SimpleNamespace(value=tag) for tag in row["tags"].values()],
                points=[
                    SimpleNamespace(
                        timestamp=moment(nanoseconds(series.points[0].timestamp)), value=point_value(row["data"])
                    )
                ],
            )
        ],
    )


def nanoseconds(timestamp: Any) -> int:
    return int(timestamp.seconds) * 10**9 + int(timestamp.nanos)


def point_value(data: Any) -> Any:
    if not isinstance(data, Mapping):
        return SimpleNamespace(value=data)
    return SimpleNamespace(
        count=data["count"],
        sum=data["sum"],
        sum_of_squared_deviation=data["sum_of_squared_deviation"],
        bucket_options=SimpleNamespace(type_=SimpleNamespace(bounds=[1.0, 5.0, 10.0])),
        buckets=[SimpleNamespace(count=count, exemplar=None) for count in data["bucket_counts"]],
    )


def test_metrics_of_gos_exporter(agent: ScriptedAgent, go_exporter: Callable[..., Exporting]) -> None:
    exporting = go_exporter(agent.address, "demo")
    views = exporting.record()["views"]

    def arrived() -> dict[str, Any]:
        metrics = [metric for request in agent.requests(METRICS_EXPORT) for metric in request.metrics]
        return {metric.metric_descriptor.name: metric for metric in metrics}

    eventually(lambda: set(views) <= set(arrived()), ARRIVING)
    encoder = MetricEncoder()
    found = {}
    for name, theirs in arrived().items():
        ours = metrics_pb2.Metric.FromString(encoder.encode(metric(name, views[name], theirs)))
        found[name] = differing(ours, theirs)
    assert {name: paths for name, paths in found.items() if paths} == GO_METRIC_DIFFERENCES
    exporting.finish()


# Who sends


@pytest.mark.parametrize(
    "peer, not_theirs, of_metrics",
    [
        pytest.param("go_exporter", {"identifier.host_name"}, {}, id="Go"),
        pytest.param("ocagent_python", set(), {"type": "global"}, id="Python"),
    ],
)
def test_nodes_and_resources(
    peer: str, not_theirs: set[str], of_metrics: Any, agent: ScriptedAgent, request: pytest.FixtureRequest
) -> None:
    exporting = request.getfixturevalue(peer)(agent.address, "demo")
    exporting.record()
    eventually(lambda: agent.requests() and agent.requests(METRICS_EXPORT), ARRIVING)
    theirs, their_metrics = agent.requests()[0], agent.requests(METRICS_EXPORT)[0]
    exporting.finish()
    identity = ExportTraceServiceRequest.FromString(Identity("peer").in_request())
    assert {path for path, _ in fields(identity.node)} - {path for path, _ in fields(theirs.node)} == not_theirs
    assert {path for path, _ in fields(theirs.node)} <= {path for path, _ in fields(identity.node)}
    assert dict(fields(identity.resource)) == dict(fields(theirs.resource)) == {}
    assert dict(fields(their_metrics.resource)) == of_metrics
