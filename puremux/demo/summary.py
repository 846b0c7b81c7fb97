"""The demo's figures: how things stand while it runs, and whether all that was recorded arrived.

Floor 5, demo: imports the standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Flow", "Snapshot", "Summary"]


@dataclass(frozen=True)
class Flow:
    """What became of the spans, or of the metrics, so far; numbers of items."""

    accepted: int
    sent: int
    replayed: int
    """Put on a stream again, after a break."""

    confirmed: int
    dropped: Mapping[str, int]
    """By reason."""

    @classmethod
    def of(cls, stats: Mapping[str, Any]) -> Flow:
        """Read one signal's part of :meth:`puremux.Exporter.stats`."""
        return cls(stats["accepted"], stats["sent"], stats["replayed"], stats["confirmed"], stats["dropped"])

    @property
    def lost(self) -> int:
        """Items that nobody has proven to have arrived."""
        return self.accepted - self.confirmed

    def dropped_as_text(self) -> str:
        """The number of items dropped, and why."""
        why = ", ".join(f"{reason}: {count}" for reason, count in self.dropped.items())
        return f"{sum(self.dropped.values())}" + (f" ({why})" if why else "")


@dataclass(frozen=True)
class Snapshot:
    """How things stand."""

    seconds: float
    """Since the start."""

    spans_ended: int
    measurements: int
    latest_ms: float
    """The newest latency recorded, in milliseconds."""

    spans: Flow
    metrics: Flow
    state: str
    reconnects: int
    last_error: str | None

    @property
    def is_connected(self) -> bool:
        """True while there is a connection to the agent."""
        return self.state == "ready"

    @property
    def flows(self) -> list[tuple[str, str, Flow]]:
        """Rows of the table: name, what was recorded, what became of it."""
        return [
            ("spans", str(self.spans_ended), self.spans),
            ("metrics", f"{self.measurements} measurements", self.metrics),
        ]

    def caption(self) -> str:
        """What stands below the table."""
        trouble = f"; {self.last_error}" if self.last_error and not self.is_connected else ""
        return f"latest: {self.latest_ms:.3f} ms; reconnects: {self.reconnects}{trouble}"

    def as_line(self) -> str:
        """All that matters in one line."""
        spans, metrics = self.spans, self.metrics
        again = f" ({spans.replayed} of them again)" if spans.replayed else ""
        return (
            f"{self.seconds:4.0f} s  {self.state}: spans {self.spans_ended} ended, {spans.sent} sent{again},"
            f" {spans.confirmed} confirmed, {spans.dropped_as_text()} dropped;"
            f" metrics {metrics.sent} sent, {metrics.confirmed} confirmed"
        )


@dataclass(frozen=True)
class Summary:
    """Whether what was recorded arrived."""

    spans_ended: int
    spans: Flow
    metrics: Flow
    recorded: Mapping[str, int]
    """Measurements by view."""

    received_spans: int | None
    """Distinct spans that the embedded agent has; None when the agent is another."""

    received: Mapping[str, int] | None
    """Measurements by view, as the embedded agent has them."""

    @property
    def is_complete(self) -> bool:
        """True when everything was confirmed, and everything is with the embedded agent."""
        confirmed = self.spans_ended == self.spans.confirmed and not self.metrics.lost
        there = self.received_spans in (None, self.spans_ended)
        return confirmed and there and (self.received is None or dict(self.received) == dict(self.recorded))

    def as_text(self) -> str:
        """The closing lines."""
        again = f" ({self.spans.replayed} were sent again after a break)" if self.spans.replayed else ""
        counts = [(self.spans_ended, "ended"), (self.spans.confirmed, "confirmed")]
        if self.received_spans is not None:
            counts.append((self.received_spans, "at the agent"))
        lines = [f"spans: {_compared(counts)}{again}"]
        for view, count in self.recorded.items():
            counts = [(count, "recorded")]
            if self.received is not None:
                counts.append((self.received.get(view, 0), "at the agent"))
            lines.append(f"{view}: {_compared(counts)}")
        return "\n".join([*lines, "Nothing was lost." if self.is_complete else self._loss()])

    def _loss(self) -> str:
        spans = self.spans_ended - self.spans.confirmed
        if not spans and not self.metrics.lost:
            return "All was confirmed, but the agent does not have the same figures."
        return (
            f"LOST, or not proven to have arrived: {spans} spans (dropped: {self.spans.dropped_as_text()}),"
            f" {self.metrics.lost} metrics (dropped: {self.metrics.dropped_as_text()})."
        )


def _compared(counts: Sequence[tuple[int, str]]) -> str:
    """Figures with an equals sign between equal neighbours, as in ``5 ended = 5 confirmed``."""
    text = " ".join(map(str, counts[0]))
    for (before, _), (count, what) in zip(counts, counts[1:]):
        text += f" {'=' if count == before else '!='} {count} {what}"
    return text
