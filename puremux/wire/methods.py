"""Types of messages, by the method that carries them.

Floor 5, wire: imports records, and the services of puremux.proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from google.protobuf.descriptor import Descriptor, FileDescriptor

from ..proto import health_pb2, metrics_service_pb2, trace_service_pb2
from .records import CLIENT

__all__ = ["Methods"]

OURS = (trace_service_pb2.DESCRIPTOR, metrics_service_pb2.DESCRIPTOR, health_pb2.DESCRIPTOR)


class Methods:
    """The methods whose messages are known.

    Args:
        files: whose services to know besides those of OpenCensus and of health checking.
    """

    def __init__(self, files: Iterable[FileDescriptor] = ()) -> None:
        self._types: Mapping[str, tuple[Descriptor, Descriptor]] = {
            f"/{service.full_name}/{method.name}": (method.input_type, method.output_type)
            for file in (*OURS, *files)
            for service in file.services_by_name.values()
            for method in service.methods
        }

    def message_type(self, path: str, sender: str) -> Descriptor | None:
        """The type of the messages that one end sends; None if the method is not known."""
        types = self._types.get(path)
        if types is None:
            return None
        return types[0] if sender == CLIENT else types[1]
