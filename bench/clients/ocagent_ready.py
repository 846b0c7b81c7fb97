"""opencensus-ext-ocagent alone: ready spans, in batches, each batch an Export call that is waited for."""

from __future__ import annotations

from measure import measured, options, tell
from opencensus.ext.ocagent.trace_exporter import TraceExporter
from opencensus_spans import ready


def main() -> None:
    asked = options()
    spans = ready(min(asked.spans, 10_000), asked.attributes)
    exporter = TraceExporter("bench", endpoint=asked.address)
    exporter.emit(spans[:1])

    def work() -> None:
        for begin in range(0, asked.spans, asked.batch):
            at = begin % len(spans)
            exporter.emit(spans[at : at + asked.batch])

    tell(measured(asked.spans, work))


if __name__ == "__main__":
    main()
