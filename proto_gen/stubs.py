"""Writes the type stubs: what a type checker, and a reader, should know of the classes that protobuf makes.

Part of the generator; never installed.  The comments of the ``.proto`` files become docstrings.
Spec: PEP 484, "Stub Files"; protobuf's "Python Generated Code Guide".

What a stub tells, as protobuf behaves: constructors take keywords only, and None leaves a field unset; a field that
holds a message can be changed but not assigned; proto3's enums are open, so a field of such a type is a plain int.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FieldDescriptorProto

from proto_gen.compiler import Source
from proto_gen.modules import Module, head, method_paths

__all__ = ["Symbol", "stub_text", "symbols"]

WIDTH = 120
INDENT = " " * 4
DEEPEST = 4 * len(INDENT)  # columns kept free, so that a line fits wherever its class is nested

SCALARS = {
    FieldDescriptorProto.TYPE_BOOL: "bool",
    FieldDescriptorProto.TYPE_BYTES: "bytes",
    FieldDescriptorProto.TYPE_DOUBLE: "float",
    FieldDescriptorProto.TYPE_ENUM: "int",
    FieldDescriptorProto.TYPE_FLOAT: "float",
    FieldDescriptorProto.TYPE_INT32: "int",
    FieldDescriptorProto.TYPE_INT64: "int",
    FieldDescriptorProto.TYPE_STRING: "str",
    FieldDescriptorProto.TYPE_UINT32: "int",
    FieldDescriptorProto.TYPE_UINT64: "int",
}

# Messages to which protobuf's runtime, going by their full names, gives methods such as Timestamp.ToDatetime.
WITH_METHODS = {f"google.protobuf.{name}" for name in ("Any", "Duration", "ListValue", "Struct", "Timestamp")}

# Where the names come from that a stub may use, in the order of its imports; it imports those that it does use.
STANDARD_LIBRARY = {
    "collections.abc": ["Iterable", "Mapping"],
    "typing": ["ClassVar", "Final", "Literal"],
}
CONTAINERS = "MessageMap", "RepeatedCompositeFieldContainer", "RepeatedScalarFieldContainer", "ScalarMap"
OTHERS = {
    "google.protobuf.descriptor": ["Descriptor", "FileDescriptor"],
    "google.protobuf.internal": ["well_known_types"],
    "google.protobuf.internal.containers": CONTAINERS,
    "google.protobuf.internal.enum_type_wrapper": ["EnumTypeWrapper"],
    "google.protobuf.message": ["Message"],
    "typing_extensions": ["TypeAlias"],  # typing has it from Python 3.10 on; a type checker always has this one
}


class Symbol(NamedTuple):
    """A message that fields may have as their type."""

    module: str
    """Where its class is, such as ``"trace_pb2"``."""

    qualname: str
    """Its class there, such as ``"Span.Link"``."""

    message: DescriptorProto
    """Its definition."""


def symbols(modules: Iterable[Module]) -> dict[str, Symbol]:
    """Every message of these modules, by its name as fields have it: ``".google.rpc.Status"``."""
    table = {}
    for module in modules:
        for source in module.sources:
            for qualname, message in _messages(source.file.message_type):
                table[f".{source.file.package}.{qualname}"] = Symbol(module.name, qualname, message)
    return table


def _messages(messages: Iterable[DescriptorProto], scope: str = "") -> Iterator[tuple[str, DescriptorProto]]:
    for message in messages:
        yield scope + message.name, message
        yield from _messages(message.nested_type, f"{scope}{message.name}.")


def stub_text(module: Module, table: dict[str, Symbol]) -> str:
    """The text of a ``_pb2.pyi`` file."""
    body = []
    for source in module.sources:
        body += ["", *_FileStub(module, source, table).lines()]
    return "\n".join([*head(module), *_imports(module, body), *body]) + "\n"


def _imports(module: Module, body: list[str]) -> Iterator[str]:
    """The imports that the body needs, in blocks: the standard library's, others', our own."""
    used = set(re.findall(r"\w+", "\n".join(body)))
    for block in STANDARD_LIBRARY, OTHERS, {"puremux.proto": module.imports}:
        needed = {origin: [name for name in names if name in used] for origin, names in block.items()}
        if any(needed.values()):
            yield ""
        yield from (f"from {origin} import {', '.join(names)}" for origin, names in needed.items() if names)


def _fit(start: str, items: Iterable[str], end: str) -> list[str]:
    """A list between brackets, on one line if it fits there, else one item a line."""
    items = list(items)
    line = f"{start}{', '.join(items)}{end}"
    if len(line) <= WIDTH - DEEPEST:
        return [line]
    return [start, *_indent(f"{item}," for item in items), end]


def _indent(lines: Iterable[str]) -> Iterator[str]:
    return (INDENT + line if line else line for line in lines)


class _FileStub:
    """The stub of one file: its messages, enums and method paths."""

    def __init__(self, module: Module, source: Source, table: dict[str, Symbol]) -> None:
        self._module = module
        self._file = source.file
        self._comments = source.comments
        self._table = table

    def lines(self) -> Iterator[str]:
        yield f"{self._module.descriptor_name(self._file)}: FileDescriptor"
        for constant, path, name in method_paths(self._file):
            yield f'{constant}: Final = "{path}"'
            yield from self._docstring(name)
        for message in self._file.message_type:
            yield ""
            yield from self._message(message, f"{self._file.package}.{message.name}")
        for enum in self._file.enum_type:
            yield ""
            yield from self._enum(enum, f"{self._file.package}.{enum.name}", "_{}")

    def _message(self, message: DescriptorProto, name: str) -> Iterator[str]:
        """A class: docstring, what is nested in it, fields, methods."""
        bases = f"well_known_types.{message.name}, Message" if name in WITH_METHODS else "Message"
        yield f"class {message.name}({bases}):"
        yield from _indent(self._docstring(name))
        yield from _indent(["", "DESCRIPTOR: Descriptor"])
        for nested in message.nested_type:
            if not nested.options.map_entry:
                yield ""
                yield from _indent(self._message(nested, f"{name}.{nested.name}"))
        for enum in message.enum_type:
            yield ""
            yield from _indent(self._enum(enum, f"{name}.{enum.name}", "ClassVar[_{}]"))
        if message.field:
            yield ""
        yield from _indent(f"{field.name.upper()}_FIELD_NUMBER: Final = {field.number}" for field in message.field)
        for field in message.field:
            yield ""
            yield from _indent(self._field(field, f"{name}.{field.name}"))
        yield ""
        yield from _indent(self._methods(message))

    def _enum(self, enum: EnumDescriptorProto, name: str, annotation: str) -> Iterator[str]:
        """An enum: the class of its wrapper, the wrapper, and the values beside it."""
        yield f"class _{enum.name}(EnumTypeWrapper):"
        yield from _indent(f"{value.name}: Final = {value.number}" for value in enum.value)
        yield ""
        yield f"{enum.name}: {annotation.format(enum.name)}"
        yield from self._docstring(name)
        for value in enum.value:
            yield f"{value.name}: Final = {value.number}"
            yield from self._docstring(f"{name}.{value.name}")

    def _field(self, field: FieldDescriptorProto, name: str) -> Iterator[str]:
        """An attribute, or a property where protobuf refuses to assign: messages, lists and maps."""
        if field.type != field.TYPE_MESSAGE and field.label != field.LABEL_REPEATED:
            yield f"{field.name}: {self._held(field)}"
            yield from self._docstring(name)
        else:
            yield "@property"
            yield f"def {field.name}(self) -> {self._held(field)}:"
            yield from _indent(self._docstring(name))

    def _methods(self, message: DescriptorProto) -> Iterator[str]:
        """The constructor, and the methods that take the name of a field or of a oneof."""
        parameters = [f"{field.name}: {self._taken(field)} | None = None" for field in message.field]
        yield from _fit("def __init__(", ["self", *(["*"] if parameters else []), *parameters], ") -> None: ...")
        groups = [oneof.name for oneof in message.oneof_decl]
        present = [field.name for field in message.field if _has_presence(field)] + groups
        if present:
            yield ""
            yield from _fit("_Optional: TypeAlias = Literal[", map(_quote, present), "]")
            yield "def HasField(self, field_name: _Optional) -> bool: ..."
        if len(groups) > 1:
            raise SystemExit(f"{message.name} has {len(groups)} oneofs: proto_gen/stubs.py must overload WhichOneof")
        for group in groups:
            members = [field.name for field in message.field if field.HasField("oneof_index")]
            yield ""
            yield from _fit("_Member: TypeAlias = Literal[", map(_quote, members), "]")
            yield f'def WhichOneof(self, oneof_group: Literal["{group}"]) -> _Member | None: ...'

    def _held(self, field: FieldDescriptorProto) -> str:
        """The type of a field's value."""
        key_and_value = self._map_entry(field)
        if key_and_value:
            key, value = (self._item(part) for part in key_and_value)
            container = "MessageMap" if key_and_value[1].type == field.TYPE_MESSAGE else "ScalarMap"
            return f"{container}[{key}, {value}]"
        if field.label == field.LABEL_REPEATED:
            kind = "Composite" if field.type == field.TYPE_MESSAGE else "Scalar"
            return f"Repeated{kind}FieldContainer[{self._item(field)}]"
        return self._item(field)

    def _taken(self, field: FieldDescriptorProto) -> str:
        """The type of what the constructor takes for a field, other than None."""
        key_and_value = self._map_entry(field)
        if key_and_value:
            return "Mapping[{}, {}]".format(*(self._item(part) for part in key_and_value))
        return f"Iterable[{self._item(field)}]" if field.label == field.LABEL_REPEATED else self._item(field)

    def _item(self, field: FieldDescriptorProto) -> str:
        """The type of one value of a field."""
        if field.type != field.TYPE_MESSAGE:
            return SCALARS[field.type]
        symbol = self._table[field.type_name]
        return symbol.qualname if symbol.module == self._module.name else f"{symbol.module}.{symbol.qualname}"

    def _map_entry(self, field: FieldDescriptorProto) -> list[FieldDescriptorProto]:
        """The key and the value of a map field; empty for other fields."""
        symbol = self._table.get(field.type_name)
        return list(symbol.message.field) if symbol and symbol.message.options.map_entry else []

    def _docstring(self, name: str) -> list[str]:
        if name not in self._comments:
            raise SystemExit(f"{self._file.name}: {name} has no comment; say what it is for")
        return textwrap.wrap(f'"""{self._comments[name]}"""', WIDTH - DEEPEST, break_long_words=False)


def _has_presence(field: FieldDescriptorProto) -> bool:
    """Whether a field of proto3 tells "unset" from its default."""
    return (field.type == field.TYPE_MESSAGE and field.label != field.LABEL_REPEATED) or field.HasField("oneof_index")


def _quote(name: str) -> str:
    return f'"{name}"'
