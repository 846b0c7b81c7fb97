"""The newest spans, for pages: bounded in number and in bytes.

Floor 5, agent: imports clients, limits and ``puremux.proto``.

Spans are held as they came, a request at a time: taking one apart would cost more than all else that is done with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from ..proto import trace_pb2
from .clients import ClientIdentity
from .limits import AgentLimits

__all__ = ["HeldSpan", "RecentSpans"]


class HeldSpan(NamedTuple):
    """A span and who sent it."""

    client: ClientIdentity
    span: trace_pb2.Span


class _Bundle(NamedTuple):
    client: ClientIdentity
    spans: Sequence[trace_pb2.Span]
    size: int


class RecentSpans:
    """A ring of spans.  The oldest request makes room as a whole."""

    def __init__(self, limits: AgentLimits) -> None:
        self._limits = limits
        self._bundles: deque[_Bundle] = deque()
        self.count = 0
        self.bytes = 0
        """On the wire."""

    def add(self, client: ClientIdentity, spans: Sequence[trace_pb2.Span], size: int) -> None:
        """Hold the spans of a request of so many bytes; of more than there is room for, the last ones."""
        limit = self._limits.max_spans_held
        if len(spans) > limit:
            spans = spans[len(spans) - limit :]
        if not spans or size > self._limits.max_span_bytes_held:
            return
        self._bundles.append(_Bundle(client, spans, size))
        self.count += len(spans)
        self.bytes += size
        while self.count > limit or self.bytes > self._limits.max_span_bytes_held:
            oldest = self._bundles.popleft()
            self.count -= len(oldest.spans)
            self.bytes -= oldest.size

    def newest(self, most: int) -> list[HeldSpan]:
        """At most so many spans, the newest first."""
        found: list[HeldSpan] = []
        for bundle in reversed(self._bundles):
            for span in reversed(bundle.spans):
                if len(found) >= most:
                    return found
                found.append(HeldSpan(bundle.client, span))
        return found
