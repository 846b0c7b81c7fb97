"""``make bench``: puremux beside its peers, the same spans, the same sink, one run, one report.

    python -m bench [--rounds N] [--spans N] [--quick] [--write]

The sink is the OpenTelemetry Collector with the OpenCensus receiver, in another process, discarding what it gets.  What
is measured is the client's process alone.  The machine may be noisy: read the ratios, which come from rounds in which
the systems take turns.  ``--write`` puts the report and its chart into docs/reference/.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from bench.footprint import installed, on_disk
from bench.growth import Growth
from bench.report import Report
from bench.systems import by_library, exporters, pythons, take_turns, tracers
from tests.interop.harness.collector import Collector
from tests.interop.harness.process import ROOT

FOLDER = ROOT / "docs" / "reference"


def measure(rounds: int, spans: int) -> Report:
    """Everything, in one run."""
    alone, traced = exporters(), tracers()
    handing = by_library("handing_over.py", pythons())
    with tempfile.TemporaryDirectory() as folder, Collector("sink", Path(folder)) as collector:
        interpreters = installed(Path(folder) / "venv")
        starting, sizes = by_library("starting.py", interpreters), on_disk(interpreters)
        first = by_library("first_span.py", installed(Path(folder) / "with-tracer", tracer=True))
        take_turns([*alone, *traced], collector, rounds, spans)
        take_turns([*starting, *first, *handing], collector, rounds)
        growth = Growth(collector, rounds, max(spans // 4, 5_000))
    return Report(rounds, spans, alone, traced, starting, first, handing, sizes, growth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--spans", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="one round, few spans: does it run?")
    parser.add_argument("--write", action="store_true", help="write docs/reference/benchmarks.md and its chart")
    asked = parser.parse_args()
    report = measure(1, 5_000) if asked.quick else measure(asked.rounds, asked.spans)
    print(report.text())
    if asked.write:
        from bench.chart import draw

        (FOLDER / "benchmarks.md").write_text(f"# Benchmarks\n\n{report.text()}\n![CPU time a span](benchmarks.svg)\n")
        draw(report.cpu_by_system(), FOLDER / "benchmarks.svg")


if __name__ == "__main__":
    main()
