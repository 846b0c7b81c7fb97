"""Small programs that a Prometheus scrapes one by one: ``scraped_ports.py PORT ...``, each with the demo's views."""

from __future__ import annotations

import signal
import sys

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server

LATENCY_BOUNDS = [10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10000, 15000]
LENGTH_BOUNDS = [10, 20, 50, 100, 150, 200, 500, 800]


def serve(port: int) -> None:
    """One program's page."""
    registry = CollectorRegistry()
    labels = ("client", "method")
    for name, bounds in (("latency", LATENCY_BOUNDS), ("line_lengths", LENGTH_BOUNDS)):
        Histogram(f"opdemo_{name}", name, labels, registry=registry, buckets=bounds).labels("cli", "repl").observe(42)
    for name in ("process_counts", "line_counts"):
        Counter(f"opdemo_{name}", name, labels, registry=registry).labels("cli", "repl").inc(100)
    start_http_server(port, "127.0.0.1", registry=registry)


def main() -> None:
    for port in sys.argv[1:]:
        serve(int(port))
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
