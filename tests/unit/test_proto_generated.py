"""puremux/proto/ is what the generator writes, whichever protoc it uses; and the stubs tell the truth."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PROTO = REPOSITORY / "puremux" / "proto"
STUBS = sorted(PROTO.glob("*_pb2.pyi"))

PROTOCS = {
    "grpcio-tools": [sys.executable, "-m", "grpc_tools.protoc"] if importlib.util.find_spec("grpc_tools") else None,
    "protoc on the path": ["protoc"] if shutil.which("protoc") else None,
}

needs_protoc = pytest.mark.skipif(not any(PROTOCS.values()), reason="needs grpcio-tools, or protoc on the path")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the generator and of what it wrote."""
    for folder in ("proto_gen", "puremux/proto"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def generate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "proto_gen.generate", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@needs_protoc
def test_what_is_committed_is_what_the_generator_writes() -> None:
    run = generate(REPOSITORY, "--check")
    assert run.returncode == 0, run.stdout + run.stderr


@needs_protoc
def test_check_names_what_is_stale_and_changes_nothing(checkout: Path) -> None:
    edited, surplus = checkout / "puremux/proto/trace_pb2.py", checkout / "puremux/proto/gone_pb2.pyi"
    edited.write_text(edited.read_text("utf-8") + "# by hand\n", "utf-8")
    surplus.touch()
    run = generate(checkout, "--check")
    assert run.returncode == 1
    assert run.stdout.splitlines() == ["puremux/proto/trace_pb2.py: stale", "puremux/proto/gone_pb2.pyi: stale"]
    assert "by hand" in edited.read_text("utf-8")
    assert surplus.exists()


@needs_protoc
def test_the_generator_mends_what_is_stale(checkout: Path) -> None:
    edited, surplus = checkout / "puremux/proto/trace_pb2.py", checkout / "puremux/proto/gone_pb2.pyi"
    edited.write_text("# by hand\n", "utf-8")
    surplus.touch()
    assert generate(checkout).returncode == 0
    assert edited.read_text("utf-8") == (PROTO / "trace_pb2.py").read_text("utf-8")
    assert not surplus.exists()


@needs_protoc
def test_a_changed_number_is_noticed(checkout: Path) -> None:
    source = checkout / "proto_gen/google/rpc/status.proto"
    source.write_text(source.read_text("utf-8").replace("message = 2;", "message = 9;"), "utf-8")
    run = generate(checkout, "--check")
    assert run.stdout.splitlines() == [
        "puremux/proto/rpc_status_pb2.py: stale",
        "puremux/proto/rpc_status_pb2.pyi: stale",
    ]


@needs_protoc
def test_a_field_without_a_comment_is_refused(checkout: Path) -> None:
    source = checkout / "proto_gen/google/rpc/status.proto"
    text = source.read_text("utf-8")
    source.write_text(text[: text.rindex("}")] + "\n  int32 silent = 4;\n}\n", "utf-8")
    run = generate(checkout)
    assert run.returncode == 1
    assert "google.rpc.Status.silent has no comment" in run.stderr


@needs_protoc
def test_a_file_that_belongs_to_no_module_is_refused(checkout: Path) -> None:
    (checkout / "proto_gen/google/rpc/code.proto").write_text('syntax = "proto3";\n', "utf-8")
    run = generate(checkout)
    assert run.returncode == 1
    assert "google/rpc/code.proto: is not both" in run.stderr


@pytest.mark.parametrize("name", PROTOCS)
def test_every_protoc_gives_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command = PROTOCS[name]
    if command is None:
        pytest.skip(f"{name} is not here")
    monkeypatch.syspath_prepend(REPOSITORY)  # the generator is not installed
    generator = importlib.import_module("proto_gen.generate")
    monkeypatch.setattr("proto_gen.compiler._protoc", lambda: command)
    written = [*PROTO.glob("*_pb2.py*"), PROTO / "paths.py"]
    assert generator.generate() == {path: path.read_text("utf-8") for path in written}


@pytest.mark.parametrize("stub", STUBS, ids=lambda path: path.stem)
def test_a_stub_tells_all_that_is_there_and_nothing_else(stub: Path) -> None:
    module = importlib.import_module(f"puremux.proto.{stub.stem}")
    assert sorted(stub_names(ast.parse(stub.read_text("utf-8")))) == sorted(module_names(module))


def stub_names(scope: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[str]:
    """The names that a stub defines, such as "Span.Link.trace_id"; without methods and private names."""
    for node in scope.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
        elif isinstance(node, ast.ClassDef) or (isinstance(node, ast.FunctionDef) and node.decorator_list):
            name = node.name
        else:
            continue
        if not name.startswith("_"):
            yield prefix + name
            if isinstance(node, ast.ClassDef):
                yield from stub_names(node, f"{prefix}{name}.")


def module_names(module: Any) -> Iterator[str]:
    """The names that a module really has, as its stub should."""
    for name, found in vars(module).items():
        if name.endswith(("DESCRIPTOR", "_PATH")):
            yield name
        elif hasattr(found, "SerializeToString"):
            yield from class_names(found, name)
        elif hasattr(found, "DESCRIPTOR") and hasattr(found, "keys"):
            yield from [name, *found.keys()]


def class_names(cls: Any, name: str) -> Iterator[str]:
    yield from (name, f"{name}.DESCRIPTOR")
    for field in cls.DESCRIPTOR.fields:
        yield from (f"{name}.{field.name}", f"{name}.{field.name.upper()}_FIELD_NUMBER")
    for enum in cls.DESCRIPTOR.enum_types:
        yield from (f"{name}.{part.name}" for part in [enum, *enum.values])
    for nested in cls.DESCRIPTOR.nested_types:
        if not nested.GetOptions().map_entry:
            yield from class_names(getattr(cls, nested.name), f"{name}.{nested.name}")


TYPED = """\
from puremux.proto import trace_pb2, trace_service_pb2, well_known_pb2
from puremux.proto.trace_pb2 import Span

span = Span(name=trace_pb2.TruncatableString(value="Foo"), kind=Span.CLIENT)
count: int = span.links.dropped_links_count
key: str = next(iter(span.attributes.attribute_map))
span.links.link.add().type = Span.Link.CHILD_LINKED_SPAN
request = trace_service_pb2.ExportTraceServiceRequest(spans=[span])
wire: bytes = request.SerializeToString()
again: Span = Span.FromString(wire)
path: str = trace_service_pb2.TRACE_SERVICE_EXPORT_PATH
seconds: float = span.start_time.ToDatetime().timestamp()
name: str = Span.SpanKind.Name(Span.CLIENT)
Span(nmae=None)  # WRONG: no such field
Span(name="Foo")  # WRONG: not a TruncatableString
span.start_time = well_known_pb2.Timestamp()  # WRONG: a message can't be assigned
span.spam  # WRONG: no such field
span.HasField("kind")  # WRONG: a scalar is never absent
span.time_events.time_event[0].WhichOneof("event")  # WRONG: the oneof is called value
span.trace_id = "text"  # WRONG: not bytes
"""


def test_a_type_checker_sees_right_from_wrong(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="needs mypy")
    (tmp_path / "caller.py").write_text(TYPED, "utf-8")
    options = ["--strict", "--follow-imports=silent", "--cache-dir", str(REPOSITORY / ".mypy_cache")]
    command = [sys.executable, "-m", "mypy", *options, str(tmp_path / "caller.py")]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    flagged = {int(line.split(":")[1]) for line in run.stdout.splitlines() if ": error:" in line}
    wrong = {number for number, line in enumerate(TYPED.splitlines(), 1) if "# WRONG" in line}
    assert flagged == wrong, run.stdout + run.stderr
