"""Who sends on a stream: its Node and Resource, as they were told last.

Floor 5, agent: imports clients, limits, refusal and ``puremux.proto``.
Spec: opencensus-proto, agent/trace/v1/trace_service.proto and agent/metrics/v1/metrics_service.proto.
"""

from __future__ import annotations

from typing import Union

from ..proto import common_pb2, metrics_service_pb2, resource_pb2, trace_service_pb2
from .clients import ClientIdentity, identify
from .limits import AgentLimits
from .refusal import LimitReached, ProtocolViolation, Reason

__all__ = ["Request", "Sender", "message_key"]

Request = Union[trace_service_pb2.ExportTraceServiceRequest, metrics_service_pb2.ExportMetricsServiceRequest]


class Sender:
    """The Node and the Resource that hold on one stream.  Each is replaced by the next of its own kind."""

    def __init__(self, limits: AgentLimits) -> None:
        self._limits = limits
        self.is_introduced = False
        self.node = common_pb2.Node()
        self.resource = resource_pb2.Resource()
        self.identity: ClientIdentity = identify(self.node)
        self.node_key = b""
        """The Node, serialized."""
        self.resource_key = b""
        """The Resource, serialized."""

    def hear(self, request: Request) -> None:
        """Learn from a message who sends it.

        Raises:
            ProtocolViolation: it is the stream's first, and has no Node.
            LimitReached: its Node or Resource is too large.
        """
        if request.HasField("node"):
            self.node_key = message_key(request.node, self._limits)
            self.node = common_pb2.Node.FromString(self.node_key)  # a copy, which does not keep the request alive
            self.identity, self.is_introduced = identify(self.node), True
        elif not self.is_introduced:
            raise ProtocolViolation(Reason.NO_NODE, "Export's first message must have a Node")
        if request.HasField("resource"):
            self.resource_key = message_key(request.resource, self._limits)
            self.resource = resource_pb2.Resource.FromString(self.resource_key)


def message_key(message: common_pb2.Node | resource_pb2.Resource, limits: AgentLimits) -> bytes:
    """A Node's or Resource's bytes, the same for equal ones.

    Raises:
        LimitReached: there are too many.
    """
    key = message.SerializeToString(deterministic=True)
    if len(key) > limits.max_node_bytes:
        raise LimitReached(Reason.NODE_TOO_LARGE, limits)
    return key
