"""The demo's own agent, and what it has received.

Floor 5, demo: imports agent.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType

from ..agent import Agent
from ..agent.values import Value
from ..agent.views import SpansReceived

__all__ = ["EmbeddedAgent"]


class EmbeddedAgent:
    """An agent on a free port of this machine.

    Args:
        prometheus: where it serves its page, as ``host:port``; port 0 for any free one.  Its zPages are on a free port.
    Raises:
        AddressError: that address cannot be read.
        PuremuxError: jinja2 is not installed.
        OSError: it cannot be listened on.
    """

    def __init__(self, prometheus: str) -> None:
        self._span_ids: set[bytes] = set()
        self._agent = Agent("127.0.0.1:0", prometheus=prometheus, zpages="127.0.0.1:0")
        self._agent.store.on_spans(self._remember)
        self.address = self._agent.address
        self.page = self._agent.page
        self.zpages = self._agent.zpages

    def _remember(self, received: SpansReceived) -> None:
        self._span_ids.update(span.span_id for span in received.request.spans)

    @property
    def spans(self) -> int:
        """Distinct spans received: one that came twice, after a break, counts once."""
        return len(self._span_ids)

    def counts(self, names: Iterable[str]) -> dict[str, int]:
        """How many measurements each metric of a list sums up."""
        counts = dict.fromkeys(names, 0)
        for source in self._agent.store.metrics():
            for metric in source.metrics:
                if metric.descriptor.name in counts:
                    counts[metric.descriptor.name] += sum(_count(value) for _, value in metric.points)
        return counts

    def __enter__(self) -> EmbeddedAgent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._agent.stop()


def _count(value: Value) -> int:
    return int(value) if isinstance(value, (int, float)) else value.count or 0
