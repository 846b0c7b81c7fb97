"""puremux alone: what a span costs with few attributes and with many, all of one kind: texts of ten values each.

They have their turns within one process, each a fraction of a second: an attribute costs a fraction of what a noisy
machine adds to a span, and of that by which one process differs from the next.
"""

from __future__ import annotations

import statistics
from typing import Any

from measure import BATCH, cpu_seconds, options, tell
from opencensus.trace import samplers, tracer
from opencensus_spans import Keep, fill

import puremux

ATTRIBUTES = (1, 2, 4, 8, 16, 32)
SPANS = 4_000  # of each number of attributes
TURNS = 25  # the first of which only warms up


def spans_with(number: int) -> list[Any]:
    """Spans like those of the other clients, but for their attributes."""
    keep = Keep()
    made = tracer.Tracer(exporter=keep, sampler=samplers.AlwaysOnSampler())
    for i in range(SPANS):
        with made.span("bench-span") as span:
            fill(span, i, 0)
            for key in range(number):
                span.add_attribute(f"key{key}", f"value {(i + key) % 10}")
    return keep.spans


def main() -> None:
    asked = options()
    spans = {number: spans_with(number) for number in ATTRIBUTES}
    exporter = puremux.Exporter(asked.address, service_name="bench", queue_size=SPANS + 1)
    took: dict[int, list[float]] = {number: [] for number in ATTRIBUTES}
    for _ in range(TURNS):
        for number, made in spans.items():
            before = cpu_seconds()
            for begin in range(0, SPANS, BATCH):
                exporter.export(made[begin : begin + BATCH])
            assert exporter.flush(120)
            took[number].append((cpu_seconds() - before) / SPANS * 1e6)
    stats = exporter.stats()
    assert stats["confirmed"] == stats["accepted"], stats
    tell({str(number): statistics.median(of_turns[1:]) for number, of_turns in took.items()})
    exporter.stop()


if __name__ == "__main__":
    main()
