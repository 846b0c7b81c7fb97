"""Who sends: the Node and the Resource that open every stream.

Floor 4, exporter: imports fields, resources and sentences; no protobuf, which takes longer to import than all of this.
Spec: opencensus-proto, agent/common/v1/common.proto.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any, Callable

from .._version import __version__
from .fields import LENGTH, VARINT, delimited, map_field, number_field, string_field, tag, timestamp_body
from .resources import resource_from_environment, resource_of
from .sentences import text

__all__ = ["Identity"]

PYTHON = 8  # LibraryInfo.Language

# Fields of ExportTraceServiceRequest and of ExportMetricsServiceRequest, which number them alike.
NODE, RESOURCE = tag(1, LENGTH), tag(3, LENGTH)
# Of Node.
IDENTIFIER, LIBRARY_INFO, SERVICE_INFO, ATTRIBUTES = (tag(number, LENGTH) for number in (1, 2, 3, 4))
# Of ProcessIdentifier.
HOST_NAME, PID, START_TIMESTAMP = tag(1, LENGTH), tag(2, VARINT), tag(3, LENGTH)
# Of LibraryInfo.
LANGUAGE, EXPORTER_VERSION, CORE_LIBRARY_VERSION = tag(1, VARINT), tag(2, LENGTH), tag(3, LENGTH)
# Of ServiceInfo.
NAME = tag(1, LENGTH)


class Identity:
    """The Node and the Resource of an exporter; in a forked child, the Node of the child.

    Args:
        service_name: of the program; None for an empty one.
        host_name: None for this machine's.
        resource: what the program runs on, as :func:`resource_of` takes it; None to read the environment.
        attributes: whatever else the Node tells.
        clock: nanoseconds since 1970.
    Raises:
        TypeError: ``resource`` is nothing that describes one.
    """

    def __init__(
        self,
        service_name: str | None = None,
        *,
        host_name: str | None = None,
        resource: Any = None,
        attributes: Mapping[str, str] | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._service_name = text(service_name or "")
        self._host_name = text(socket.gethostname() if host_name is None else host_name)
        self._attributes = {text(key): text(value) for key, value in (attributes or {}).items()}
        self._clock = clock
        self.resource = resource_from_environment() if resource is None else resource_of(resource)
        """What the program runs on, as it is sent."""
        self._pid = os.getpid()
        self._started = clock()
        self._node: bytes | None = None

    def node(self) -> bytes:
        """The Node of the process that asks, serialized."""
        if os.getpid() != self._pid:
            self._pid, self._started = os.getpid(), self._clock()
            self._node = None
        if self._node is None:  # not made before it is needed: opencensus may be imported after this exporter
            self._node = self._new_node()
        return self._node

    def in_request(self) -> bytes:
        """Node and Resource as they stand in a stream's first message, before its spans or metrics."""
        return _in_request(self.node(), self.resource.serialized())

    def of_request(self, request: Any) -> bytes | None:
        """Node and Resource of a ready-made request; None when it names neither.

        A Node of its own without a Resource is sent with an empty one, lest the agent take the stream's last.
        """
        if not request.HasField("node") and not request.HasField("resource"):
            return None
        node = request.node.SerializeToString(deterministic=True) if request.HasField("node") else self.node()
        return _in_request(node, request.resource.SerializeToString(deterministic=True))

    def _new_node(self) -> bytes:
        started = timestamp_body(*divmod(self._started, 10**9))
        identifier = (
            string_field(HOST_NAME, self._host_name)
            + number_field(PID, self._pid)
            + delimited(START_TIMESTAMP, started)
        )
        library_info = (
            number_field(LANGUAGE, PYTHON)
            + string_field(EXPORTER_VERSION, __version__)
            + string_field(CORE_LIBRARY_VERSION, _core_library_version())
        )
        return (
            delimited(IDENTIFIER, identifier)
            + delimited(LIBRARY_INFO, library_info)
            + delimited(SERVICE_INFO, string_field(NAME, self._service_name))
            + map_field(ATTRIBUTES, self._attributes)
        )


def _in_request(node: bytes, resource: bytes) -> bytes:
    """The two as fields of a request."""
    return delimited(NODE, node) + delimited(RESOURCE, resource)


def _core_library_version() -> str:
    """The version of opencensus, where the program uses it."""
    if "opencensus" not in sys.modules:
        return ""
    try:
        from importlib import metadata  # here, since it takes longer to import than all of puremux.exporter

        return metadata.version("opencensus")
    except Exception:  # noqa: BLE001  it is not installed, or so that it cannot be read: no reason to send nothing
        return ""
