"""What ``export()`` costs while the agent is up, down or hanging: ``python -m bench.export_latency``.

Calls in a row find everything in the processor's caches; calls half a millisecond apart find little of it there, as in
a program that does something else in between.  One call in 300 wakes the exporter's thread; p99.9 shows it.  What
measuring itself takes is measured in the same way, and not taken off.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.clients.measure import apart, in_a_row, nothing, percentiles
from bench.restart import Embedded
from puremux.exporter import Exporter
from tests.interop.harness.process import ROOT
from tests.shared.span_data import span

HEAD = """\
| agent | in a row: p50 | p99 | p99.9 | apart: p50 | p99 | p99.9 | measuring, in a row | apart | stop() took |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"""


def one(address: str) -> None:
    """Be the program."""
    exporter = Exporter(address)
    ended = [span()]
    time.sleep(0.5)
    figures = [each for way in (in_a_row, apart) for each in percentiles(way(exporter.export, ended), 500, 990, 999)]
    figures += [each for way in (in_a_row, apart) for each in percentiles(way(nothing, ended), 500)]
    began = time.monotonic()
    exporter.stop()
    print(f"{' | '.join(f'{each:.1f} µs' for each in figures)} | {time.monotonic() - began:.1f} s |", flush=True)


def main() -> None:
    if len(sys.argv) == 2:
        one(sys.argv[1])
        return
    print(HEAD, flush=True)
    with tempfile.TemporaryDirectory() as folder, Embedded("files", Path(folder)) as agent:
        for state, begin in (("up", None), ("hanging", agent.pause), ("down", agent.kill)):
            if begin:
                begin()
            print(f"| {state} | ", end="", flush=True)
            command = [sys.executable, "-W", "ignore", "-m", "bench.export_latency", agent.address]
            subprocess.run(command, cwd=ROOT, stderr=subprocess.DEVNULL, check=True)
            if state == "hanging":
                agent.resume()


if __name__ == "__main__":
    main()
