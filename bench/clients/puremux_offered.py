"""puremux under more spans than it can send: 100,000 a second, each an object of its own, for ``--seconds``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from measure import tell
from opencensus_spans import ready

import puremux

RATE = 100_000  # spans a second
STEP = 0.002  # seconds between two calls of export()


def resident_mib() -> float:
    """Memory of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--queue", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    asked = parser.parse_args()
    template = ready(1)[0]
    values = dict(template.attributes)
    exporter = puremux.Exporter(asked.address, service_name="bench", queue_size=asked.queue)
    exporter.flush()
    before = peak = resident_mib()
    begin = time.monotonic()
    offered = 0
    while (gone := time.monotonic() - begin) < asked.seconds:
        due = int(gone * RATE) - offered
        exporter.export([template._replace(attributes=dict(values)) for _ in range(due)])
        offered += due
        peak = max(peak, resident_mib())
        time.sleep(STEP)
    exporter.flush(60)
    stats = exporter.stats()
    exporter.stop()
    tell(
        {
            "offered_per_second": offered / asked.seconds,
            "confirmed_per_second": stats["confirmed"] / asked.seconds,
            "dropped": sum(stats["dropped"].values()),
            "uncounted": offered - stats["confirmed"] - sum(stats["dropped"].values()),
            "growth_mib": peak - before,
        }
    )


if __name__ == "__main__":
    main()
