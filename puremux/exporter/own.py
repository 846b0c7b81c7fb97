"""The exporter's own metrics: what ``stats()`` tells, as OpenCensus metrics for the agent.

Floor 4, exporter: imports the standard library only.
Source: opencensus.metrics.export, whose shapes they have.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["OwnMetrics"]

Series = Mapping[tuple[str, ...], int]
"""Values by their labels."""

PREFIX = "puremux/exporter/"
GAUGE_INT64, CUMULATIVE_INT64 = 1, 4  # opencensus.metrics.export.metric_descriptor.MetricDescriptorType

HELD = {
    "queue": "handed over, not encoded yet",
    "waiting": "encoded, not sent yet",
    "unconfirmed": "sent, not proven to have arrived",
}
COUNTED = {
    "accepted": "handed over",
    "sent": "sent for the first time",
    "confirmed": "proven to have arrived",
    "replayed": "sent again",
}


class OwnMetrics:
    """Makes metrics of an exporter's counts; the cumulative ones begin when this is made."""

    def __init__(self) -> None:
        self._start = time.time()

    def of(self, stats: Mapping[str, Any]) -> Iterator[Any]:
        """The metrics of what :meth:`puremux.Exporter.stats` has told."""
        from datetime import datetime, timezone  # loaded with the encoders, not with the exporter

        start, now = datetime.fromtimestamp(self._start, timezone.utc), datetime.now(timezone.utc)
        metric = functools.partial(_metric, start, now)
        counts = {"spans": stats, "metrics": stats["metrics"]}
        for kind, names in ((GAUGE_INT64, HELD), (CUMULATIVE_INT64, COUNTED)):
            for name, description in names.items():
                series: Series = {(signal,): of[name] for signal, of in counts.items()}
                yield metric(name, f"Items {description}.", kind, ("signal",), series)
        dropped: Series = {(signal, reason): n for signal, of in counts.items() for reason, n in of["dropped"].items()}
        yield metric("dropped", "Items given up.", CUMULATIVE_INT64, ("signal", "reason"), dropped)
        reconnects: Series = {(): stats["reconnects"]}
        yield metric("reconnects", "Connections made after the first one.", CUMULATIVE_INT64, (), reconnects)


def _metric(
    start: datetime, now: datetime, name: str, description: str, kind: int, keys: tuple[str, ...], series: Series
) -> Any:
    return SimpleNamespace(
        descriptor=SimpleNamespace(
            name=PREFIX + name,
            description=description,
            unit="1",
            type=kind,
            label_keys=[SimpleNamespace(key=key, description="") for key in keys],
        ),
        time_series=[
            SimpleNamespace(
                start_timestamp=start,
                label_values=[SimpleNamespace(value=label) for label in labels],
                points=[SimpleNamespace(value=SimpleNamespace(value=value), timestamp=now)],
            )
            for labels, value in series.items()
        ],
    )
