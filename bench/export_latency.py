"""What ``export()`` costs while the agent is up, down or hanging: ``python -m bench.export_latency``."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.restart import Embedded
from puremux.exporter import Exporter
from tests.interop.harness.process import ROOT
from tests.loopback.test_exporter import span

CALLS = 5_000


def one(address: str) -> None:
    """Be the program."""
    exporter = Exporter(address)
    ended = [span()]
    time.sleep(0.5)
    took = []
    for _ in range(CALLS):
        begin = time.perf_counter_ns()
        exporter.export(ended)
        took.append(time.perf_counter_ns() - begin)
        time.sleep(0.0005)
    began = time.monotonic()
    exporter.stop()
    cuts = statistics.quantiles(took, n=100)
    print(f"{cuts[49] / 1000:.1f} µs | {cuts[98] / 1000:.1f} µs | {time.monotonic() - began:.1f} s |", flush=True)


def main() -> None:
    if len(sys.argv) == 2:
        one(sys.argv[1])
        return
    print("| agent | p50 | p99 | stop() took |\n|---|--:|--:|--:|", flush=True)
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
