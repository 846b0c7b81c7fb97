"""Hands on what the agent receives to the next agent, by our own exporter and with its guarantees.

Floor 5, agent: imports refusal and views, and exporter and ``puremux.proto`` below.
Spec: docs/explanation/agent.md says what a client may take its OK for.

What is handed on keeps the Node and the Resource that its stream has told.  The exporter holds it until the next agent
has confirmed it.  When as much is held as may be, a client is refused, and keeps what it has: nothing is dropped here
to make room.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ..exporter import Exporter
from ..proto import metrics_service_pb2, trace_service_pb2
from .refusal import ForwarderFull
from .views import ForwardView, MetricsReceived, SpansReceived

__all__ = ["HOP", "Forwarder", "NextAgent"]

HOP = "puremux-agent"  # metadata of what an agent hands on: its name, by which it knows it again

MOST_BYTES = 1024 * 1024  # of a message: careful agents refuse larger ones, and a Node may have to go in front

T = TypeVar("T")


@dataclass(frozen=True)
class NextAgent:
    """Where everything is handed on to."""

    address: str
    insecure: bool | None = None
    """As :class:`puremux.Exporter` takes it, and so the next."""

    tls: ssl.SSLContext | None = None

    def exporter(self, name: str) -> Exporter:
        """What hands on to there for the agent of this name."""
        options: dict[str, Any] = {"insecure": self.insecure, "tls": self.tls, "headers": {HOP: name}}
        return Exporter(self.address, service_name="puremux agent", start=False, **options)


class Forwarder:
    """Listens to a store, and exports.

    Args:
        to: the next agent, or an exporter with options of its own, which this object then stops.
        name: of the agent that hands on; an exporter of one's own does not tell it.
    Raises:
        AddressError: the address cannot be read.
    """

    def __init__(self, to: NextAgent | Exporter, name: str) -> None:
        self.target = to.address if isinstance(to, NextAgent) else "the next agent"
        self._exporter = to.exporter(name) if isinstance(to, NextAgent) else to
        self._exporter.start()

    @property
    def addresses(self) -> list[str]:
        """Of the next agent; an exporter of one's own may have several."""
        return self._exporter.target.split(", ")

    def spans(self, received: SpansReceived) -> None:
        """Hand on the spans of a request.

        Raises:
            ForwarderFull: not all of them are taken; the client may send them again.
        """
        for spans in _pieces(received.request.spans, received.request.ByteSize()):
            request = trace_service_pb2.ExportTraceServiceRequest(
                node=received.node, resource=received.resource, spans=spans
            )
            if not self._exporter.export_trace_request(request, make_room=False):
                raise ForwarderFull(self.target)

    def metrics(self, received: MetricsReceived) -> None:
        """Hand on the metrics of a request.

        Raises:
            ForwarderFull: as with spans.
        """
        for metrics in _pieces(received.request.metrics, received.request.ByteSize()):
            request = metrics_service_pb2.ExportMetricsServiceRequest(
                node=received.node, resource=received.resource, metrics=metrics
            )
            if not self._exporter.export_metrics_request(request, make_room=False):
                raise ForwarderFull(self.target)

    def view(self) -> ForwardView:
        """What became of all that was to be handed on."""
        stats: dict[str, Any] = self._exporter.stats()
        return ForwardView(self.target, stats["state"], stats["last_error"], stats, stats["metrics"])

    def stop(self, timeout: float) -> bool:
        """Have all confirmed that is held, within so many seconds; False if some was not, which is then lost."""
        return self._exporter.stop(timeout)


def _pieces(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items of a message of so many bytes, in parts that fit into messages of their own."""
    parts = max(1, -(-size // MOST_BYTES))
    step = max(1, -(-len(items) // parts))
    for begin in range(0, len(items), step):
        yield items[begin : begin + step]
