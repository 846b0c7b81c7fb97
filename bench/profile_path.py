"""Where the CPU time of a span goes, layer by layer: ``python -m bench.profile_path [--spans N] [--profile]``.

Each row runs the exporter's own code as far as it names, on the bench's spans, and takes off what the row above took.
What a peer does, in the rows that need one, is not counted.  The last row is a whole exporter at a Collector that
discards, measured as ``make bench`` does it.  ``--profile`` adds what cProfile says of that exporter's thread.
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
from puremux.exporter.queue import HandOver
from puremux.exporter.spans import SpanEncoder
from puremux.protocol.connection import Connection
from puremux.protocol.framing import frame_message
from puremux.protocol.metadata import request_headers
from tests.interop.harness.collector import Collector
from tests.interop.harness.process import ROOT

CLIENTS = ROOT / "bench" / "clients"
BUNDLE = 300  # the exporter's bundle_count
BATCH = 500  # spans that the application hands over at once
REPEATS = 5  # of which the least is taken: nothing but noise makes code slower
SHOWN = 25  # lines of cProfile's table

READER = "import socket, sys; s = socket.socket(fileno=int(sys.argv[1]))\nwhile s.recv(1 << 20): pass"

Spans = list[Any]
Step = Callable[[Spans], None]


def handing_over(spans: Spans) -> None:
    """The queue between the application's threads and the exporter's."""
    for _ in taken(spans):
        pass


def taken(spans: Spans) -> Any:
    """Bundles as the exporter's thread gets them."""
    queue: HandOver[Any] = HandOver(20_000)
    for begin in range(0, len(spans), BATCH):
        queue.put(spans[begin : begin + BATCH])
        while len(queue) >= BUNDLE:
            yield queue.take(BUNDLE)


def encoding(spans: Spans) -> None:
    """The direct encoder."""
    field = SpanEncoder().field
    for bundle in taken(spans):
        for span in bundle:
            field(span)


def joined(spans: Spans) -> Any:
    """Payloads of messages."""
    field = SpanEncoder().field
    for bundle in taken(spans):
        yield b"".join([field(span) for span in bundle])


def joining(spans: Spans) -> None:
    """One join a batch."""
    for _ in joined(spans):
        pass


def framing(spans: Spans) -> None:
    """gRPC's five bytes before each message."""
    for payload in joined(spans):
        frame_message(payload)


class Pair:
    """A client's connection with one call open, and a server that takes whatever comes."""

    def __init__(self) -> None:
        self.client = Connection(client_side=True)
        self.server = Connection(client_side=False)
        self.client.initiate()
        self.server.initiate()
        self.exchange()
        headers = request_headers("/a.B/C", authority="localhost", scheme="http")
        self.stream_id = self.client.open(headers)
        self.peer_seconds = 0.0

    def exchange(self) -> None:
        """Let each side have what the other one has to say."""
        moved = True
        while moved:
            moved = self.carry(self.client, self.server) or self.carry(self.server, self.client)

    def carry(self, source: Connection, target: Connection) -> bool:
        """Move bytes one way."""
        data = source.data_to_send()
        if data:
            target.receive_data(data, time.monotonic())
            for event in source.take_events():
                del event
        return bool(data)

    def send(self, payload: bytes) -> bytes:
        """A message's way through the client's HTTP/2; the server's part is timed apart."""
        self.client.send_message(self.stream_id, payload)
        self.client.take_events()
        data = self.client.data_to_send()
        begin = time.thread_time()
        for event in self.server.receive_data(data, time.monotonic()):
            if type(event).__name__ == "MessageReceived":
                self.server.message_taken(self.stream_id)
        answer = self.server.data_to_send()
        self.peer_seconds += time.thread_time() - begin
        if answer:
            self.client.receive_data(answer, time.monotonic())
        return data


def http2(spans: Spans) -> float:
    """DATA frames, flow control, and the peer's WINDOW_UPDATE frames."""
    pair = Pair()
    for payload in joined(spans):
        pair.send(payload)
    return pair.peer_seconds


def writing(spans: Spans) -> float:
    """The system calls: a socket to another process on this machine."""
    pair = Pair()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        receiver, _ = listener.accept()
    command = [sys.executable, "-c", READER, str(receiver.fileno())]
    with subprocess.Popen(command, pass_fds=[receiver.fileno()]) as reader, sender:
        receiver.close()
        for payload in joined(spans):
            sender.sendall(pair.send(payload))
        sender.close()
        reader.wait()
    return pair.peer_seconds


ROWS: list[tuple[str, Callable[[Spans], float | None]]] = [
    ("handing over: the queue", handing_over),
    ("the direct encoder", encoding),
    ("joining a batch", joining),
    ("gRPC's framing", framing),
    ("HTTP/2: h2, flow control, our bookkeeping", http2),
    ("system calls", writing),
]


def least(step: Callable[[Spans], float | None], spans: Spans) -> float:
    """Microseconds a span, of the best of a few runs."""
    figures = []
    for _ in range(REPEATS):
        gc.collect()
        begin = time.thread_time()
        not_ours = step(spans) or 0.0
        figures.append((time.thread_time() - begin - not_ours) / len(spans) * 1e6)
    return min(figures)


def whole(address: str, spans: int) -> float:
    """Microseconds a span of a whole exporter, in a process of its own."""
    command = [sys.executable, str(CLIENTS / "puremux_ready.py"), "--address", address, "--spans", str(spans)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{CLIENTS}"}
    figures = []
    for _ in range(REPEATS):
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        figures.append(json.loads(done.stdout)["cpu_us_per_span"])
    return min(figures)


def profiled(address: str, spans: Spans) -> None:
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
    before = 0.0
    for title, step in ROWS:
        total = least(step, spans)
        print(f"| {title} | {total - before:.2f} |", flush=True)
        before = total
    with tempfile.TemporaryDirectory() as folder, Collector("sink", Path(folder)) as collector:
        total = whole(collector.address, 3 * asked.spans)
        print(f"| the rest: threads, locks, proofs, garbage collection | {total - before:.2f} |")
        print(f"| **a whole exporter** | **{total:.2f}** |")
        if asked.profile:
            profiled(collector.address, spans)


if __name__ == "__main__":
    main()
