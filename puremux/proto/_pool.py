"""The descriptor pool that all of puremux.proto shares, and how a descriptor becomes a class.

Floor 4: imports protobuf only.  Everything here serves the generated modules.

protobuf keeps one pool for the whole process, and refuses two files there that define one name differently.  Ours
are not in it: every file, Timestamp included, is added to a pool that nobody else knows.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message

__all__ = ["POOL", "add_file", "enum_wrapper", "message_class"]

POOL = descriptor_pool.DescriptorPool()

if hasattr(message_factory, "GetMessageClass"):
    _class_for = message_factory.GetMessageClass
else:  # protobuf 4.21
    _class_for = message_factory.MessageFactory(POOL).GetPrototype  # type: ignore[attr-defined]  # later ones lack it


def add_file(serialized: bytes) -> FileDescriptor:
    """Add a serialized FileDescriptorProto to the pool, after the files that it imports."""
    return POOL.AddSerializedFile(serialized)


def message_class(file: FileDescriptor, name: str, module: str) -> Any:
    """The class of a message at the top of a file; the messages nested in it are its attributes."""
    return _build(file.message_types_by_name[name], module, name)


def enum_wrapper(file: FileDescriptor, name: str) -> Any:
    """What stands for an enum at the top of a file: maps names to numbers and back."""
    return EnumTypeWrapper(file.enum_types_by_name[name])


def _build(descriptor: Descriptor, module: str, qualname: str) -> Any:
    """Make the class of a message and of those nested in it, and tell each where it lives."""
    cls: Any = _class_for(descriptor)
    cls.__module__, cls.__qualname__, cls.__reduce__ = module, qualname, _reduce
    for nested in descriptor.nested_types:
        setattr(cls, nested.name, _build(nested, module, f"{qualname}.{nested.name}"))
    return cls


def _reduce(message: Message) -> tuple[Any, ...]:
    """How a message is pickled.  protobuf's own way looks a nested class up in the pool that ours are not in."""
    return _parse, (type(message), message.SerializeToString())


def _parse(cls: type[Message], serialized: bytes) -> Message:
    return cls.FromString(serialized)
