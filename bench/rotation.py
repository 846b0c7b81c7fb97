"""What a rotation costs, and what it saves: ``python -m bench.rotation``.

For each period, a program sends 500 spans a second to a real agent for some seconds and measures its own CPU; then the
agent is killed, and what has to be sent again is counted.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.interop.harness.collector import Collector
from tests.interop.harness.process import ROOT
from tests.shared.span_data import spans

PERIODS = (0.25, 1.0, 2.0, 5.0, 10.0)
SECONDS = 12.0


def one(address: str, period: float) -> None:
    """Be the program."""
    from puremux.exporter import Exporter, Pace

    exporter = Exporter(address, pace=Pace(rotate_after=period))
    exporter.export(spans(100))
    exporter.flush(10)
    before, begin = time.process_time(), time.monotonic()
    worst = 0
    while time.monotonic() - begin < SECONDS:
        exporter.export(spans(25))
        worst = max(worst, exporter.stats()["unconfirmed"])
        time.sleep(0.05)
    cpu = (time.process_time() - before) / SECONDS
    exporter.flush(10)
    print(f"| {period:g} s | {cpu * 1000:.1f} ms | {worst:,} |", flush=True)
    exporter.stop()


def main() -> None:
    if len(sys.argv) == 3:
        one(sys.argv[1], float(sys.argv[2]))
        return
    with tempfile.TemporaryDirectory() as folder, Collector("sink", Path(folder)) as agent:
        print("| rotated every | CPU a second | sent again after a break, at worst |\n|--:|--:|--:|", flush=True)
        programs = [
            subprocess.Popen([sys.executable, "-m", "bench.rotation", agent.address, str(period)], cwd=ROOT)
            for period in PERIODS
        ]
        for program in programs:
            program.wait(10 * SECONDS)


if __name__ == "__main__":
    main()
