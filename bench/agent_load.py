"""What the agent takes: ``python -m bench.agent_load [--clients 1000] [--rate 50000] [--seconds 10]``.

So many clients at once, each with a connection of its own, offer spans at a rate.  All of them live in this process, on
the sans-I/O core and one selector, and their batches are encoded beforehand: what is measured is the agent, a process
of its own.  A client rotates its Export stream each second, as our exporter does, and counts a span as confirmed when
its stream has ended with status 0.  Then SIGTERM comes while the load goes on.

Every span that was sent is confirmed, or its stream was ended otherwise and the client knows: nothing is left over.
``--spans`` has the agent write its span log, which must have every confirmed span, by its id.  ``--refusing`` gives the
agent a next agent that is not there: when as much waits for it as may, the agent refuses, and both ends count.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import resource
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from puremux.errors import LocalProtocolError
from puremux.proto import common_pb2, trace_pb2, trace_service_pb2
from puremux.protocol.connection import Connection
from puremux.protocol.events import CallEnded, ConnectionEnded, GoAwayReceived
from puremux.protocol.metadata import request_headers
from puremux.status import StatusCode
from tests.interop.harness.process import ROOT

PATH = trace_service_pb2.TRACE_SERVICE_EXPORT_PATH
BATCH = 100  # spans in a message
ROTATE = 1.0  # seconds
BACKOFF = 1.0  # seconds that a client lets pass after a refusal
MOST_PENDING = 64 * 1024  # bytes that wait for the agent, at which a client offers no more
TICK = 0.02


def span_template() -> bytes:
    """The bench span (six attributes, an annotation, a message event), with ids to be filled in."""
    text = trace_pb2.TruncatableString
    value = trace_pb2.AttributeValue
    attributes = {
        "http.method": value(string_value=text(value="GET")),
        "http.path": value(string_value=text(value="/api/v1/items/42")),
        "http.status_code": value(int_value=200),
        "component": value(string_value=text(value="backend")),
        "cache.hit": value(bool_value=True),
        "retries": value(int_value=3),
    }
    event = trace_pb2.Span.TimeEvent
    span = trace_pb2.Span(
        trace_id=bytes(16),
        span_id=b"\xff" * 8,
        name=text(value="bench-span"),
        attributes=trace_pb2.Span.Attributes(attribute_map=attributes),
        time_events=trace_pb2.Span.TimeEvents(
            time_event=[
                event(annotation=event.Annotation(description=text(value="cache miss"))),
                event(message_event=event.MessageEvent(type=1, id=1, uncompressed_size=1024)),
            ]
        ),
    )
    span.start_time.GetCurrentTime()
    span.end_time.GetCurrentTime()
    return trace_service_pb2.ExportTraceServiceRequest(spans=[span]).SerializeToString()


@dataclass
class Stream:
    """One Export call."""

    stream_id: int
    began: float
    batches: list[int] = field(default_factory=list)
    """Numbers of what was put on it."""

    is_closing: bool = False


class Client:
    """One client: offers a batch when it is told to, and keeps the books."""

    def __init__(self, number: int, address: tuple[str, int], template: bytes) -> None:
        self.sock = socket.create_connection(address)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = Connection(client_side=True)
        self.connection.initiate()
        self.number = number
        self.due: deque[int] = deque()
        self.sent = 0
        self.confirmed: list[int] = []
        self.ends: Counter[str] = Counter()
        """Spans on streams that ended otherwise, by how they ended."""
        self.is_over = False
        self._not_before = 0.0
        self._unsent = memoryview(b"")
        self._stream: Stream | None = None
        self._streams: dict[int, Stream] = {}
        self._node = trace_service_pb2.ExportTraceServiceRequest(
            node=common_pb2.Node(
                identifier=common_pb2.ProcessIdentifier(host_name="bench", pid=number + 1),
                service_info=common_pb2.ServiceInfo(name="load"),
            )
        ).SerializeToString()
        head, _, tail = template.partition(b"\xff" * 8)
        self._pieces = head, tail

    def payload(self, batch: int) -> bytes:
        """A message's bytes; its spans' ids tell the client, the batch and the place."""
        head, tail = self._pieces
        ids = [struct.pack(">HIH", self.number, batch, place) for place in range(BATCH)]
        return b"".join([part for each in ids for part in (head, each, tail)])

    def offer(self, now: float) -> None:
        """Put on the stream what is due, unless the agent is behind."""
        if self.is_over or now < self._not_before or not self.connection.is_ready:
            return
        stream = self._stream or self._open(now)
        while stream is not None and self.due:
            if self.connection.pending(stream.stream_id) + len(self._unsent) > MOST_PENDING:
                return
            batch = self.due.popleft()
            payload = self.payload(batch)
            self.connection.send_message(stream.stream_id, payload if stream.batches else self._node + payload)
            stream.batches.append(batch)
            self.sent += BATCH

    def rotate(self, now: float) -> None:
        """Half-close the stream, if it is old enough."""
        stream = self._stream
        if stream is not None and stream.batches and now - stream.began >= ROTATE:
            stream.is_closing, self._stream = True, None
            self.connection.half_close(stream.stream_id)

    def _open(self, now: float) -> Stream | None:
        if not self.connection.can_open:
            return None
        stream_id = self.connection.open(request_headers(PATH, authority="bench", scheme="http"))
        self._stream = self._streams[stream_id] = Stream(stream_id, now)
        return self._stream

    def events(self) -> int:
        """What to watch for."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)

    def read(self, now: float) -> None:
        """Take what has come."""
        try:
            data = self.sock.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._take(self.connection.receive_data(data, now) if data else self.connection.receive_eof(), now)

    def write(self, now: float) -> None:
        """Send what the socket takes."""
        try:
            while True:
                if not self._unsent:
                    self._unsent = memoryview(self.connection.data_to_send())
                    self._take(self.connection.take_events(), now)
                if not self._unsent:
                    return
                self._unsent = self._unsent[self.sock.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self._take(self.connection.lose("gone"), now)

    def _take(self, events: list[object], now: float) -> None:
        for event in events:
            if isinstance(event, CallEnded):
                self._end(event, now)
            elif isinstance(event, GoAwayReceived):  # as our exporter does: the stream is half-closed at once
                self.due.clear()
                if self._stream is not None and self._stream.batches:
                    self._stream.began = now - ROTATE
                    self.rotate(now)
            elif isinstance(event, ConnectionEnded):
                self.is_over = True

    def _end(self, ended: CallEnded, now: float) -> None:
        stream = self._streams.pop(ended.stream_id, None)
        if stream is None:
            return
        if stream is self._stream:
            self._stream = None
        if stream.is_closing and ended.code is StatusCode.OK:
            self.confirmed += stream.batches
        else:
            self.ends[f"{ended.code.name}: {ended.details}"] += BATCH * len(stream.batches)
            self._not_before = now + BACKOFF


class Agent:
    """``puremux agent`` as a process."""

    def __init__(self, folder: Path, words: list[str]) -> None:
        command = [sys.executable, "-m", "puremux.cli", "agent", "--listen", "127.0.0.1:0", "--prometheus"]
        self._process = subprocess.Popen(
            [*command, "127.0.0.1:0", *words],
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(ROOT)},
        )
        assert self._process.stderr is not None
        found = None
        while found is None:  # behind what the exporter may have to say about the next agent
            found = re.search(r"at 127\.0\.0\.1:(\d+)\..*(http://\S+)", self._process.stderr.readline())
        self.address, self.page = ("127.0.0.1", int(found.group(1))), found.group(2)

    def figures(self) -> dict[str, float]:
        """What it says of itself, by name and reason."""
        with urllib.request.urlopen(self.page, timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        found = (line.rsplit(" ", 1) for line in lines if line.startswith(("puremux_agent_", "process_")))
        return {name: float(value) for name, value in found}

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        # Not from stat, which counts the clock's ticks: on a busy machine most of short turns escape it.
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(each.read_text().split()[0]) for each in tasks) / 1e9

    def memory(self, what: str = "VmRSS") -> float:
        """MiB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(re.search(rf"{what}:\s+(\d+)", status).group(1)) / 1024  # type: ignore[union-attr]

    def terminate(self) -> None:
        """Tell it to end."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """See that it is gone."""
        self._process.kill()
        self._process.wait(10)

    def finish(self) -> int:
        """Wait for its end."""
        return self._process.wait(60)


class Load:
    """All clients, on one selector."""

    def __init__(self, clients: list[Client], rate: float) -> None:
        self._clients = clients
        self._every = BATCH / rate
        self._selector = selectors.DefaultSelector()
        self._watched: dict[Client, int] = {}
        self._turns = itertools.cycle(clients)
        self._numbers = itertools.count()
        self.offered = 0
        for client in clients:
            self._watched[client] = client.events()
            self._selector.register(client.sock, client.events(), client)

    def run(self, seconds: float, *, offering: bool = True) -> None:
        """Offer spans for so long, or until every client is gone; or only take what comes."""
        begin = time.monotonic()
        offered_before, now = self.offered, begin
        while now - begin < seconds and self._watched:
            while offering and (self.offered - offered_before) / BATCH * self._every < now - begin:
                next(self._turns).due.append(next(self._numbers))
                self.offered += BATCH
            for client in self._clients:
                if client.due:
                    client.offer(now)
                client.rotate(now)
                self._step(client, now)
            for key, ready in self._selector.select(TICK):
                client = key.data
                now = time.monotonic()
                if ready & selectors.EVENT_READ:
                    client.read(now)
                self._step(client, now)
            now = time.monotonic()

    def _step(self, client: Client, now: float) -> None:
        if client not in self._watched:
            return
        try:
            client.write(now)
        except LocalProtocolError:
            client.is_over = True
        if client.is_over:
            self._selector.unregister(client.sock)
            del self._watched[client]
            client.sock.close()
        elif client.events() != self._watched[client]:
            self._watched[client] = client.events()
            self._selector.modify(client.sock, client.events(), client)


def confirmed_ids(clients: list[Client]) -> Iterator[str]:
    """The ids of all spans on confirmed streams."""
    for client in clients:
        for batch in client.confirmed:
            for place in range(BATCH):
                yield struct.pack(">HIH", client.number, batch, place).hex()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=1_000)
    parser.add_argument("--rate", type=float, default=50_000, help="spans a second, of all clients")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--spans", action="store_true", help="have the agent write its span log, and compare")
    parser.add_argument("--refusing", action="store_true", help="have it forward to nobody, until it must refuse")
    asked = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory() as name:
        words = ["--grace=10"] if not asked.refusing else ["--grace=2", "--forward=127.0.0.1:1"]
        if asked.spans:
            words.append("--spans=log")
        agent = Agent(Path(name), words)
        try:
            measure(asked, Path(name), agent)
        finally:
            agent.kill()


def measure(asked: argparse.Namespace, folder: Path, agent: Agent) -> None:
    """Run, end, compare, print."""
    template = span_template()
    idle = agent.memory()
    clients = [Client(number, agent.address, template) for number in range(asked.clients)]
    load = Load(clients, asked.rate)
    load.run(2.0, offering=False)  # all shake hands
    connected = agent.memory()
    cpu, began, before = agent.cpu(), time.monotonic(), agent.figures()
    load.run(asked.seconds)
    seconds, cpu = time.monotonic() - began, agent.cpu() - cpu
    after = agent.figures()
    taken = after["puremux_agent_spans_total"] - before["puremux_agent_spans_total"]
    print(f"{asked.clients:,} clients, {asked.rate:,.0f} spans/s offered, {seconds:.1f} s; span log: {asked.spans}")
    print(f"  the agent took {taken / seconds:,.0f} spans/s with {100 * cpu / seconds:.0f} % of a processor,", end=" ")
    print(f"{1e6 * cpu / max(1, taken):.1f} µs a span")
    print(
        f"  memory: {idle:.0f} MiB idle, {connected:.0f} MiB with the clients, {agent.memory('VmHWM'):.0f} MiB at most"
    )
    refused = {key: f"{value:,.0f}" for key, value in after.items() if "refused" in key and value}
    print(f"  refused, as its page has it: {refused or 'nothing'}")
    agent.terminate()
    load.run(60.0)
    code = agent.finish()
    report(clients, folder, code)


def report(clients: list[Client], folder: Path, code: int) -> None:
    """What was confirmed, and whether it is there."""
    sent, confirmed = sum(client.sent for client in clients), [*confirmed_ids(clients)]
    ends: Counter[str] = sum((client.ends for client in clients), Counter())
    left = sent - len(confirmed) - sum(ends.values())
    print(f"  SIGTERM under that load, exit code {code}: {sent:,} sent = {len(confirmed):,} confirmed", end="")
    for how, count in ends.most_common():
        print(f"\n    + {count:,} told otherwise ({how})", end="")
    print(f", {left:,} left over")
    log = folder / "log"
    if log.exists():
        with log.open() as lines:
            logged = Counter(json.loads(line)["span_id"] for line in lines)
        missing = sum(each not in logged for each in confirmed)
        print(f"  in the span log: {len(logged):,}; confirmed and not there: {missing:,}")


if __name__ == "__main__":
    main()
