"""The message classes: what they hold survives the wire, their names are protoc's, importing one stays cheap."""

from __future__ import annotations

import copy
import importlib
import os
import pickle
import subprocess
import sys
from datetime import datetime, timezone
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.internal import api_implementation

from puremux.proto import (
    _pool,
    common_pb2,
    health_pb2,
    metrics_pb2,
    metrics_service_pb2,
    resource_pb2,
    rpc_status_pb2,
    trace_config_pb2,
    trace_pb2,
    trace_service_pb2,
    well_known_pb2,
)

IMPORTS = {
    "well_known_pb2": set(),
    "resource_pb2": set(),
    "trace_config_pb2": set(),
    "health_pb2": set(),
    "rpc_status_pb2": {"well_known_pb2"},
    "common_pb2": {"well_known_pb2"},
    "trace_pb2": {"well_known_pb2", "resource_pb2"},
    "metrics_pb2": {"well_known_pb2", "resource_pb2"},
    "trace_service_pb2": {"well_known_pb2", "resource_pb2", "common_pb2", "trace_pb2", "trace_config_pb2"},
    "metrics_service_pb2": {"well_known_pb2", "resource_pb2", "common_pb2", "metrics_pb2"},
}

WITH_SERVICES = {"health_pb2", "trace_service_pb2", "metrics_service_pb2"}

ALL_CLASSES = [
    pytest.param(found, id=f"{name}.{found.__name__}")
    for name in IMPORTS
    for found in vars(importlib.import_module(f"puremux.proto.{name}")).values()
    if isinstance(getattr(found, "DESCRIPTOR", None), Descriptor)
]

SCALARS: dict[int, Any] = {
    FieldDescriptor.CPPTYPE_BOOL: True,
    FieldDescriptor.CPPTYPE_DOUBLE: -0.5,
    FieldDescriptor.CPPTYPE_ENUM: 1,
    FieldDescriptor.CPPTYPE_FLOAT: 0.25,
    FieldDescriptor.CPPTYPE_INT32: -(2**31),
    FieldDescriptor.CPPTYPE_INT64: -(2**63),
    FieldDescriptor.CPPTYPE_UINT32: 2**32 - 1,
    FieldDescriptor.CPPTYPE_UINT64: 2**64 - 1,
}


def fill(message: Any, depth: int = 4) -> Any:
    """Set every field of a message, and of the messages in it down to a depth, to something other than its default.

    Of a oneof the last member wins, as on the wire.
    """
    for field in message.DESCRIPTOR.fields:
        here = getattr(message, field.name)
        if field.message_type is None:
            value = SCALARS.get(field.cpp_type, b"\x00\xff" if field.type == field.TYPE_BYTES else "é")
            setattr(message, field.name, value) if not hasattr(here, "append") else here.append(value)
        elif field.message_type.GetOptions().map_entry:
            held = field.message_type.fields_by_name["value"].message_type
            if held is None:
                here["key"] = "é"
            elif depth:
                fill(here["key"], depth - 1)
        elif depth:
            fill(here.add() if hasattr(here, "add") else here, depth - 1)
    return message


def wire(message: Any) -> bytes:
    """The message as bytes.  They are compared, since protobuf in Python can't compare an Any of a type it lacks."""
    return bytes(message.SerializeToString(deterministic=True))


@pytest.mark.parametrize("cls", ALL_CLASSES)
def test_a_full_message_survives_the_wire(cls: Any) -> None:
    full = fill(cls())
    again = cls.FromString(wire(full))
    assert wire(again) == wire(full)
    assert again.ListFields() if cls.DESCRIPTOR.fields else not again.ListFields()


@pytest.mark.parametrize("cls", ALL_CLASSES)
def test_a_message_can_be_pickled_and_copied(cls: Any) -> None:
    full = fill(cls())
    assert wire(pickle.loads(pickle.dumps(full))) == wire(copy.deepcopy(full)) == wire(full)


def test_a_nested_message_can_be_pickled() -> None:
    link = trace_pb2.Span.Link(type=trace_pb2.Span.Link.CHILD_LINKED_SPAN)
    again = pickle.loads(pickle.dumps(link))
    assert again == link
    assert type(again) is trace_pb2.Span.Link


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(trace_pb2.Span.CLIENT, 2, id="enum value on the class that holds the enum"),
        pytest.param(trace_pb2.Span.SpanKind.CLIENT, 2, id="enum value on the enum"),
        pytest.param(trace_pb2.Span.SpanKind.Name(2), "CLIENT", id="name of an enum value"),
        pytest.param(trace_pb2.Span.TimeEvent.MessageEvent.Type.Value("SENT"), 1, id="enum two messages deep"),
        pytest.param(common_pb2.LibraryInfo.PYTHON, 8, id="language"),
        pytest.param(well_known_pb2.NULL_VALUE, 0, id="enum value on the module"),
        pytest.param(well_known_pb2.NullValue.Name(0), "NULL_VALUE", id="enum on the module"),
        pytest.param(trace_pb2.Span.TRACE_ID_FIELD_NUMBER, 1, id="field number"),
        pytest.param(trace_pb2.Span.Link.__qualname__, "Span.Link", id="qualified name"),
        pytest.param(trace_pb2.Span.Link.__module__, "puremux.proto.trace_pb2", id="module"),
        pytest.param(trace_pb2.Span.DESCRIPTOR.full_name, "opencensus.proto.trace.v1.Span", id="protobuf's name"),
    ],
)
def test_names_are_where_protoc_puts_them(found: object, expected: object) -> None:
    assert found == expected


def test_a_field_holds_the_class_that_the_module_shows() -> None:
    request = trace_service_pb2.ExportTraceServiceRequest(spans=[trace_pb2.Span()])
    span = request.spans[0]
    assert type(span) is trace_pb2.Span
    assert type(span.links.link.add()) is trace_pb2.Span.Link
    assert type(span.start_time) is well_known_pb2.Timestamp
    assert type(request.node) is common_pb2.Node
    assert type(span.resource) is resource_pb2.Resource


def test_a_oneof_tells_which_member_is_set() -> None:
    value = trace_pb2.AttributeValue(int_value=0)
    assert value.WhichOneof("value") == "int_value"
    value.double_value = 1.5
    assert value.WhichOneof("value") == "double_value"
    assert not value.HasField("int_value")


def test_a_wrapper_tells_nothing_from_false() -> None:
    span = trace_pb2.Span(same_process_as_parent_span=well_known_pb2.BoolValue(value=False))
    assert span.HasField("same_process_as_parent_span")
    assert not span.HasField("child_span_count")


def test_timestamps_of_our_pool_have_protobufs_methods() -> None:
    moment = datetime(2026, 11, 23, 21, 11, 5, 250_000, timezone.utc)
    timestamp = well_known_pb2.Timestamp()
    timestamp.FromDatetime(moment)
    assert timestamp.ToDatetime(timezone.utc) == moment
    assert timestamp.ToJsonString() == "2026-11-23T21:11:05.250Z"


def test_error_details_are_packed_by_full_name() -> None:
    status = rpc_status_pb2.Status(code=3, message="no Node")
    status.details.add().Pack(common_pb2.ServiceInfo(name="shop"))
    assert status.details[0].type_url == "type.googleapis.com/opencensus.proto.agent.common.v1.ServiceInfo"
    unpacked = common_pb2.ServiceInfo()
    assert status.details[0].Unpack(unpacked)
    assert unpacked.name == "shop"


def test_messages_are_written_as_json_and_read_back() -> None:
    metric = metrics_pb2.Metric(
        metric_descriptor=metrics_pb2.MetricDescriptor(type=metrics_pb2.MetricDescriptor.SUMMARY)
    )
    metric.timeseries.add().points.add().summary_value.count.value = 3
    assert '"count": "3"' in json_format.MessageToJson(metric)
    assert json_format.Parse(json_format.MessageToJson(metric), metrics_pb2.Metric()) == metric


@pytest.mark.parametrize("module", [trace_service_pb2, metrics_service_pb2, health_pb2], ids=lambda m: m.__name__)
def test_every_method_has_its_path(module: Any) -> None:
    paths = {value for name, value in vars(module).items() if name.endswith("_PATH")}
    services = module.DESCRIPTOR.services_by_name.values()
    assert paths == {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}
    assert paths


def test_paths_that_go_on_the_wire() -> None:
    assert trace_service_pb2.TRACE_SERVICE_EXPORT_PATH == "/opencensus.proto.agent.trace.v1.TraceService/Export"
    assert trace_service_pb2.TRACE_SERVICE_CONFIG_PATH == "/opencensus.proto.agent.trace.v1.TraceService/Config"
    assert metrics_service_pb2.METRICS_SERVICE_EXPORT_PATH == "/opencensus.proto.agent.metrics.v1.MetricsService/Export"
    assert health_pb2.HEALTH_CHECK_PATH == "/grpc.health.v1.Health/Check"


def test_the_pool_is_nobody_elses() -> None:
    assert trace_config_pb2.TraceConfig.DESCRIPTOR.file.pool is _pool.POOL
    assert well_known_pb2.Timestamp.DESCRIPTOR.file.pool is _pool.POOL


@pytest.mark.parametrize("name", IMPORTS)
def test_a_module_imports_only_what_it_needs(name: str) -> None:
    code = f"import puremux.proto.{name}, sys; print(*(m for m in sys.modules if m.startswith('puremux.proto.')))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    paths = {"puremux.proto.paths"} if name in WITH_SERVICES else set()  # nothing but constants
    assert set(loaded) == {f"puremux.proto.{needed}" for needed in {"_pool", name, *IMPORTS[name]}} | paths


@pytest.mark.skipif(api_implementation.Type() == "python", reason="this is the run that the test would start")
def test_all_of_this_holds_without_protobufs_c_core() -> None:
    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not only_what_it_needs", __file__]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
