"""The newest spans, for pages: bounded in number and in bytes.

Floor 5, agent: imports clients, limits and ``puremux.proto``.

Requests are held as the bytes that they came in, whose memory is known: spans that hold little but empty messages take
twenty times as much once they are read.  They are read when somebody looks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..proto import trace_pb2, trace_service_pb2
from .clients import ClientIdentity
from .limits import AgentLimits

__all__ = ["Bundle", "HeldSpan", "RecentSpans", "newest"]


class HeldSpan(NamedTuple):
    """A span and who sent it."""

    client: ClientIdentity
    span: trace_pb2.Span


class Bundle(NamedTuple):
    """The spans of one request."""

    client: ClientIdentity
    payload: bytes
    spans: int
    """How many of its last ones are held."""


class RecentSpans:
    """A ring of spans.  The oldest request makes room as a whole."""

    def __init__(self, limits: AgentLimits) -> None:
        self._limits = limits
        self._bundles: deque[Bundle] = deque()
        self.count = 0
        self.bytes = 0

    def add(self, client: ClientIdentity, payload: bytes, count: int) -> None:
        """Hold the spans of a request that has so many; of more than there is room for, the last ones."""
        limit = self._limits.max_spans_held
        count = min(count, limit)
        if not count or len(payload) > self._limits.max_span_bytes_held:
            return
        self._bundles.append(Bundle(client, payload, count))
        self.count += count
        self.bytes += len(payload)
        while self.count > limit or self.bytes > self._limits.max_span_bytes_held:
            oldest = self._bundles.popleft()
            self.count -= oldest.spans
            self.bytes -= len(oldest.payload)

    def bundles(self) -> Sequence[Bundle]:
        """What is held, the newest first."""
        return tuple(reversed(self._bundles))


def newest(bundles: Iterable[Bundle], most: int) -> list[HeldSpan]:
    """At most so many spans, the newest first."""
    found: list[HeldSpan] = []
    for bundle in bundles:
        spans = trace_service_pb2.ExportTraceServiceRequest.FromString(bundle.payload).spans
        wanted = min(bundle.spans, most - len(found))
        found += [HeldSpan(bundle.client, span) for span in reversed(spans[len(spans) - wanted :])]
        if len(found) >= most:
            break
    return found
