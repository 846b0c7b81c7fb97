"""The Prometheus page of many clients, each with the demo's four views: ``python -m bench.agent_page [CLIENTS]``.

Of ten thousand by default.  How long it takes to make, plain and compressed, and what that takes of memory.
"""

from __future__ import annotations

import resource
import sys
import time
from typing import Any

from puremux.agent.intake import MetricsIntake
from puremux.agent.prometheus import page_app
from puremux.agent.store import Store
from tests.shared.agent_messages import Type, distribution, metric, metrics_request, node

LATENCY = [10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10000, 15000]
LENGTH = [10, 20, 50, 100, 150, 200, 500, 800]
TAGS = {"client": "cli", "method": "repl"}


def request(pid: int) -> Any:
    """What the demo sends, of one process."""
    kinds = Type.CUMULATIVE_DISTRIBUTION, Type.CUMULATIVE_INT64
    latency = distribution(LATENCY, [1] * (len(LATENCY) + 1), 97.5)
    length = distribution(LENGTH, [1] * (len(LENGTH) + 1), 97.5)
    return metrics_request(
        metric("opdemo/latency", latency, kinds[0], unit="ms", labels=TAGS),
        metric("opdemo/process_counts", 5, kinds[1], unit="ms", labels=TAGS),
        metric("opdemo/line_lengths", length, kinds[0], unit="By", labels=TAGS),
        metric("opdemo/line_counts", 5, kinds[1], unit="By", labels=TAGS),
        node=node(pid=pid),
    )


def most_memory() -> float:
    """MiB so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    clients = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    store = Store()
    for number in range(clients):
        MetricsIntake(store).receive(request(number + 1))
    totals = store.totals()
    print(
        f"{totals.clients:,} clients, {totals.series:,} time series, {totals.bytes / 2**20:.0f} MiB held as estimated"
    )
    app = page_app(store)
    for encoding in ("gzip", "identity"):
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics", "HTTP_ACCEPT_ENCODING": encoding}
        memory, cpu, began = most_memory(), time.process_time(), time.monotonic()
        size = sum(map(len, app(environ, lambda status, headers: None)))
        cpu, seconds = time.process_time() - cpu, time.monotonic() - began
        print(f"{encoding:8}: {size / 1e6:5.1f} MB in {seconds:.1f} s, {cpu:.1f} s of processor,", end=" ")
        print(f"{most_memory() - memory:.0f} MiB more memory")


if __name__ == "__main__":
    main()
