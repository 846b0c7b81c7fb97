"""Runs protoc over the ``.proto`` files and brings what it says into one form, whichever version of protoc said it.

Part of the generator; never installed.  Needs protobuf, and protoc: PyPI's grpcio-tools or Debian's protobuf-compiler.
Spec: google/protobuf/descriptor.proto.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

__all__ = ["Source", "compile_protos"]


class Source(NamedTuple):
    """One compiled ``.proto`` file."""

    file: FileDescriptorProto
    """What it defines, without comments."""

    comments: dict[str, str]
    """The comment above each definition, by full name such as ``"google.rpc.Status.code"``."""

    title: str
    """The comment above the ``syntax`` line: what the file is about."""


def compile_protos(root: Path) -> dict[str, Source]:
    """Compile every ``.proto`` file below a folder.

    Args:
        root: What the imports inside the files are relative to.
    Returns:
        What was compiled, by file name such as ``"google/rpc/status.proto"``.
    Raises:
        SystemExit: There is no protoc, or it refused a file; its own words are on stderr.
    """
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "descriptors")
        _run_protoc(["--include_source_info", f"--descriptor_set_out={output}", f"--proto_path={root}", *names])
        compiled = FileDescriptorSet.FromString(output.read_bytes())
    return {file.name: _source(file) for file in compiled.file}


def _run_protoc(arguments: Sequence[str]) -> None:
    try:
        subprocess.run([*_protoc(), *arguments], check=True)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"protoc ended with exit code {error.returncode}; its own words are above") from None


def _protoc() -> list[str]:
    """The command that runs protoc."""
    if importlib.util.find_spec("grpc_tools"):
        return [sys.executable, "-m", "grpc_tools.protoc"]
    if shutil.which("protoc"):
        return ["protoc"]
    raise SystemExit("no protoc here: pip install grpcio-tools, or apt-get install protobuf-compiler")


def _source(file: FileDescriptorProto) -> Source:
    """Take the comments out of a descriptor, and with them all that depends on the version of protoc."""
    comments, title = {}, ""
    for place in file.source_code_info.location:
        if list(place.path) == [FileDescriptorProto.SYNTAX_FIELD_NUMBER]:
            title = _one_line(place.leading_comments)
        elif place.leading_comments:
            comments[_name_at(file, place.path)] = _one_line(place.leading_comments)
    file.ClearField("source_code_info")
    _drop_json_names(file.message_type)
    return Source(file, comments, title)


def _one_line(comment: str) -> str:
    return "  ".join(" ".join(line.split()) for line in comment.split("  ")).replace("\n", " ").strip()


def _name_at(file: FileDescriptorProto, path: Sequence[int]) -> str:
    """The full name of what lies at a path: pairs of a field's number in descriptor.proto and an index there."""
    here: Any = file
    names = [file.package]
    for number, index in zip(path[::2], path[1::2]):
        here = getattr(here, here.DESCRIPTOR.fields_by_number[number].name)[index]
        names.append(here.name)
    return ".".join(names)


def _drop_json_names(messages: Iterable[DescriptorProto]) -> None:
    """Drop what some versions of protoc write and others don't, and which follows from the fields' names."""
    for message in messages:
        for field in message.field:
            field.ClearField("json_name")
        _drop_json_names(message.nested_type)
