"""Our descriptors against those that the projects published: equal facts, and both in one process.

Sources: PyPI's opencensus-proto 0.1.0, googleapis-common-protos and protobuf itself; for what these lack, two tables.
Generated modules import only under the protobuf that they were made for, so descriptors are read from their text.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest
from google.protobuf import any_pb2, duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

from puremux.proto import (  # noqa: F401  every file must be in the pool
    _pool,
    health_pb2,
    metrics_service_pb2,
    rpc_status_pb2,
    trace_service_pb2,
)

# In the Go module github.com/census-instrumentation/opencensus-proto v0.4.1 (gen-go/trace/v1/trace.pb.go and
# gen-go/agent/common/v1/common.pb.go), and younger than PyPI's newest.
YOUNGER_THAN_PYPI = """
field opencensus.proto.trace.v1.Span.Link.tracestate = 5: optional message .opencensus.proto.trace.v1.Span.Tracestate
value opencensus.proto.agent.common.v1.LibraryInfo.Language.WEB_JS = 10
"""

# grpc_health/v1/health.proto of PyPI's grpcio-health-checking 1.85.1, whose module needs grpcio.
HEALTH = """
syntax proto3
message grpc.health.v1.HealthCheckRequest
field grpc.health.v1.HealthCheckRequest.service = 1: optional string
message grpc.health.v1.HealthCheckResponse
field grpc.health.v1.HealthCheckResponse.status = 1: optional enum .grpc.health.v1.HealthCheckResponse.ServingStatus
enum grpc.health.v1.HealthCheckResponse.ServingStatus
value grpc.health.v1.HealthCheckResponse.ServingStatus.UNKNOWN = 0
value grpc.health.v1.HealthCheckResponse.ServingStatus.SERVING = 1
value grpc.health.v1.HealthCheckResponse.ServingStatus.NOT_SERVING = 2
value grpc.health.v1.HealthCheckResponse.ServingStatus.SERVICE_UNKNOWN = 3
message grpc.health.v1.HealthListRequest
message grpc.health.v1.HealthListResponse
field grpc.health.v1.HealthListResponse.statuses = 1: repeated message .grpc.health.v1.HealthListResponse.StatusesEntry
map entry grpc.health.v1.HealthListResponse.StatusesEntry
field grpc.health.v1.HealthListResponse.StatusesEntry.key = 1: optional string
field grpc.health.v1.HealthListResponse.StatusesEntry.value = 2: optional message .grpc.health.v1.HealthCheckResponse
service grpc.health.v1.Health
rpc grpc.health.v1.Health.Check(.grpc.health.v1.HealthCheckRequest) returns (.grpc.health.v1.HealthCheckResponse)
rpc grpc.health.v1.Health.List(.grpc.health.v1.HealthListRequest) returns (.grpc.health.v1.HealthListResponse)
rpc grpc.health.v1.Health.Watch(.grpc.health.v1.HealthCheckRequest) returns (stream .grpc.health.v1.HealthCheckResponse)
"""


def facts(file: FileDescriptorProto) -> set[str]:
    """Everything in a file that a peer on the wire, or a caller, could notice; one line each."""
    found = {f"syntax {file.syntax}"}
    for message in file.message_type:
        found.update(message_facts(message, file.package))
    for enum in file.enum_type:
        found.update(enum_facts(enum, file.package))
    for service in file.service:
        found.update(service_facts(service, file.package))
    return found


def message_facts(message: DescriptorProto, scope: str) -> Iterator[str]:
    name = f"{scope}.{message.name}"
    yield f"{'map entry' if message.options.map_entry else 'message'} {name}"
    for field in message.field:
        label = FieldDescriptorProto.Label.Name(field.label).replace("LABEL_", "").lower()
        kind = FieldDescriptorProto.Type.Name(field.type).replace("TYPE_", "").lower()
        oneof = f"in oneof {message.oneof_decl[field.oneof_index].name}" if field.HasField("oneof_index") else ""
        words = " ".join(word for word in (label, kind, field.type_name, oneof) if word)
        yield f"field {name}.{field.name} = {field.number}: {words}"
    for nested in message.nested_type:
        yield from message_facts(nested, name)
    for enum in message.enum_type:
        yield from enum_facts(enum, name)


def enum_facts(enum: EnumDescriptorProto, scope: str) -> Iterator[str]:
    yield f"enum {scope}.{enum.name}"
    yield from (f"value {scope}.{enum.name}.{value.name} = {value.number}" for value in enum.value)


def service_facts(service: ServiceDescriptorProto, scope: str) -> Iterator[str]:
    yield f"service {scope}.{service.name}"
    for method in service.method:
        request = ("stream " if method.client_streaming else "") + method.input_type
        reply = ("stream " if method.server_streaming else "") + method.output_type
        yield f"rpc {scope}.{service.name}.{method.name}({request}) returns ({reply})"


def lines(table: str) -> set[str]:
    return set(table.strip().splitlines())


def published_by(package: str, names: str) -> dict[str, FileDescriptorProto]:
    """The files whose descriptors a package's modules hold, by name; of those modules that a pattern matches."""
    installed = distribution(package)
    modules = [Path(str(installed.locate_file(path))) for path in installed.files or [] if path.match(names)]
    files = [descriptor_in(module.read_text("utf-8")) for module in modules]
    return {file.name: file for file in files}


def descriptor_in(module: str) -> FileDescriptorProto:
    """The descriptor in the text of a module that protoc wrote: its only literal that parses as one."""
    for node in ast.walk(ast.parse(module)):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            literal = node.args[0].value  # _b('…') in Latin-1 before 2021, AddSerializedFile(b'…') since
            serialized = literal.encode("latin-1") if isinstance(literal, str) else literal
            if isinstance(serialized, bytes) and serialized.endswith(b"proto3"):
                return FileDescriptorProto.FromString(serialized)
    raise ValueError("no descriptor in the module")


def copied(descriptor: FileDescriptor) -> FileDescriptorProto:
    file = FileDescriptorProto()
    descriptor.CopyToProto(file)
    return file


def ours(file_name: str) -> set[str]:
    return facts(copied(_pool.POOL.FindFileByName(file_name)))


OPENCENSUS = published_by("opencensus-proto", "*/v1/*_pb2.py")
OPENCENSUS.pop("opencensus/proto/stats/v1/stats.proto")  # no service sends or takes its messages
STATUS = published_by("googleapis-common-protos", "google/rpc/status_pb2.py")
WELL_KNOWN = {
    module.DESCRIPTOR.name: copied(module.DESCRIPTOR)
    for module in (any_pb2, duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)
}


def test_every_published_file_was_found() -> None:
    assert (len(OPENCENSUS), len(STATUS)) == (7, 1)


@pytest.mark.parametrize("file_name", OPENCENSUS)
def test_opencensus_is_as_published(file_name: str) -> None:
    published = facts(OPENCENSUS[file_name])
    assert published - ours(file_name) == set()
    assert ours(file_name) - published <= lines(YOUNGER_THAN_PYPI)


def test_what_is_younger_than_pypi_is_there() -> None:
    assert lines(YOUNGER_THAN_PYPI) <= set().union(*(ours(name) - facts(file) for name, file in OPENCENSUS.items()))


@pytest.mark.parametrize(("file_name", "published"), [*STATUS.items(), *WELL_KNOWN.items()])
def test_googles_types_are_as_published(file_name: str, published: FileDescriptorProto) -> None:
    assert ours(file_name) == facts(published)


def test_health_is_as_published() -> None:
    assert ours("grpc/health/v1/health.proto") == lines(HEALTH)


# Puts all that others published into protobuf's own pool, as importing their modules does under either implementation.
LOAD_PUBLISHED = """
import sys
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, timestamp_pb2, wrappers_pb2
with open(sys.argv[1], "rb") as stored:
    published = descriptor_pb2.FileDescriptorSet.FromString(stored.read())
for file in published.file:
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
"""
IMPORT_PUBLISHED = """
import opencensus.proto.agent.trace.v1.trace_service_pb2, opencensus.proto.agent.metrics.v1.metrics_service_pb2
"""
LOAD_OURS = """
from puremux.proto import health_pb2, metrics_service_pb2, rpc_status_pb2, trace_pb2, trace_service_pb2
"""
BOTH_WORK = """
from google.protobuf import descriptor_pool
for name in ("opencensus.proto.trace.v1.Span", "google.protobuf.Timestamp"):
    theirs = descriptor_pool.Default().FindMessageTypeByName(name)
    assert theirs.file.pool is not trace_pb2.DESCRIPTOR.pool
span = trace_pb2.Span(name=trace_pb2.TruncatableString(value="Foo"))
assert trace_pb2.Span.FromString(span.SerializeToString()).name.value == "Foo"
"""


@pytest.mark.parametrize(
    ("implementation", "steps"),
    [
        pytest.param("", [LOAD_PUBLISHED, LOAD_OURS], id="C core where there is one, theirs first"),
        pytest.param("", [LOAD_OURS, LOAD_PUBLISHED], id="C core where there is one, ours first"),
        pytest.param("python", [LOAD_PUBLISHED, LOAD_OURS], id="Python, theirs first"),
        pytest.param("python", [LOAD_OURS, LOAD_PUBLISHED], id="Python, ours first"),
        pytest.param("python", [IMPORT_PUBLISHED, LOAD_OURS], id="Python, their modules imported first"),
        pytest.param("python", [LOAD_OURS, IMPORT_PUBLISHED], id="Python, our modules imported first"),
    ],
)
def test_nothing_clashes_in_one_process(implementation: str, steps: Iterable[str], tmp_path: Path) -> None:
    stored = tmp_path / "published"
    stored.write_bytes(FileDescriptorSet(file=in_import_order({**OPENCENSUS, **STATUS})).SerializeToString())
    environment = {key: value for key, value in os.environ.items() if key != "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"}
    if implementation:
        environment["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"] = implementation
    script = "".join([*steps, BOTH_WORK])
    command = [sys.executable, "-c", script, str(stored)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def in_import_order(files: dict[str, FileDescriptorProto]) -> list[FileDescriptorProto]:
    """Each file after those of the same set that it imports."""
    ordered: dict[str, FileDescriptorProto] = {}

    def add(name: str) -> None:
        for imported in files[name].dependency:
            if imported in files:
                add(imported)
        ordered[name] = files[name]

    for name in files:
        add(name)
    return list(ordered.values())
