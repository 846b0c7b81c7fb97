"""A soak: ``python -m bench.soak [SECONDS]``: 1,000 spans a second, and each 5 s something happens to the agent."""

from __future__ import annotations

import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from bench.restart import Embedded
from puremux.exporter import Exporter
from tests.shared.span_data import span

EVERY = 5.0
SEED = 5


def resources() -> str:
    """Memory, threads and descriptors of this process."""
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    return f"{resident:6.1f} MiB {threading.active_count()} threads {descriptors} descriptors"


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 900.0
    choice = random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder, Embedded("files", Path(folder)) as agent:
        exporter = Exporter(agent.address, reconnection_period=1.0)
        faults = {
            "killed": (agent.kill, agent.start),
            "told to end": (agent.stop, agent.start),
            "frozen": (agent.pause, agent.resume),
        }

        def misbehave() -> None:
            while time.monotonic() < end:
                name = choice.choice(list(faults))
                for act in faults[name]:
                    act()
                    time.sleep(EVERY / 2)
                print(f"{name:12}", resources(), exporter.stats()["reconnects"], flush=True)

        begin = time.monotonic()
        end = begin + seconds
        trouble = threading.Thread(target=misbehave, daemon=True)
        trouble.start()
        ended = 0
        while time.monotonic() < end:
            assert trouble.is_alive(), "the agent could not be brought back"
            due = int((time.monotonic() - begin) * 1000) - ended
            exporter.export([span(f"r{ended + n}") for n in range(due)])
            ended += due
            time.sleep(0.005)
        trouble.join()
        exporter.flush(30)
        stats = exporter.stats()
        exporter.stop()
        arrived = Counter(agent.names())
    dropped = sum(stats["dropped"].values())
    print(f"{ended=} arrived={len(arrived)} {dropped=} doubled={sum(arrived.values()) - len(arrived)}")
    assert ended == stats["accepted"] == len(arrived) + dropped == stats["confirmed"] + dropped, stats


if __name__ == "__main__":
    main()
