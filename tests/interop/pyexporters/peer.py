"""What the Python peers have in common: their modes, their pace, what they cost, and how they talk with their starter.

    PEER.py --address HOST:PORT [options] demo     spans of every feature, and what else the peer can send
    PEER.py --address HOST:PORT [options] steady   one span after each --interval, for --seconds
    PEER.py --address HOST:PORT [options] bench    --spans spans as fast as they go, and what they cost

What it recorded a peer prints as one line of JSON.  Then it waits until its standard input is closed before it stops:
it cannot know what arrived, but who started it can look at the agent.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

__all__ = ["Peer", "parser", "run"]


class Peer(ABC):
    """An exporter that others wrote, with its own tracer."""

    @abstractmethod
    def demo(self) -> dict[str, Any]:
        """Send some of everything; return what was sent."""

    @abstractmethod
    def bench_span(self, i: int) -> None:
        """Make the span of the benchmarks: six attributes, an annotation, a message event and a status."""

    @abstractmethod
    def bare_span(self, name: str) -> None:
        """Make a span that has only a name."""

    @abstractmethod
    def flush(self) -> None:
        """Return when all spans were handed to gRPC."""

    @abstractmethod
    def stop(self) -> None:
        """Close what is open."""

    def steady(self, seconds: float, interval: float) -> dict[str, Any]:
        """End spans named r000000, r000001, ... at a steady pace."""
        begin = due = time.monotonic()
        ended = 0
        while time.monotonic() - begin < seconds:
            self.bare_span(f"r{ended:06d}")
            ended += 1
            due += interval
            time.sleep(max(0.0, due - time.monotonic()))
        self.flush()
        return {"ended": ended, "seconds": time.monotonic() - begin}

    def bench(self, spans: int) -> dict[str, Any]:
        """Measure this process from before the first span until all were handed to gRPC."""
        begin, before = time.monotonic(), _cpu_seconds()
        for i in range(spans):
            self.bench_span(i)
        self.flush()
        seconds, cpu = time.monotonic() - begin, _cpu_seconds() - before
        return {
            "spans": spans,
            "seconds": seconds,
            "cpu_us_per_span": cpu / spans * 1e6,
            "spans_per_second": spans / seconds,
            "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def parser() -> argparse.ArgumentParser:
    """The options that every peer has."""
    options = argparse.ArgumentParser()
    options.add_argument("mode", choices=["demo", "steady", "bench"])
    options.add_argument("--address", required=True, help="HOST:PORT of the agent")
    options.add_argument("--service", default="peer", help="name of the service")
    options.add_argument("--seconds", type=float, default=20.0, help="steady: how long")
    options.add_argument("--interval", type=float, default=0.002, help="steady: seconds from one span to the next")
    options.add_argument("--spans", type=int, default=20_000, help="bench: how many spans")
    return options


def run(options: argparse.Namespace, make: Callable[[argparse.Namespace], Peer]) -> None:
    """Run the mode that was asked for, say what was recorded, wait, stop."""
    peer = make(options)
    if options.mode == "demo":
        record = peer.demo()
    elif options.mode == "steady":
        record = peer.steady(options.seconds, options.interval)
    else:
        record = peer.bench(options.spans)
    print(json.dumps(record), flush=True)
    sys.stdin.read()
    peer.stop()
