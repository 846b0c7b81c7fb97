"""How much the agent takes from its clients before it refuses.

Floor 5, agent: imports server's limits.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..server import ServerLimits

__all__ = ["AgentLimits"]

LARGEST = 2**63 - 1
MOST = {"max_streams": 2**31 - 1}  # what SETTINGS_MAX_CONCURRENT_STREAMS allows with ids for so many


@dataclass(frozen=True)
class AgentLimits:
    """What the agent holds at the most.  What goes beyond is refused, and counted under a reason.

    The client is told by RESOURCE_EXHAUSTED, but for a single metric that is beyond a limit: the next one may be good.
    Spans as such are not refused: they go to the listeners, and of those held for pages the newest stay.

    Raises:
        ValueError: a limit is below zero, or is no number.
    """

    max_connections: int = 20_000
    """Connections at one time; further ones are told GOAWAY and closed."""

    max_streams: int = 100
    """Calls that a client may have running on a connection."""

    max_message_bytes: int = 4 * 1024 * 1024
    """Bytes of a message, also after decompression."""

    max_message_items: int = 100_000
    """Spans of a message with their events, links and stack frames; or metrics, time series and points.  Messages of so
    many are shorter than four MiB only if most of these are nearly empty."""

    max_partial_bytes: int = 64 * 1024 * 1024
    """Bytes of messages that have not come whole, of all connections together."""

    max_clients: int = 20_000
    """Clients known, connected or not: processes, as their Nodes tell them apart."""

    max_series: int = 200_000
    """Time series of all clients together."""

    max_series_per_client: int = 5_000
    """Time series of one client."""

    max_lines_per_client: int = 50_000
    """Lines of the Prometheus page for one client: a histogram takes one for each bucket."""

    max_bytes_held: int = 256 * 1024 * 1024
    """Memory for clients and their time series, as estimated from Nodes, Resources, descriptors, labels and buckets;
    and for the lines of a page, each of which has all labels."""

    max_spans_held: int = 10_000
    """Spans kept for pages."""

    max_span_bytes_held: int = 16 * 1024 * 1024
    """Bytes of the requests with spans kept for pages."""

    max_name_length: int = 255
    """Characters of a metric's name."""

    max_descriptor_bytes: int = 16 * 1024
    """Bytes of a metric's descriptor: its name, description, unit and label keys."""

    max_labels: int = 64
    """Labels of a metric."""

    max_label_length: int = 1_024
    """Characters of a label's key, and of its value."""

    max_buckets: int = 1_000
    """Buckets of a distribution, and percentiles of a summary."""

    max_node_bytes: int = 16 * 1024
    """Bytes of a Node, and of a Resource."""

    stale_after: float = 300.0
    """Seconds without news after which a time series is forgotten, and a client."""

    @property
    def of_server(self) -> ServerLimits:
        """What concerns connections."""
        return ServerLimits(self.max_connections, self.max_streams, self.max_message_bytes, self.max_partial_bytes)

    def __post_init__(self) -> None:
        for field in fields(self):
            limit, most = getattr(self, field.name), MOST.get(field.name, LARGEST)
            if field.type == "float" and not (isinstance(limit, (int, float)) and limit >= 0):
                raise ValueError(f"AgentLimits: {field.name} takes a number from 0 up, not {limit!r}")
            if field.type == "int" and not (type(limit) is int and 0 <= limit <= most):
                up = "up" if most == LARGEST else f"to {most}"
                raise ValueError(f"AgentLimits: {field.name} takes a whole number from 0 {up}, not {limit!r}")
