"""A server and the clients that want to harm it: each is refused and counted, and the others don't notice."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from puremux import Channel
from puremux.methods import MethodView
from puremux.server import Responder, Server, ServerLimits
from puremux.server import server as server_module
from puremux.status import StatusCode
from puremux.transport.driver import Driver
from tests.hostile import wire
from tests.shared.waiting import eventually

from .raw_client import LIMIT, RawClient, request

ECHO, SILENT = "/t/Echo", "/t/Silent"


class Echo:
    """Sends each message back; ends with the client."""

    def __init__(self, responder: Responder) -> None:
        self.responder = responder

    def message(self, payload: bytes) -> None:
        self.responder.send(payload)

    def half_closed(self) -> None:
        self.responder.finish()

    def ended(self) -> None:
        pass


class Silent(Echo):
    """Takes messages and says nothing."""

    def message(self, payload: bytes) -> None:
        pass


Start = Callable[..., tuple[Server, str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """``start(max_streams=3, ...)``: a server with these limits, and its address."""
    with contextlib.ExitStack() as stack:

        def begin(tls: ssl.SSLContext | None = None, **limits: Any) -> tuple[Server, str]:
            server = Server({ECHO: Echo, SILENT: Silent}, tls=tls, limits=ServerLimits(**limits))
            stack.callback(server.stop)
            return server, server.listen("127.0.0.1:0")

        yield begin


def echo(address: str, payload: bytes = b"hello") -> float:
    """Make a call as a good client; return how many seconds it took."""
    began = time.monotonic()
    with Channel(address, insecure=True) as channel:
        assert channel.unary_unary(ECHO, None, None)(payload, timeout=LIMIT) == payload
    return time.monotonic() - began


def test_one_connection_too_many_is_told_and_counted(start: Start) -> None:
    server, address = start(max_connections=1)
    with RawClient(address) as first:
        first.until(wire.SETTINGS)
        with RawClient(address) as second:
            code, sentence = second.goaway()
            assert (code, sentence) == (0xB, "this server has 1 connections, and takes no more")
            assert second.has_ended()
        first.sock.sendall(wire.ping())
        first.until(wire.PING, wire.ACK)
    assert server.refused_connections == {"too_many_connections": 1}
    eventually(lambda: server.connections == 0, LIMIT, "the first has left")
    echo(address)


def test_a_client_that_says_nothing_is_dropped(start: Start) -> None:
    server, address = start(greeting_time=0.05)
    with RawClient(address, greet=False) as client:
        client.sock.sendall(wire.PREFACE[:5])
        assert client.has_ended()
    assert server.refused_connections == {"no_greeting": 1}
    assert server.connections == 0


def test_a_handshake_that_does_not_come_about_is_counted(start: Start, server_tls: ssl.SSLContext) -> None:
    server, address = start(tls=server_tls)
    with RawClient(address) as client:
        with contextlib.suppress(ConnectionResetError):
            assert client.sock.recv(1) in (b"", b"\x15")  # an alert, in plaintext
        eventually(lambda: server.refused_connections == {"handshake_failed": 1}, LIMIT)


def test_a_message_that_is_too_large_is_refused_before_it_is_taken(start: Start) -> None:
    server, address = start(max_message_bytes=1_000)
    with RawClient(address) as client:
        client.begin(1, ECHO)
        client.send(1, wire.message(b"", length=1_001))
        status, sentence = client.status()
    assert status == "8" and "1001 bytes is larger than the limit of 1000" in sentence
    assert server.refused_calls == {"message_too_large": 1}


def test_a_method_that_is_not_there_is_counted(start: Start) -> None:
    server, address = start()
    with RawClient(address) as client:
        client.begin(1, "/t/" + "x" * 500)
        status, sentence = client.status()
    assert status == "12" and sentence.startswith("no method /t/xxx") and len(sentence) < 250
    assert server.refused_calls == {"unknown_method": 1}


def test_a_flood_of_nothing_ends_the_connection_and_no_other(start: Start) -> None:
    server, address = start()
    with RawClient(address) as good, RawClient(address) as bad:
        with contextlib.suppress(OSError):  # it may be closed while we send
            bad.sock.sendall(wire.ping() * 2_000)
        eventually(lambda: server.refused_connections == {"protocol_error": 1}, LIMIT)
        good.sock.sendall(wire.ping())
        good.until(wire.PING, wire.ACK)


def test_ten_thousand_streams_are_as_many_as_a_client_may_have(start: Start) -> None:
    server, address = start(max_streams=10)
    with RawClient(address) as bad:
        with contextlib.suppress(OSError):
            for begin in range(1, 20_000, 1_000):
                bad.sock.sendall(b"".join(request(stream_id, SILENT) for stream_id in range(begin, begin + 1_000, 2)))
        echo(address)
        (client,) = server._clients or (None,)
        assert client is None or client._link.connection.calls <= 10


def test_unfinished_messages_are_bounded(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "LOOK_EVERY", 0.01)
    server, address = start(max_partial_bytes=100_000, max_streams=50)
    with RawClient(address) as modest, RawClient(address) as greedy:
        modest.begin(1, ECHO)
        modest.send(1, wire.message(bytes(1_000))[:500])
        for stream_id in range(1, 41, 2):
            greedy.begin(stream_id, SILENT)
            greedy.send(stream_id, wire.message(bytes(8_000))[:-1])
        status, sentence = greedy.status()
        assert (status, sentence) == ("8", "this server holds 100000 bytes of unfinished messages, and no more")
        eventually(lambda: sum(client.partial_bytes for client in server._clients) <= 100_000, LIMIT)
        modest.send(1, wire.message(bytes(1_000))[500:], end=True)
        assert modest.until(wire.DATA).payload == wire.message(bytes(1_000))
    assert server.refused_calls["too_many_partial_messages"] >= 10


def test_a_client_that_never_reads_is_not_read_from_and_then_given_up(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "LOOK_EVERY", 0.05)
    server, address = start(reading_time=0.5)
    with RawClient(address, receive_buffer=4_096) as deaf:
        (client,) = eventually(lambda: list(server._clients), LIMIT)
        deaf.sock.sendall(wire.settings({wire.INITIAL_WINDOW_SIZE: wire.MAX_WINDOW}))
        deaf.begin(1, ECHO)
        deaf.sock.settimeout(0.2)
        taken = 0
        with contextlib.suppress(OSError):  # at last it takes no more
            while taken < 400 * 1024 * 1024:
                deaf.send(1, wire.message(bytes(64_000)))
                taken += 64_000
        assert taken < 200 * 1024 * 1024, "it takes without end from who reads nothing"
        assert client._link.backlog < 8 * 1024 * 1024
        assert echo(address) < 5.0
        eventually(lambda: server.refused_connections == {"not_reading": 1}, LIMIT)


def test_a_client_that_sends_a_byte_at_a_time_holds_up_nobody(start: Start) -> None:
    _, address = start()
    call = request(1, ECHO) + wire.data(1, wire.message(b"slow"), end=True)
    with RawClient(address) as slow:
        for at in range(len(call)):
            slow.sock.sendall(call[at : at + 1])
            if at % 50 == 0:
                echo(address)
        assert slow.until(wire.DATA).payload == wire.message(b"slow")


def test_a_process_without_descriptors_rests_instead_of_spinning(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[int] = []
    server, address = start()
    listener = server._listeners[0]

    class Exhausted:
        def accept(self) -> Any:
            turns.append(1)
            raise OSError(24, "Too many open files")

        def __getattr__(self, name: str) -> Any:
            return getattr(sock, name)

    sock, listener._sock = listener._sock, Exhausted()  # type: ignore[assignment]
    with socket.create_connection(("127.0.0.1", int(address.split(":")[1])), LIMIT):
        eventually(lambda: turns, LIMIT)
        listener._sock = sock
        assert echo(address) < LIMIT
    assert len(turns) < 3


def test_draining_lets_calls_end_and_takes_no_more(start: Start) -> None:
    server, address = start()
    with RawClient(address) as client:
        client.begin(1, ECHO)
        client.send(1, wire.message(b"one"))
        client.until(wire.DATA)
        server.drain()
        assert client.goaway() == (0, "")
        assert not server.wait(0)
        client.send(1, wire.message(b"two"), end=True)
        assert client.until(wire.DATA).payload == wire.message(b"two")
        assert client.status() == ("0", "")
        assert server.wait(LIMIT)
        server.stop()
        assert client.has_ended()
    with pytest.raises(ConnectionRefusedError), socket.socket() as late:
        late.connect(("127.0.0.1", int(address.split(":")[1])))


def test_a_driver_may_be_shared(start: Start) -> None:
    driver = Driver("shared")
    server = Server({ECHO: Echo}, driver=driver)
    echo(server.listen("127.0.0.1:0"))
    server.stop()
    server.stop()


def test_calls_are_counted_by_method_however_they_end(start: Start) -> None:
    server, address = start()
    with Channel(address) as channel:
        assert channel.unary_unary(ECHO)(b"four", timeout=LIMIT) == b"four"
        with pytest.raises(Exception, match="no method"):
            channel.unary_unary("/t/Nothing")(b"", timeout=LIMIT)
        cancelled = channel.open(SILENT)
        cancelled.send(b"to be cancelled")
        eventually(lambda: counted(server)[SILENT].received_bytes == 15, LIMIT)
        cancelled.cancel()
        channel.open(SILENT).send(b"to break off")
        eventually(lambda: counted(server)[SILENT].received_messages == 2, LIMIT)
    eventually(lambda: not any(view.running for view in counted(server).values()), LIMIT)
    echo, unknown, silent = (counted(server)[method] for method in (ECHO, "(unknown methods)", SILENT))
    assert (dict(echo.by_status), echo.sent_bytes, echo.received_bytes) == ({StatusCode.OK: 1}, 4, 4)
    assert dict(unknown.by_status) == {StatusCode.UNIMPLEMENTED: 1}
    assert silent.ended == 2
    assert StatusCode.OK not in silent.by_status


def counted(server: Server) -> dict[str, MethodView]:
    for method in (ECHO, SILENT):
        server.calls.of(method)
    with server.driver.lock:
        return {view.method: view for view in server.calls.views()}


def test_what_is_handed_over_does_not_wait_for_a_turn_of_all_clients(start: Start) -> None:
    """Each client's message takes its time; whoever wants to end the server has his turn in between."""
    turns: list[str] = []
    now = 1_000.0

    class Slow(Echo):
        def message(self, payload: bytes) -> None:
            if not turns:
                self.responder._link._driver.call_soon(lambda: turns.append("handed over"))
            turns.append("message")
            nonlocal now
            now += 0.06

    server = Server({SILENT: Slow}, driver=Driver(clock=lambda: now))
    address = server.listen("127.0.0.1:0")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawClient(address)) for _ in range(10)]
        eventually(lambda: server.connections == 10, LIMIT)
        with server.driver.lock:  # all of them are ready in one turn
            for client in clients:
                client.sock.sendall(request(1, SILENT) + wire.data(1, wire.message(b"x")))
        eventually(lambda: len(turns) == 11, LIMIT)
        server.stop()
    assert turns.index("handed over") < 6


# Addresses


@pytest.mark.parametrize(
    "listen, begins", [("127.0.0.1:0", "127.0.0.1:"), ("[::1]:0", "[::1]:"), ("unix:{}/socket", "unix")]
)
def test_a_handler_knows_where_its_client_is(listen: str, begins: str, tmp_path: Path) -> None:
    peers: list[str] = []

    def method(responder: Responder) -> Echo:
        peers.append(responder.peer)
        return Echo(responder)

    server = Server({ECHO: method})
    try:
        echo(server.listen(listen.format(tmp_path)))
    finally:
        server.stop()
    assert peers[0].startswith(begins)


def test_the_socket_that_a_server_left_behind_gives_way(start: Start, tmp_path: Path) -> None:
    place = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(place))
    server, _ = start()
    assert server.listen(f"unix:{place}") == f"unix:{place}"


def test_a_file_that_is_no_socket_is_left_alone(start: Start, tmp_path: Path) -> None:
    place = tmp_path / "precious.txt"
    place.write_text("mine")
    server, _ = start()
    with pytest.raises(OSError, match=rf"cannot listen on {place}: Address already in use"):
        server.listen(f"unix:{place}")
    assert place.read_text() == "mine"


def test_a_server_that_is_too_busy_to_accept_keeps_its_socket(start: Start, tmp_path: Path) -> None:
    place = tmp_path / "busy.sock"
    with contextlib.ExitStack() as stack:
        busy = stack.enter_context(socket.socket(socket.AF_UNIX))
        busy.bind(str(place))
        busy.listen(0)
        waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
        waiting.connect(str(place))
        server, _ = start()
        with pytest.raises(OSError, match="Address already in use"):
            server.listen(f"unix:{place}")
