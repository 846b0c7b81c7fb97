"""Play the table against a client and show it: ``python -m tests.hostile [--client grpcio] [--python …] [WORDS]``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .play import Performance, in_good_order, judge
from .scenarios import TABLE
from .table import MIB, Scenario


def show(scenario: Scenario, report: dict[str, Any]) -> None:
    """One line for the row, and one for each thing that is wrong."""
    faults = judge(scenario, report)
    print(
        f"{'bad ' if faults else 'good'} {report.get('status', '?'):18} {report.get('seconds', 0):5.2f} s"
        f" {report.get('cpu', 0):5.2f} s CPU {report.get('growth', 0) / MIB:6.1f} MiB"
        f" {report.get('connections', 0):2} conn  {scenario.name}: {report.get('details')}",
        *(f"\n     - {fault}" for fault in faults),
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="play the rows whose names hold one of these")
    parser.add_argument("--client", default="puremux")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs the client")
    parser.add_argument("--lanes", type=int, default=6)
    options = parser.parse_args()
    wanted = [each for each in TABLE if not options.words or any(word in each.name for word in options.words)]
    rows = in_good_order(wanted)
    began, bad = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder:
        performance = Performance(rows, Path(folder), client=options.client, python=options.python, lanes=options.lanes)
        for row in rows:
            report = performance.report(row)
            bad += bool(judge(row, report))
            show(row, report)
        performance.close()
    print(f"{len(rows)} rows, {bad} bad, {time.monotonic() - began:.1f} s")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
