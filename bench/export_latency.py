"""What ``export()`` costs while the agent is up, down or hanging: ``python -m bench.export_latency``.

Calls in a row find everything in the processor's caches; calls half a millisecond apart find little of it there, as in
a program that does something else in between.  One call in 300 wakes the exporter's thread; p99.9 shows it.  What
measuring itself takes is measured in the same way, and not taken off.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

from bench.restart import Embedded
from puremux.exporter import Exporter
from tests.interop.harness.process import ROOT
from tests.loopback.test_exporter import span

CALLS = 5_000
ROW = 1_000  # calls in a row, before the thread in the background has its turn

HEAD = """\
| agent | in a row: p50 | p99 | p99.9 | apart: p50 | p99 | p99.9 | measuring, in a row | apart | stop() took |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"""


def nothing(spans: list[Any]) -> None:
    """What the measuring is measured with."""


def in_a_row(call: Callable[[list[Any]], None], spans: list[Any]) -> list[int]:
    """Nanoseconds of each of many calls, a thousand without a break."""
    took = []
    for number in range(CALLS):
        if number % ROW == 0:
            time.sleep(0.05)
        begin = time.perf_counter_ns()
        call(spans)
        took.append(time.perf_counter_ns() - begin)
    return took


def apart(call: Callable[[list[Any]], None], spans: list[Any]) -> list[int]:
    """Nanoseconds of each of many calls, half a millisecond apart."""
    took = []
    for _ in range(CALLS):
        begin = time.perf_counter_ns()
        call(spans)
        took.append(time.perf_counter_ns() - begin)
        time.sleep(0.0005)
    return took


def percentiles(took: list[int], *permilles: int) -> list[str]:
    """Of nanoseconds, in microseconds."""
    cuts = statistics.quantiles(took, n=1000)
    return [f"{cuts[permille - 1] / 1000:.1f} µs" for permille in permilles]


def one(address: str) -> None:
    """Be the program."""
    exporter = Exporter(address)
    ended = [span()]
    time.sleep(0.5)
    cells = [cell for way in (in_a_row, apart) for cell in percentiles(way(exporter.export, ended), 500, 990, 999)]
    cells += [cell for way in (in_a_row, apart) for cell in percentiles(way(nothing, ended), 500)]
    began = time.monotonic()
    exporter.stop()
    print(f"{' | '.join(cells)} | {time.monotonic() - began:.1f} s |", flush=True)


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
