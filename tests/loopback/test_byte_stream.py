"""Byte streams, plain and TLS, keep the same promises: whole, in order, never blocking, and clear when lost."""

from __future__ import annotations

import selectors
import socket
import ssl
import struct
import threading
from typing import Any, Callable

import pytest

from puremux.errors import TlsError, TransportError
from puremux.transport.stream import ByteStream, byte_stream
from puremux.transport.tls_stream import TLS_WRITE_SIZE, TlsByteStream

Pair = tuple[ByteStream, ByteStream]

LOST = "The connection to agent:1 was lost: the other side has (closed|reset) it."

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    return client, server


def tls_pair(client_tls: ssl.SSLContext, server_tls: ssl.SSLContext) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    client, server = tcp_pair()
    accepted: list[ssl.SSLSocket] = []
    thread = threading.Thread(target=lambda: accepted.append(server_tls.wrap_socket(server, server_side=True)))
    thread.start()
    connected = client_tls.wrap_socket(client, server_hostname="localhost")
    thread.join(10)
    return connected, accepted[0]


@pytest.fixture(params=["plain", "TLS 1.2", "TLS 1.3"])
def pair(request: pytest.FixtureRequest) -> Any:
    """Two ends of a connection."""
    if request.param == "plain":
        client, server = tcp_pair()
    else:
        client_tls, server_tls = request.getfixturevalue("client_tls"), request.getfixturevalue("server_tls")
        server_tls.maximum_version = getattr(ssl.TLSVersion, request.param.replace(" ", "v").replace(".", "_"))
        client, server = tls_pair(client_tls, server_tls)
    ends = byte_stream(client, "agent:1"), byte_stream(server, "127.0.0.1:9")
    yield ends
    for end in ends:
        end.close()


@pytest.fixture
def secure_pair(client_tls: ssl.SSLContext, server_tls: ssl.SSLContext) -> Any:
    ends = [byte_stream(sock, "agent:1") for sock in tls_pair(client_tls, server_tls)]
    yield ends
    for end in ends:
        end.close()


def wait(stream: ByteStream, reading: bool = False, writing: bool = False) -> None:
    """Wait for what the stream says it waits for."""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, stream.events(reading, writing))
        assert selector.select(10), "nothing happened"


def receive(stream: ByteStream, max_bytes: int = 65536) -> bytes:
    while True:
        data = stream.receive(max_bytes)
        if data is not None:
            return data
        wait(stream, reading=True)


def fill(stream: ByteStream, data: bytes) -> int:
    """Send until nothing more is taken."""
    sent = 0
    while taken := stream.send(memoryview(data)[sent:]):
        sent += taken
    return sent


def test_nothing_has_come_yet(pair: Pair) -> None:
    for end in pair:
        assert end.receive(100) is None
        assert end.pending == 0 and end.fileno() >= 0


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_what_is_sent_is_received(kind: Callable[[bytes], Any], pair: Pair) -> None:
    client, server = pair
    assert client.send(kind(b"hello")) == 5
    assert server.send(kind(b"welcome")) == 7
    assert receive(server) == b"hello" and receive(client) == b"welcome"


def test_sending_nothing_is_nothing(pair: Pair) -> None:
    assert pair[0].send(b"") == 0


def test_megabytes_both_ways_at_once_arrive_whole(pair: Pair) -> None:
    """Each end sends while it receives, so that both are full at times, and repeats what was not taken."""
    data = bytes(range(251)) * 20_000
    sent, received = [0, 0], [bytearray(), bytearray()]
    with selectors.DefaultSelector() as selector:
        for end in (0, 1):
            selector.register(pair[end], READ | WRITE, end)
        while min(map(len, received)) < len(data):
            ready = selector.select(10)
            assert ready, "both ends wait"
            for key, _ in ready:
                end = key.data
                while new := pair[end].receive(10_000):
                    received[end] += new
                sent[end] += pair[end].send(memoryview(data)[sent[end] :][:300_000])
                selector.modify(pair[end], pair[end].events(True, sent[end] < len(data)), end)
    assert received == [data, data]


def test_a_full_socket_takes_nothing_and_the_rest_comes_later(pair: Pair) -> None:
    client, server = pair
    data = bytes(range(253)) * 50_000
    sent = fill(client, data)
    assert 0 < sent < len(data)
    received = bytearray()
    while len(received) < len(data):
        received += server.receive(1_000_000) or b""
        if sent < len(data):
            sent += client.send(bytearray(data[sent : sent + 300_000]))  # in another place of the memory
    assert received == data


def test_the_end_of_the_stream(pair: Pair) -> None:
    client, server = pair
    client.send(b"last")
    client.send_eof()
    assert receive(server) == b"last"
    assert receive(server) == b"" == receive(server)


def test_a_polite_end_lets_the_peer_read_everything(pair: Pair) -> None:
    """What the peer sent unasked would, unread, make TCP take back what is still on its way to him."""
    client, server = pair
    client.send(b"chatter" * 1000)
    server.send(b"farewell")
    server.send_eof()
    assert not server.drain()
    assert receive(client) == b"farewell"
    assert receive(client) == b""
    client.close()
    while not server.drain():
        wait_for_bytes(server)


def wait_for_bytes(stream: ByteStream) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(stream, READ)
        assert selector.select(10)


def test_closed_twice_and_ended_after_that(pair: Pair) -> None:
    client, _ = pair
    client.close()
    client.close()
    client.send_eof()
    assert client.drain()
    assert client.fileno() == -1


def reset(stream: ByteStream) -> None:
    """Break the connection off as a process that is killed may do."""
    stream._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()


def test_a_connection_that_is_reset(pair: Pair) -> None:
    client, server = pair
    reset(server)
    wait_for_bytes(client)
    try:
        assert client.receive(100) == b""  # how TLS in Python 3.11 and later sees it
    except TransportError as failed:
        assert str(failed) == "The connection to agent:1 was lost: the other side has reset it."
    with pytest.raises(TransportError, match=f"^{LOST}"):
        client.send(b"hello")


def send_for_ever(stream: ByteStream) -> None:
    while True:
        stream.send(b"hello")


def test_a_peer_that_has_closed_is_noticed_when_sending(pair: Pair) -> None:
    client, server = pair
    server.close()
    with pytest.raises(TransportError, match=f"^{LOST}"):
        send_for_ever(client)


def test_an_error_without_words_of_ours_keeps_the_systems() -> None:
    stream = byte_stream(socket.socket(), "agent:1")
    stream.close()
    with pytest.raises(TransportError, match="The connection to agent:1 was lost: Bad file descriptor."):
        stream.receive(1)


# What TLS adds


def test_decrypted_bytes_wait_where_no_selector_sees_them(secure_pair: Pair) -> None:
    client, server = secure_pair
    server.send(b"x" * 1000)
    assert receive(client, 1) == b"x"
    assert client.pending == 999
    assert client.receive(1000) == b"x" * 999
    assert client.pending == 0


def test_what_was_not_taken_must_not_get_shorter(secure_pair: Pair) -> None:
    client, _ = secure_pair
    fill(client, bytes(50_000_000))
    with pytest.raises(ValueError, match=f"must repeat the {TLS_WRITE_SIZE} bytes"):
        client.send(b"short")


def test_a_broken_record(client_tls: ssl.SSLContext, server_tls: ssl.SSLContext) -> None:
    client, server = tls_pair(client_tls, server_tls)
    with server:
        stream = byte_stream(client, "agent:1")
        socket.socket.send(server, b"\x17\x03\x03\x00\x20" + bytes(32))  # past the TLS layer
        with pytest.raises(TlsError, match="TLS with agent:1 failed: "):
            receive(stream)
        stream.close()


def test_a_connection_cut_off_without_a_word(client_tls: ssl.SSLContext, server_tls: ssl.SSLContext) -> None:
    """HTTP/2 tells by itself whether something is missing, so a missing close_notify is an end like any other."""
    client, server = tls_pair(client_tls, server_tls)
    stream = byte_stream(client, "agent:1")
    server.close()
    assert receive(stream) == b""
    stream.close()


class ContrarySocket(ssl.SSLSocket):
    """Wants to write before it receives, and to read before it sends, as TLS does when keys change."""

    def __init__(self) -> None:
        pass

    def setblocking(self, blocking: bool) -> None:
        pass

    def recv(self, *args: Any) -> bytes:
        raise ssl.SSLWantWriteError

    def send(self, *args: Any) -> int:
        raise ssl.SSLWantReadError


def test_receiving_may_wait_for_writing_and_sending_for_reading() -> None:
    stream = TlsByteStream(ContrarySocket.__new__(ContrarySocket), "agent:1")
    assert (stream.events(True, False), stream.events(False, True)) == (READ, WRITE)
    assert stream.receive(100) is None and stream.send(b"hello") == 0
    assert (stream.events(True, False), stream.events(False, True)) == (WRITE, READ)
    assert (stream.events(True, True), stream.events(False, False)) == (READ | WRITE, 0)


def test_one_thread_may_send_while_another_receives(pair: Pair) -> None:
    client, server = pair
    data = bytes(range(249)) * 10_000

    def send_all(stream: ByteStream) -> None:
        sent = 0
        while sent < len(data):
            taken = stream.send(memoryview(data)[sent:])
            sent += taken
            if not taken:
                wait(stream, writing=True)

    senders = [threading.Thread(target=send_all, args=(end,), daemon=True) for end in pair]
    received = {client: bytearray(), server: bytearray()}

    def receive_all(stream: ByteStream) -> None:
        while len(received[stream]) < len(data):
            received[stream] += receive(stream)

    receivers = [threading.Thread(target=receive_all, args=(end,), daemon=True) for end in pair]
    for thread in senders + receivers:
        thread.start()
    for thread in senders + receivers:
        thread.join(10)
    assert list(received.values()) == [data, data]
