"""Writes puremux/proto/ from the ``.proto`` files beside this one.  Call it as ``make proto``.

Usage, in the repository's top folder: python -m proto_gen.generate [--check]

With --check it writes nothing, names the files that are not what it would write, and exits with 1 if there are any.
Needs protobuf, and protoc: PyPI's grpcio-tools or Debian's protobuf-compiler.  Which version does not matter.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from proto_gen.compiler import compile_protos
from proto_gen.modules import Module, module_text, paths_text
from proto_gen.stubs import stub_text, symbols

__all__ = ["main"]

SOURCES = Path(__file__).resolve().parent
TARGET = SOURCES.parent / "puremux" / "proto"

# The modules of puremux.proto, each after those it imports, and the files that they hold.
MODULES = {
    "well_known_pb2": [
        "google/protobuf/any.proto",
        "google/protobuf/duration.proto",
        "google/protobuf/struct.proto",
        "google/protobuf/timestamp.proto",
        "google/protobuf/wrappers.proto",
    ],
    "rpc_status_pb2": ["google/rpc/status.proto"],
    "health_pb2": ["grpc/health/v1/health.proto"],
    "resource_pb2": ["opencensus/proto/resource/v1/resource.proto"],
    "common_pb2": ["opencensus/proto/agent/common/v1/common.proto"],
    "trace_pb2": ["opencensus/proto/trace/v1/trace.proto"],
    "trace_config_pb2": ["opencensus/proto/trace/v1/trace_config.proto"],
    "metrics_pb2": ["opencensus/proto/metrics/v1/metrics.proto"],
    "trace_service_pb2": ["opencensus/proto/agent/trace/v1/trace_service.proto"],
    "metrics_service_pb2": ["opencensus/proto/agent/metrics/v1/metrics_service.proto"],
}


def main() -> None:
    """Write what differs, or with --check say what does."""
    parser = argparse.ArgumentParser(description="Write puremux/proto/ from the .proto files in proto_gen/.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file would change")
    check = parser.parse_args().check
    wanted = generate()
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    surplus = sorted(path for path in TARGET.glob("*_pb2.py*") if path not in wanted)
    for path in [*stale, *surplus]:
        print(f"{path.relative_to(SOURCES.parent)}: {'stale' if check else 'written' if path in stale else 'removed'}")
    if check:
        raise SystemExit("run `make proto` and commit what it writes" if stale or surplus else 0)
    for path in stale:
        path.write_text(wanted[path], "utf-8")
    for path in surplus:
        path.unlink()


def generate() -> dict[Path, str]:
    """The text of every generated file, by its path."""
    sources = compile_protos(SOURCES)
    homes = {file: name for name, files in MODULES.items() for file in files}
    for file in sources.keys() ^ homes.keys():
        raise SystemExit(f"{file}: is not both a file below proto_gen/ and in MODULES of proto_gen/generate.py")
    modules = []
    for name, files in MODULES.items():
        imports = {homes[imported] for file in files for imported in sources[file].file.dependency} - {name}
        modules.append(Module(name, [sources[file] for file in files], sorted(imports)))
    table = symbols(modules)
    texts = {TARGET / f"{module.name}.py": module_text(module) for module in modules}
    texts[TARGET / "paths.py"] = paths_text(modules)
    return {**texts, **{TARGET / f"{module.name}.pyi": stub_text(module, table) for module in modules}}


if __name__ == "__main__":
    main()
