"""An agent among hostile clients, as a process: its memory stays bounded, and who behaves is served in time."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from puremux import Exporter
from puremux.proto import metrics_service_pb2, trace_service_pb2
from tests.hostile import wire
from tests.shared.agent_messages import metric, metrics_request, node, span, spans_request
from tests.shared.programs import LIMIT, PUREMUX, Running

from .raw_client import RawClient, request

logger = logging.getLogger(__name__)

MIB = 2**20
TRACES = trace_service_pb2.TRACE_SERVICE_EXPORT_PATH
METRICS = metrics_service_pb2.METRICS_SERVICE_EXPORT_PATH

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")


def never_reads(client: RawClient, over: threading.Event) -> None:
    """Asks for answer after answer and takes none."""
    stream_id = 1
    while not over.is_set():
        client.sock.sendall(b"".join(request(stream_id + each, "/no/Method") for each in range(0, 200, 2)))
        stream_id += 200


def dribbles(client: RawClient, over: threading.Event) -> None:
    """A byte now and then."""
    client.begin(1, TRACES)
    for byte in wire.data(1, wire.message(bytes(100_000))):
        client.sock.sendall(bytes([byte]))
        if over.wait(0.01):
            return


def opens_streams(client: RawClient, over: threading.Event) -> None:
    """Ten thousand of them."""
    for stream_id in range(1, 20_001, 2):
        client.begin(stream_id, TRACES)
    over.wait(LIMIT)


def begins_messages(client: RawClient, over: threading.Event) -> None:
    """A hundred streams, each with all but the last byte of four megabytes."""
    for stream_id in range(1, 201, 2):
        client.begin(stream_id, TRACES)
        client.send(stream_id, wire.message(bytes(4 * MIB - 1), length=4 * MIB))
    over.wait(LIMIT)


def floods_with_pings(client: RawClient, over: threading.Event) -> None:
    """As many as it can."""
    while not over.is_set():
        client.sock.sendall(wire.ping() * 1_000)


def floods_with_series(client: RawClient, over: threading.Event) -> None:
    """A million time series, each with a kilobyte of label."""
    client.begin(1, METRICS)
    first = True
    for number in range(1_000_000):
        labels = {"k": f"{number:01000}"}
        message = metrics_request(metric(labels=labels), **({"node": node("evil")} if first else {}))
        client.send(1, wire.message(message.SerializeToString()))
        first = False
        if over.is_set():
            return


def floods_with_spans(client: RawClient, over: threading.Event) -> None:
    """Large requests, one behind the other."""
    client.begin(1, TRACES)
    message = spans_request(*(span(n + 1, "x" * 200) for n in range(3_000)), node=node("evil"))
    data = wire.message(message.SerializeToString())
    while not over.is_set():
        client.send(1, data)


def sends_crowds(client: RawClient, over: threading.Event) -> None:
    """Two million empty metrics, and as many spans, in four megabytes each."""
    introduction = metrics_request(node=node("evil")).SerializeToString()
    for stream_id, path in ((1, METRICS), (3, TRACES)):
        client.begin(stream_id, path)
        client.send(stream_id, wire.message(introduction + b"\x12\x00" * (2 * MIB - 100)))
    over.wait(LIMIT / 10)


HOSTILE: list[Callable[[RawClient, threading.Event], None]] = [
    never_reads,
    dribbles,
    opens_streams,
    begins_messages,
    floods_with_pings,
    floods_with_series,
    floods_with_spans,
    sends_crowds,
]


def again_and_again(play: Callable[[RawClient, threading.Event], None], address: str, over: threading.Event) -> None:
    """Play until it is over, on a new connection whenever the agent has had enough."""
    while not over.is_set():
        with contextlib.suppress(OSError), RawClient(address, receive_buffer=8_192) as client:
            play(client, over)


@pytest.mark.timeout(120)
def test_hostile_clients_harm_neither_the_agent_nor_the_others() -> None:
    with Running([*PUREMUX, "agent", "--listen", "127.0.0.1:0", "--limit", "max_bytes_held=20000000"]) as agent:
        address = agent.wait_for(r"127\.0\.0\.1:\d+").group()
        before, over = memory(agent.pid), threading.Event()
        threads = [threading.Thread(target=again_and_again, args=(play, address, over)) for play in HOSTILE]
        for thread in threads:
            thread.start()
        try:
            took = [confirm_a_span(address) for _ in range(8)]
        finally:
            over.set()
            for thread in threads:
                thread.join(2 * LIMIT)
        assert not any(thread.is_alive() for thread in threads)
        growth = (memory(agent.pid, "VmHWM") - before) / MIB
        seconds = ", ".join(f"{each:.1f}" for each in took)
        logger.info("confirmed after %s s; the agent grew by %.0f MiB at the most", seconds, growth)
        assert max(took) < 15.0
        assert growth < 300
        agent.terminate()
        assert agent.finish(2 * LIMIT) == 0
        assert "Traceback" not in agent.output


def confirm_a_span(address: str) -> float:
    """How long a good client waits for its OK."""
    began = time.monotonic()
    with Exporter(address) as exporter:
        exporter.export_trace_request(spans_request(span(), node=node("good")))
        assert exporter.flush(30.0)
    return time.monotonic() - began


def memory(pid: int, what: str = "VmRSS") -> int:
    """Bytes of a process."""
    found = re.search(rf"{what}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found.group(1)) * 1024
