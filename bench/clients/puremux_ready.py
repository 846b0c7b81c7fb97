"""puremux alone: ready spans, in batches, until the agent has proven that it has them."""

from __future__ import annotations

from measure import measured, options, tell
from opencensus_spans import ready

import puremux


def main() -> None:
    asked = options()
    spans = ready(min(asked.spans, 10_000), asked.attributes)
    exporter = puremux.Exporter(
        asked.address, service_name="bench", queue_size=asked.spans + 1, bundle_count=asked.batch
    )
    exporter.export(spans[:1])  # the peers' clients do the same: what is loaded and made only once is behind them
    assert exporter.flush(120)

    def work() -> None:
        for begin in range(0, asked.spans, asked.batch):
            at = begin % len(spans)
            exporter.export(spans[at : at + asked.batch])
        assert exporter.flush(120)

    record = measured(asked.spans, work)
    stats = exporter.stats()
    assert stats["confirmed"] == stats["accepted"], stats
    tell(record)
    exporter.stop()


if __name__ == "__main__":
    main()
