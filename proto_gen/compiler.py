"""Runs protoc over the ``.proto`` files and brings what it says into one form, whichever protoc said it.

Part of the generator; never installed.  Needs protobuf, and protoc: PyPI's grpcio-tools or Debian's protobuf-compiler.
Spec: google/protobuf/descriptor.proto; protobuf's docs, "Self-describing Messages".
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

__all__ = ["compile_protos"]


def compile_protos(root: Path) -> dict[str, FileDescriptorProto]:
    """Compile every ``.proto`` file below a folder.

    Args:
        root: What the imports inside the files are relative to.
    Returns:
        The descriptors by file name, such as ``"google/rpc/status.proto"``, with the comments in ``source_code_info``.
    Raises:
        SystemExit: There is no protoc, or it refused a file; protoc's own words are on stderr.
    """
    sources = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "descriptors")
        _run_protoc(["--include_source_info", f"--descriptor_set_out={output}", f"--proto_path={root}", *sources])
        compiled = FileDescriptorSet.FromString(output.read_bytes())
    for file in compiled.file:
        _normalise(file)
    return {file.name: file for file in compiled.file}


def _run_protoc(arguments: list[str]) -> None:
    try:
        subprocess.run([*_protoc(), *arguments], check=True)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"protoc ended with exit code {error.returncode}; see its words above") from None


def _protoc() -> list[str]:
    """The command that runs protoc."""
    if importlib.util.find_spec("grpc_tools"):
        return [sys.executable, "-m", "grpc_tools.protoc"]
    if shutil.which("protoc"):
        return ["protoc"]
    raise SystemExit("no protoc here: pip install grpcio-tools, or apt-get install protobuf-compiler")


def _normalise(file: FileDescriptorProto) -> None:
    """Drop what some versions of protoc write and others don't, and what follows from the rest."""
    for message in file.message_type:
        _drop_json_names(message)


def _drop_json_names(message: DescriptorProto) -> None:
    for field in message.field:
        field.ClearField("json_name")
    for nested in message.nested_type:
        _drop_json_names(nested)
