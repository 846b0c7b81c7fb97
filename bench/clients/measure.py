"""What every client of the benchmarks does alike: options, measuring, one line of JSON.

Runs on any Python that a peer needs, and imports nothing of puremux.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from typing import Any, Callable

BATCH = 500
CALLS = 5_000  # that are timed one by one
ROW = 1_000  # of them without a break, before the library's own threads have their turn


def options() -> argparse.Namespace:
    """``--address HOST:PORT --spans N [--attributes A] [--batch B]``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--spans", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--attributes", type=int, default=6, help="of each span")
    return parser.parse_args()


def measured(spans: int, work: Callable[[], None]) -> dict[str, Any]:
    """Run ``work``, which returns when the sink has had all spans; tell what this process spent on it."""
    begin, before = time.monotonic(), cpu_seconds()
    work()
    seconds, cpu = time.monotonic() - begin, cpu_seconds() - before
    return {
        "spans": spans,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "cpu_us_per_span": cpu / spans * 1e6,
        "spans_per_second": spans / seconds,
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def cpu_seconds() -> float:
    """CPU time of this process so far, all its threads, user and system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def tell(record: dict[str, Any]) -> None:
    """The line that the benchmark reads."""
    print(json.dumps(record), flush=True)


def attributes(i: int, count: int) -> list[tuple[str, Any]]:
    """Attributes of the bench span: the six of the peers' demo, then more of them."""
    usual: list[tuple[str, Any]] = [
        ("http.method", "GET"),
        ("http.path", "/a/b/c"),
        ("http.host", "example.com"),
        ("http.status_code", 200),
        ("i", i),
        ("cached", i & 1 == 0),
    ]
    more = [(f"key{number}", f"value {number}") for number in range(count - len(usual))]
    return [*usual, *more][:count]


def in_a_row(call: Callable[[Any], object], argument: Any) -> list[int]:
    """Nanoseconds of each of many calls, a thousand without a break: the processor's caches hold all they need."""
    took = []
    for number in range(CALLS):
        if number % ROW == 0:
            time.sleep(0.05)
        begin = time.perf_counter_ns()
        call(argument)
        took.append(time.perf_counter_ns() - begin)
    return took


def apart(call: Callable[[Any], object], argument: Any) -> list[int]:
    """Nanoseconds of each of many calls, half a millisecond apart: the caches hold little of what they need."""
    took = []
    for _ in range(CALLS):
        begin = time.perf_counter_ns()
        call(argument)
        took.append(time.perf_counter_ns() - begin)
        time.sleep(0.0005)
    return took


def nothing(argument: Any) -> None:
    """What the timing is timed with."""


def percentiles(took: list[int], *permilles: int) -> list[float]:
    """Of nanoseconds, in microseconds."""
    cuts = statistics.quantiles(took, n=1000)
    return [cuts[permille - 1] / 1000 for permille in permilles]
