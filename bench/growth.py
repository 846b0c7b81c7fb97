"""How the cost grows: with the size of a batch, the attributes of a span, the time series of a view, and the offer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.systems import ours, take_turns
from tests.interop.harness.collector import Collector

BATCHES = (1, 10, 100, 300, 1000, 5000)
SERIES = (10, 100, 1000, 10_000)
QUEUES = (5_000, 20_000, 80_000)


@dataclass
class Line:
    """A straight line through points: what there is at zero, and what each further one adds."""

    start: float
    slope: float
    fit: float
    """The coefficient of determination: 1 when the points lie on the line."""

    @classmethod
    def through(cls, points: Sequence[tuple[float, float]]) -> Line:
        """The line of least squares."""
        count = len(points)
        mean_x, mean_y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
        spread = sum((x - mean_x) ** 2 for x, _ in points)
        slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
        line = cls(mean_y - slope * mean_x, slope, 0.0)
        total = sum((y - mean_y) ** 2 for _, y in points)
        left = sum((y - line.start - slope * x) ** 2 for x, y in points)
        line.fit = 1 - left / total if total else 1.0
        return line


class Growth:
    """Our own clients in sizes, measured in turns.

    Args:
        spans: of each run; those in batches of few get fewer.
    """

    def __init__(self, collector: Collector, rounds: int, spans: int) -> None:
        count = str(spans)
        few = str(min(spans, 5_000))
        self.batches = [
            ours("puremux_ready.py", "--batch", str(size), "--spans", few if size < 100 else count) for size in BATCHES
        ]
        self.attributes = ours("puremux_attributes.py")
        self.series = [ours("puremux_series.py", "--series", str(number)) for number in SERIES]
        self.queues = [ours("puremux_offered.py", "--queue", str(size)) for size in QUEUES]
        take_turns([*self.batches, self.attributes, *self.series, *self.queues], collector, rounds)

    def by_batch(self) -> list[list[str]]:
        """Spans a batch, CPU a span."""
        return [[f"{size:,}", system.spread("cpu_us_per_span")] for size, system in zip(BATCHES, self.batches)]

    def by_attributes(self) -> tuple[list[list[str]], Line]:
        """Attributes a span, CPU a span; and the line through the medians."""
        numbers = list(self.attributes.rounds[0])
        rows = [[number, self.attributes.spread(number)] for number in numbers]
        return rows, Line.through([(float(number), self.attributes.median(number)) for number in numbers])

    def by_series(self) -> tuple[list[list[str]], Line]:
        """Time series of a view, CPU an export, CPU a series; and the line through the exports."""
        rows, points = [], []
        for number, system in zip(SERIES, self.series):
            each = system.median("cpu_us_per_span")
            points.append((float(number), each * number))
            rows.append([f"{number:,}", f"{each * number / 1000:.2f} ms", system.spread("cpu_us_per_span")])
        return rows, Line.through(points)

    def by_queue(self) -> list[list[str]]:
        """Queue size, and what became of 100,000 spans a second."""
        rows = []
        for size, system in zip(QUEUES, self.queues):
            assert not system.median("uncounted"), f"spans were neither confirmed nor counted as dropped: {system}"
            rows.append(
                [
                    f"{size:,}",
                    f"{system.median('offered_per_second'):,.0f}",
                    f"{system.median('confirmed_per_second'):,.0f}",
                    f"{system.median('dropped'):,.0f}",
                    system.spread("growth_mib"),
                ]
            )
        return rows
