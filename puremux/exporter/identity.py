"""Who sends: the Node and the Resource that open every stream.

Floor 4, exporter: imports ``puremux.proto`` and reading.
Spec: opencensus-proto, agent/common/v1/common.proto and resource/v1/resource.proto; opencensus-specs,
resource/Resource.md for the environment variables and for merging.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any, Callable

from .._version import __version__
from ..logs import CarefulLogger
from ..proto import common_pb2, resource_pb2, trace_service_pb2
from ..proto.well_known_pb2 import Timestamp
from .reading import describe, text

__all__ = ["Identity", "merge_resources", "parse_labels", "resource_from_environment", "resource_of"]

logger = CarefulLogger("puremux.exporter")

TYPE_VARIABLE = "OC_RESOURCE_TYPE"
LABELS_VARIABLE = "OC_RESOURCE_LABELS"
LONGEST = 256  # characters of a resource's type, and of a label's key and value
LABEL = re.compile(
    r"""\s* (?P<key>   "(?:[^"\\]|\\.)*" | '[^']*' | [^,="']+? ) \s* =
        \s* (?P<value> "(?:[^"\\]|\\.)*" | '[^']*' | [^,="']*? ) \s* (?:,|$)""",
    re.VERBOSE,
)


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
        self._node: common_pb2.Node | None = None

    def node_message(self) -> common_pb2.Node:
        """The Node of the process that asks."""
        if os.getpid() != self._pid:
            self._pid, self._started = os.getpid(), self._clock()
            self._node = None
        if self._node is None:  # not made before it is needed: opencensus may be imported after this exporter
            self._node = self._new_node()
        return self._node

    def node(self) -> bytes:
        """The Node, serialized."""
        return self.node_message().SerializeToString(deterministic=True)

    def in_request(self) -> bytes:
        """Node and Resource as they stand in a stream's first message, before its spans or metrics."""
        return _in_request(self.node_message(), self.resource)

    def of_request(self, request: Any) -> bytes | None:
        """Node and Resource of a ready-made request; None when it names neither.

        A Node of its own without a Resource is sent with an empty one, lest the agent take the stream's last.
        """
        if request.HasField("node"):
            return _in_request(request.node, request.resource)
        return _in_request(self.node_message(), request.resource) if request.HasField("resource") else None

    def _new_node(self) -> common_pb2.Node:
        seconds, nanos = divmod(self._started, 10**9)
        return common_pb2.Node(
            identifier=common_pb2.ProcessIdentifier(
                host_name=self._host_name,
                pid=self._pid,
                start_timestamp=Timestamp(seconds=seconds, nanos=nanos),
            ),
            library_info=common_pb2.LibraryInfo(
                language=common_pb2.LibraryInfo.PYTHON,
                exporter_version=__version__,
                core_library_version=_core_library_version(),
            ),
            service_info=common_pb2.ServiceInfo(name=self._service_name),
            attributes=self._attributes,
        )


def _in_request(node: common_pb2.Node, resource: resource_pb2.Resource) -> bytes:
    """The two as fields of a request; the requests of both Export services number them alike."""
    request = trace_service_pb2.ExportTraceServiceRequest(node=node, resource=resource)
    return request.SerializeToString(deterministic=True)


def _core_library_version() -> str:
    """The version of opencensus, where the program uses it."""
    if "opencensus" not in sys.modules:
        return ""
    from importlib import metadata  # here, since it takes longer to import than all of puremux.exporter

    try:
        return metadata.version("opencensus")
    except Exception:  # noqa: BLE001  it is not installed, or so that it cannot be read: no reason to send nothing
        return ""


# Resources


def resource_of(given: Any) -> resource_pb2.Resource:
    """The message for what describes a resource.

    Args:
        given: a mapping of labels; an object with ``type`` and ``labels``, such as opencensus's ``Resource`` or the
            message; or a detector, a function without arguments that returns one of these or None.  A detector
            that fails is logged, and nothing is known of the resource.
    Raises:
        TypeError: it is none of these.
    """
    if callable(given):
        return _detected(given)
    if given is None:
        return resource_pb2.Resource()
    if isinstance(given, Mapping):
        return _resource("", given)
    if hasattr(given, "type") and hasattr(given, "labels"):
        return _resource(given.type, given.labels)
    raise TypeError(
        f"resource takes a mapping of labels, an object with type and labels, or a function that returns one of these, "
        f"not {describe(given)}"
    )


def merge_resources(*resources: resource_pb2.Resource) -> resource_pb2.Resource:
    """One resource of several: the first that has a type, or a label, and not an empty one, decides it."""
    merged = resource_pb2.Resource()
    for resource in resources:
        merged.type = merged.type or resource.type
        for key, value in resource.labels.items():
            merged.labels[key] = merged.labels.get(key) or value
    return merged


def resource_from_environment(environment: Mapping[str, str] | None = None) -> resource_pb2.Resource:
    """The resource that ``OC_RESOURCE_TYPE`` and ``OC_RESOURCE_LABELS`` describe; what can't be read is logged.

    Args:
        environment: None for the process's own.
    """
    environment = os.environ if environment is None else environment
    resource = resource_pb2.Resource()
    try:
        resource.type = _checked(environment.get(TYPE_VARIABLE, "").strip())
    except ValueError as error:
        logger.warning("puremux: %s is ignored: %s", TYPE_VARIABLE, error)
    try:
        resource.labels.update(parse_labels(environment.get(LABELS_VARIABLE, "")))
    except ValueError as error:
        logger.warning("puremux: %s is ignored: %s", LABELS_VARIABLE, error)
    return resource


def parse_labels(given: str) -> dict[str, str]:
    r"""Read labels as ``OC_RESOURCE_LABELS`` has them: ``k8s.pod.name="pod-1",zone=a``.

    Keys and values may be quoted, and must be if they contain a comma, a ``=`` or a quote; within double quotes a
    backslash precedes ``"`` and ``\``.  Of two labels with one key the later holds.

    Raises:
        ValueError: with a sentence, when it is not of this form, or has other than printable ASCII.
    Source: opencensus-specs, resource/Resource.md.  It knows no percent-encoding, and neither do the libraries.
    """
    labels = {}
    rest = given.strip().rstrip(",")
    position = 0
    while position < len(rest):
        match = LABEL.match(rest, position)
        if match is None:
            raise ValueError(f'{describe(rest[position:])} does not begin with key=value or key="value"')
        key, value = _unquoted(match["key"]), _unquoted(match["value"])
        if not key:
            raise ValueError(f"{describe(rest[position:])} begins with a label that has no key")
        labels[_checked(key)] = _checked(value)
        position = match.end()
    return labels


def _unquoted(word: str) -> str:
    if word[:1] == '"':
        return re.sub(r"\\(.)", r"\1", word[1:-1])
    return word[1:-1] if word[:1] == "'" else word


def _checked(word: str) -> str:
    if len(word) > LONGEST or not (word.isascii() and word.isprintable()):
        raise ValueError(f"{describe(word)} is not at most {LONGEST} characters of printable ASCII")
    return word


def _detected(detector: Callable[[], Any]) -> resource_pb2.Resource:
    try:
        found = detector()
    except Exception as error:  # noqa: BLE001  somebody's function, which may ask the network
        logger.warning("puremux: the resource detector failed, and no resource is sent: %s", describe(error))
        return resource_pb2.Resource()
    return resource_of(None if callable(found) else found)


def _resource(kind: Any, labels: Mapping[Any, Any] | None) -> resource_pb2.Resource:
    texts = {text(key): text(value) for key, value in (labels or {}).items()}
    return resource_pb2.Resource(type=text(kind or ""), labels=texts)
