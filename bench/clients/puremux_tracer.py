"""puremux with opencensus's tracer making the spans."""

from __future__ import annotations

from measure import measured, options, tell
from opencensus.trace import samplers, tracer
from opencensus_spans import fill

import puremux


def main() -> None:
    asked = options()
    exporter = puremux.Exporter(asked.address, service_name="bench", queue_size=asked.spans + 1)
    made = tracer.Tracer(exporter=exporter, sampler=samplers.AlwaysOnSampler())
    exporter.flush()

    def work() -> None:
        for i in range(asked.spans):
            with made.span("bench-span") as span:
                fill(span, i, asked.attributes)
        assert exporter.flush(120)

    record = measured(asked.spans, work)
    assert exporter.stats()["confirmed"] == asked.spans, exporter.stats()
    tell(record)
    exporter.stop()


if __name__ == "__main__":
    main()
