"""A link: bytes between a socket and a protocol connection, whatever the socket does."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hpack import Encoder
from hyperframe.frame import HeadersFrame

from puremux.channel import Channel
from puremux.errors import TransportError
from puremux.protocol.connection import Connection
from puremux.protocol.events import CallEnded, ConnectionEnded, Event, HalfClosed, MessageReceived
from puremux.protocol.metadata import request_headers
from puremux.status import StatusCode
from puremux.transport.driver import Driver
from puremux.transport.link import Link
from puremux.transport.stream import byte_stream
from puremux.transport.tap import BytesPassed
from tests.shared.waiting import eventually

from .channels import LIMIT, within
from .grpc_server import GrpcServer

MIB = 1024 * 1024


@pytest.fixture
def driver() -> Iterator[Driver]:
    driver = Driver()
    yield driver
    driver.close()


class Ends:
    """A link on one end of a socket pair, and the other end."""

    def __init__(self, driver: Driver, tap: Any = None) -> None:
        ours, self.peer = socket.socketpair()
        self.peer.settimeout(LIMIT)
        self.events: list[Event] = []
        self.ended = threading.Event()
        self.connection = Connection(client_side=True, peer="the peer")
        with driver.lock:
            self.link = Link(driver, byte_stream(ours, "the peer"), self.connection, self._handle, tap)
            self.link.flush()

    def _handle(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, ConnectionEnded):
            self.ended.set()

    @property
    def reason(self) -> str:
        (ended,) = [each for each in self.events if isinstance(each, ConnectionEnded)]
        return ended.reason


def read_all(sock: socket.socket) -> bytes:
    data = b""
    try:
        while more := sock.recv(65536):
            data += more
    except OSError:
        pass
    return data


def test_the_preface_goes_out_at_once(driver: Driver) -> None:
    ends = Ends(driver)
    assert ends.peer.recv(1000).startswith(b"PRI * HTTP/2.0")
    ends.peer.close()
    assert ends.ended.wait(LIMIT)


def test_the_peers_end_is_told_in_words_and_closes_the_socket(driver: Driver) -> None:
    ends = Ends(driver)
    ends.peer.close()
    assert ends.ended.wait(LIMIT) and "the peer" in ends.reason
    assert within(lambda: ends.link.fileno() == -1)


def test_garbage_ends_the_connection_with_an_explanation_to_the_peer(driver: Driver) -> None:
    ends = Ends(driver)
    ends.peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert ends.ended.wait(LIMIT) and "HTTP/1" in ends.reason
    assert b"HTTP/1" in read_all(ends.peer), "GOAWAY says why"
    ends.peer.close()


def test_a_signals_handler_in_the_middle_of_a_write_sends_nothing_twice(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = Ends(driver)
    send = ends.link._stream.send

    def interrupted(data: Any) -> int:
        sent = send(data)
        monkeypatch.setattr(ends.link._stream, "send", send)
        ends.connection.ping(b"handler!")
        ends.link.flush()
        return sent

    with driver.lock:
        monkeypatch.setattr(ends.link._stream, "send", interrupted)
        ends.connection.ping(b"a caller")
        ends.link.flush()
    data = b""
    while b"handler!" not in data:
        data += ends.peer.recv(65536)
    assert data.count(b"a caller") == data.count(b"handler!") == 1
    assert data.index(b"a caller") < data.index(b"handler!")
    ends.peer.close()


def test_what_a_full_socket_does_not_take_is_sent_later(driver: Driver) -> None:
    ends = Ends(driver)
    with driver.lock:
        for index in range(40_000):
            ends.connection.ping(b"%08d" % index)
            ends.link.flush()
        assert ends.link.backlog > 0, "the socket is full"
    data = b""
    while b"%08d" % 39_999 not in data[-100:]:
        data += ends.peer.recv(65536)
    pings = [data[at + 9 : at + 17] for at in range(data.index(b"\0\0\x08\x06"), len(data), 17)]
    assert pings == [b"%08d" % index for index in range(40_000)]
    ends.peer.close()


def test_what_the_peer_said_before_it_closed_is_heard_although_nothing_can_be_sent(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = Ends(driver)
    ends.peer.sendall(b"\0\0\0\x04\0\0\0\0\0")
    assert within(lambda: ends.connection.can_open)
    answer = Encoder().encode([(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "7")])
    with driver.lock:
        monkeypatch.setattr(ends.link, "ready", lambda: None)  # the driver is between two looks at the socket
        ends.connection.open(request_headers("/t/M", authority="a", scheme="http"))
        ends.peer.sendall(HeadersFrame(1, answer, flags=["END_HEADERS", "END_STREAM"]).serialize())
        ends.peer.close()
        ends.link.flush()
    assert ends.ended.wait(LIMIT)
    (call,) = [each for each in ends.events if isinstance(each, CallEnded)]
    assert call.code is StatusCode.PERMISSION_DENIED


def test_messages_that_waited_for_others_to_be_taken_stay_behind_them(driver: Driver) -> None:
    """A reader who takes and flushes at once lets a third message and the end go on, before he has seen the second."""
    ours, peer = socket.socketpair()
    client = Connection(client_side=True)
    told: list[str] = []

    def handle(event: Event) -> None:
        if isinstance(event, (MessageReceived, HalfClosed)):
            told.append(str(event.payload[:1], "ascii") if isinstance(event, MessageReceived) else "end")
        if isinstance(event, MessageReceived):
            connection.message_taken(event.stream_id)
            link.flush()

    connection = Connection(client_side=False)
    with driver.lock:
        link = Link(driver, byte_stream(ours, "the client"), connection, handle)
    client.initiate()
    stream = client.open(request_headers("/t/M", authority="a", scheme="http", encoding="gzip"))
    for letter in b"abc":
        client.send_message(stream, bytes([letter]) * MIB, encoding="gzip", end=letter == ord("c"))
    peer.sendall(client.data_to_send())
    with driver.lock:
        link.flush()
    assert within(lambda: "end" in told)
    assert told == ["a", "b", "c", "end"]
    peer.close()
    assert within(lambda: link.fileno() == -1)


def test_nothing_is_sent_behind_what_could_not_be_sent(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = Ends(driver)
    asked: list[int] = []

    def refuse(data: memoryview) -> int:
        asked.append(len(data))
        raise TransportError("the peer", "The connection to the peer was lost: it is gone.")

    with driver.lock:
        monkeypatch.setattr(ends.link._stream, "send", refuse)
        for _ in range(2):  # TLS takes no other bytes than those that it has begun to send
            ends.connection.ping(b"puremux\0")
            ends.link.flush()
    assert ends.ended.wait(LIMIT) and "it is gone" in ends.reason
    assert len(asked) == 1
    ends.peer.close()


def test_a_handler_that_fails_at_the_end_leaves_no_socket_open(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = Ends(driver)

    def fail(event: Event) -> None:
        raise RuntimeError("a handler's fault")

    with driver.lock:
        monkeypatch.setattr(ends.link, "_handle", fail)
        with pytest.raises(RuntimeError):
            ends.link.close()
    assert within(lambda: ends.link.fileno() == -1)
    ends.peer.close()


def test_a_handler_that_is_interrupted_keeps_nothing_from_the_others(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = Ends(driver)
    ends.peer.sendall(b"\0\0\0\x04\0\0\0\0\0")
    assert within(lambda: ends.connection.can_open)
    interrupted: list[Event] = []

    def interrupt(event: Event) -> None:
        if not interrupted:
            interrupted.append(event)
            raise KeyboardInterrupt
        ends._handle(event)

    with driver.lock:
        monkeypatch.setattr(ends.link, "_handle", interrupt)
        ends.connection.open(request_headers("/t/M", authority="a", scheme="http"))
        with pytest.raises(KeyboardInterrupt):
            ends.link.close()
    assert isinstance(interrupted[0], CallEnded) and ends.ended.wait(LIMIT)
    ends.peer.close()


def test_the_tap_sees_every_byte_both_ways(driver: Driver) -> None:
    seen: list[BytesPassed] = []
    ends = Ends(driver, seen.append)
    settings = b"\0\0\0\x04\0\0\0\0\0"
    ends.peer.sendall(settings)
    assert within(lambda: [each.data for each in seen if each.direction == "received"] == [settings])
    with driver.lock:
        ends.link.close()
    sent = [each.data for each in seen if each.direction == "sent"]
    assert read_all(ends.peer) == b"".join(sent) != b""
    assert sent[-1] == b"", "the end is told"
    assert {(each.peer, each.connection) for each in seen} == {("the peer", seen[0].connection)}
    assert [each.time for each in seen] == sorted(each.time for each in seen)
    ends.peer.close()


def test_the_tap_is_told_when_the_peer_ends(driver: Driver) -> None:
    seen: list[BytesPassed] = []
    ends = Ends(driver, seen.append)
    ends.peer.shutdown(socket.SHUT_WR)
    assert ends.ended.wait(LIMIT)
    assert ("received", b"") in [(each.direction, each.data) for each in seen]
    ends.peer.close()


def test_two_connections_have_two_numbers(driver: Driver) -> None:
    seen: list[BytesPassed] = []
    first, second = Ends(driver, seen.append), Ends(driver, seen.append)
    assert len({each.connection for each in seen}) == 2
    first.peer.close(), second.peer.close()
    assert first.ended.wait(LIMIT) and second.ended.wait(LIMIT)


def test_an_abandoned_link_says_nothing(driver: Driver) -> None:
    ends = Ends(driver)
    with driver.lock:
        sent = len(ends.peer.recv(1000))
        ends.link.abandon()
        ends.connection.ping(b"\0" * 8)
        ends.link.flush()
    assert sent and read_all(ends.peer) == b""
    ends.peer.close()


def test_a_link_that_is_closed_under_way_reports_its_calls(driver: Driver) -> None:
    ends = Ends(driver)
    with driver.lock:
        ends.link.close()
        ends.link.close()
    assert ends.reason.endswith("the connection was closed on this side")
    ends.peer.close()


# A long fat pipe

DELAY = 0.08  # seconds, each way


class Delay:
    """Carries bytes between clients and a server, each ``DELAY`` later than they came."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for each in self._sockets:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()

    def _accept(self) -> None:
        try:
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                self._sockets += [client, server]
                for source, sink in ((client, server), (server, client)):
                    sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._carry(source, sink)
        except OSError:
            pass

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        on_the_way: list[tuple[float, bytes]] = []
        came = threading.Semaphore(0)

        def take() -> None:
            try:
                while data := source.recv(MIB):
                    on_the_way.append((time.monotonic() + DELAY, data))
                    came.release()
            except OSError:
                pass
            on_the_way.append((0.0, b""))
            came.release()

        def give() -> None:
            try:
                while came.acquire() and (entry := on_the_way.pop(0))[1]:
                    time.sleep(max(0.0, entry[0] - time.monotonic()))
                    sink.sendall(entry[1])
                sink.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        for run in (take, give):
            threading.Thread(target=run, daemon=True).start()


@pytest.mark.parametrize("direction", ["received", "sent"])
def test_one_stream_fills_a_long_fat_pipe(direction: str) -> None:
    total = 64 * MIB
    with GrpcServer() as server:
        delay = Delay(server.port)

        def flood(call: Any) -> None:
            call.send_headers()
            for _ in range(total // MIB):
                call.send(bytes(MIB))
            call.finish()

        server.handlers["/t/Flood"] = flood
        with Channel(f"127.0.0.1:{delay.port}") as channel:
            channel.unary_unary("/t/Echo")(b"", timeout=LIMIT)
            began = time.monotonic()
            if direction == "received":
                answers = channel.unary_stream("/t/Flood")(b"", timeout=3 * LIMIT)
                assert sum(map(len, answers)) == total
            else:
                chunks = (bytes(MIB) for _ in range(total // MIB))
                assert channel.stream_unary("/t/Sum")(chunks, timeout=3 * LIMIT) == b"%d" % total
            seconds = time.monotonic() - began
        delay.close()
    assert seconds < 64 * 2 * DELAY, "a window of 1 MiB would take 64 round trips"


def test_an_error_in_the_handling_of_one_event_keeps_no_other_back(
    driver: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    ends = Ends(driver)
    note = ends._handle

    def stumble(event: Event) -> None:
        note(event)
        if isinstance(event, CallEnded):
            raise ValueError("stumbled")

    with driver.lock:
        ends.link._handle = stumble
        for _ in range(2):
            ends.connection.open(request_headers("/a/b", authority="peer", scheme="http"))
        ends.link.flush()
    ends.peer.close()
    assert ends.ended.wait(LIMIT)
    assert [type(event) for event in ends.events] == [CallEnded, CallEnded, ConnectionEnded]
    eventually(lambda: ends.link.fileno() == -1, LIMIT)
    eventually(lambda: "stumbled" in caplog.text, LIMIT)
