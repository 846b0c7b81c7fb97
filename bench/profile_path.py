"""Where the CPU time of a span goes, layer by layer: ``python -m bench.profile_path [--spans N] [--profile]``.

Each row runs one layer of the exporter by itself, on what the layer before it made of the bench's spans; what a peer
does is not counted.  The last row is a whole exporter at a Collector that discards, measured as ``make bench`` does it.
Figures are the least of a few runs.  ``--profile`` adds what cProfile says of that exporter's thread.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import os
import pstats
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

from puremux import Exporter
from puremux.exporter.metrics import MetricEncoder
from puremux.exporter.queue import HandOver
from puremux.exporter.spans import SpanEncoder
from puremux.protocol.connection import Connection
from puremux.protocol.events import MessageReceived
from puremux.protocol.metadata import request_headers
from tests.interop.harness.collector import Collector
from tests.interop.harness.process import ROOT

CLIENTS = ROOT / "bench" / "clients"
BUNDLE = 300  # the exporter's bundle_count
BATCH = 500  # spans that the application hands over at once
REPEATS = 7  # of which the least is taken: nothing but noise makes code slower
SERIES = 10_000
SHOWN = 25  # lines of cProfile's table

READER = "import socket, sys; s = socket.socket(fileno=int(sys.argv[1]))\nwhile s.recv(1 << 20): pass"


class Stopwatch:
    """CPU time of this thread, while it runs."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._begin = time.thread_time()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.thread_time() - self._begin


def handing_over(spans: list[Any], watch: Stopwatch) -> list[list[Any]]:
    """The queue between the application's threads and the exporter's: bundles."""
    queue: HandOver[Any] = HandOver(len(spans))
    batches = [spans[begin : begin + BATCH] for begin in range(0, len(spans), BATCH)]
    with watch:
        for batch in batches:
            queue.put(batch)
        return [queue.take(BUNDLE) for _ in range(0, len(spans), BUNDLE)]


def encoding(bundles: list[list[Any]], watch: Stopwatch) -> list[list[bytes]]:
    """The direct encoder: fields."""
    fields = SpanEncoder().fields
    with watch:
        return [list(fields(bundle)) for bundle in bundles]


def joining(bundles: list[list[bytes]], watch: Stopwatch) -> list[bytes]:
    """One join a batch: payloads."""
    with watch:
        return [b"".join(fields) for fields in bundles]


def http2(payloads: list[bytes], watch: Stopwatch) -> list[bytes]:
    """gRPC's framing, DATA frames, flow control, the peer's WINDOW_UPDATE frames: bytes for the socket."""
    pair = Pair()
    written = []
    for payload in payloads:
        with watch:
            pair.client.send_message(pair.stream_id, payload)
            pair.client.take_events()
            written.append(pair.client.data_to_send())
        answer = pair.answer(written[-1])
        if answer:
            with watch:
                pair.client.receive_data(answer, time.monotonic())
    return written


class Pair:
    """A client's connection with one call open, and a server that takes whatever comes."""

    def __init__(self) -> None:
        self.client = Connection(client_side=True)
        self._server = Connection(client_side=False)
        self.client.initiate()
        self._server.initiate()
        self.client.receive_data(self.answer(self.client.data_to_send()), 0.0)
        self.stream_id = self.client.open(request_headers("/a.B/C", authority="localhost", scheme="http"))

    def answer(self, data: bytes) -> bytes:
        """What the server has to say to these bytes."""
        for event in self._server.receive_data(data, time.monotonic()):
            if isinstance(event, MessageReceived):
                self._server.message_taken(self.stream_id)
        return self._server.data_to_send()


def writing(pieces: list[bytes], watch: Stopwatch) -> None:
    """The system calls, to another process on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        receiver, _ = listener.accept()
    command = [sys.executable, "-c", READER, str(receiver.fileno())]
    with subprocess.Popen(command, pass_fds=[receiver.fileno()]), receiver, sender:
        for piece in pieces:
            with watch:
                sender.sendall(piece)


Layer = Callable[[Any, Stopwatch], Any]

LAYERS: list[tuple[str, Layer]] = [
    ("handing over: the queue", handing_over),
    ("the direct encoder", encoding),
    ("joining a batch", joining),
    ("HTTP/2: framing, h2, flow control", http2),
    ("system calls", writing),
]


def least(layer: Layer, work: Any) -> tuple[float, Any]:
    """CPU seconds of a layer, in the best of a few runs, and what it makes of its work."""
    figures = []
    made = None
    for _ in range(REPEATS):
        gc.collect()
        watch = Stopwatch()
        made = layer(work, watch)
        figures.append(watch.seconds)
    return min(figures), made


def asides(spans: list[Any]) -> list[tuple[str, float]]:
    """What else is worth to know of the encoders, in microseconds; not part of the sum."""
    from puremux_series import metric

    few = [spans[:20] * (len(spans) // 20)]
    seconds, _ = least(encoding, few)
    views = [metric(SERIES, period) for period in range(1, 5)]
    of_views, _ = least(encoding_views, views)
    return [
        ("*(the encoder, on twenty spans again and again)*", seconds / len(few[0]) * 1e6),
        ("*(a time series of a view of ten thousand)*", of_views / SERIES / len(views) * 1e6),
    ]


def encoding_views(views: list[Any], watch: Stopwatch) -> list[bytes]:
    """The encoder of metrics, on a view that is exported again and again."""
    field = MetricEncoder().field
    with watch:
        return [field(view) for view in views]


def whole(address: str, spans: int) -> float:
    """Microseconds a span of a whole exporter, in a process of its own."""
    command = [sys.executable, str(CLIENTS / "puremux_ready.py"), "--address", address, "--spans", str(spans)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{CLIENTS}"}
    figures = []
    for _ in range(REPEATS):
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        figures.append(json.loads(done.stdout)["cpu_us_per_span"])
    return min(figures)


def profiled(address: str, spans: list[Any]) -> None:
    """What cProfile says of the exporter's thread; it makes everything slower, calls of Python functions most."""
    exporter = Exporter(address, service_name="bench", queue_size=len(spans) + 1)
    exporter.flush()
    profile = cProfile.Profile()
    exporter._engine._driver.call_unlocked(profile.enable)
    exporter.export(spans)
    exporter.flush(60)
    exporter._engine._driver.call_unlocked(profile.disable)
    exporter.stop()
    pstats.Stats(profile).sort_stats("tottime").print_stats(SHOWN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=30_000)
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    sys.path.insert(0, str(CLIENTS))
    from opencensus_spans import ready

    spans = ready(asked.spans)
    print("| layer | µs a span |\n|---|--:|")
    work: Any = spans
    total = 0.0
    for title, layer in LAYERS:
        seconds, work = least(layer, work)
        total += seconds / len(spans) * 1e6
        print(f"| {title} | {seconds / len(spans) * 1e6:.2f} |", flush=True)
    for title, seconds in asides(spans):
        print(f"| {title} | {seconds:.2f} |", flush=True)
    with tempfile.TemporaryDirectory() as folder, Collector("sink", Path(folder)) as collector:
        everything = whole(collector.address, 3 * asked.spans)
        print(f"| the rest: threads, locks, proofs, garbage collection | {everything - total:.2f} |")
        print(f"| **a whole exporter** | **{everything:.2f}** |")
        if asked.profile:
            profiled(collector.address, spans)


if __name__ == "__main__":
    main()
