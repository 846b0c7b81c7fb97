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
    """Tell a class and those nested in it where they live, so that they can be pickled."""
    cls: Any = _class_for(descriptor)
    cls.__module__, cls.__qualname__ = module, qualname
    for nested in descriptor.nested_types:
        if not nested.GetOptions().map_entry:  # protoc makes an entry message up for each map field
            setattr(cls, nested.name, _build(nested, module, f"{qualname}.{nested.name}"))
    return cls
