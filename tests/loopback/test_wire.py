"""``puremux wire`` as a user runs it: between a client and a server, and over what was recorded."""

from __future__ import annotations

import json
import re
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from puremux import Channel, Exporter
from puremux.agent import Agent
from puremux.proto import trace_pb2, trace_service_pb2
from puremux.wire import Decoder, Recorder
from puremux.wire.parts import Layer
from puremux.wire.records import Message, leaves
from puremux.wire.sources import Recording
from tests.shared.programs import LIMIT, PUREMUX, Running

from .grpc_server import GrpcServer

SPAN = trace_pb2.Span(
    trace_id=bytes(range(16)), span_id=bytes(range(8)), name=trace_pb2.TruncatableString(value="Foo"), kind=2
)


def wire(*options: Any) -> Running:
    return Running([*PUREMUX, "wire", *options])


def proxy(to: str, *options: Any, listen: str = "127.0.0.1:0") -> tuple[Running, str]:
    """A proxy, and where it listens."""
    running = wire("--listen", listen, "--to", to, *options)
    return running, running.wait_for(r"^Between (\S+) and ").group(1)


def test_a_proxy_shows_a_call_and_saves_it(server: GrpcServer, tmp_path: Path) -> None:
    running, address = proxy(server.target, "--save", tmp_path / "session")
    with running:
        with Channel(address) as channel:
            assert channel.unary_unary("/t/Echo")(b"hello", timeout=LIMIT) == b"hello"
        running.wait_for(r":path: /t/Echo")
        running.wait_for(r"grpc-status: 0   OK; ")
        running.interrupt()
        assert running.finish() == 0, running.output
        running.wait_for(r"^1 connection, \d+ frames, 2 messages, [\d,]+ bytes, all understood\.$")
    again = wire(tmp_path / "session")
    with again:
        assert again.finish() == 0
    shown, replayed = ([line for line in each.lines if "─▶" in line or "◀─" in line] for each in (running, again))
    assert shown == replayed != []


def test_a_proxy_hands_on_every_byte_both_ways_and_both_ends(serve: Any, tmp_path: Path) -> None:
    """Not only HTTP/2, many connections, more bytes than any buffer holds, and an answer behind the client's end."""
    answer = bytes(range(256)) * 4_000

    def upside_down(sock: socket.socket) -> None:
        data = b""
        while more := sock.recv(65_536):
            data += more
        sock.sendall(answer + data[::-1])

    running, address = proxy(f"127.0.0.1:{serve(upside_down).port}", "--save", tmp_path / "session")
    sent = [bytes([index]) * 300_000 for index in range(8)]
    got = [b""] * len(sent)

    def talk(index: int) -> None:
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), LIMIT) as sock:
            sock.sendall(sent[index])
            sock.shutdown(socket.SHUT_WR)
            while more := sock.recv(65_536):
                got[index] += more

    with running:
        threads = [threading.Thread(target=talk, args=(index,)) for index in range(len(sent))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        running.terminate()
        assert running.finish() == 0, running.output
    assert got == [answer + each[::-1] for each in sent]
    saved = (tmp_path / "session").read_bytes().splitlines()
    assert sum(len(json.loads(line).get("hex", "")) // 2 for line in saved) == sum(map(len, sent + got))


def test_a_client_that_is_gone_is_gone_for_the_server(serve: Any) -> None:
    ended = threading.Event()

    def wait_for_the_end(sock: socket.socket) -> None:
        try:
            while sock.recv(1000):
                pass
        finally:
            ended.set()

    running, address = proxy(f"127.0.0.1:{serve(wait_for_the_end).port}")
    with running:
        host, port = address.split(":")
        sock = socket.create_connection((host, int(port)), LIMIT)
        sock.sendall(b"PRI")
        sock.close()
        assert ended.wait(LIMIT)


def test_a_server_that_is_not_there_is_told(refused_port: int) -> None:
    running, address = proxy(f"127.0.0.1:{refused_port}")
    with running:
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), LIMIT) as sock:
            sock.settimeout(LIMIT)
            assert sock.recv(1000) == b""
        running.wait_for(rf"^Cannot connect to 127\.0\.0\.1:{refused_port} for 127\.0\.0\.1:\d+: ")


def test_a_proxy_between_unix_sockets(tmp_path: Path) -> None:
    with GrpcServer(path=str(tmp_path / "server")) as server:
        running, address = proxy(server.target, listen=f"unix:{tmp_path / 'proxy'}")
        with running, Channel(address) as channel:
            assert channel.unary_unary("/t/Echo")(b"hello", timeout=LIMIT) == b"hello"


@pytest.mark.parametrize(
    "options, sentence",
    [
        pytest.param([], "takes a FILE, or", id="nothing"),
        pytest.param(["--listen", "127.0.0.1:0"], "needs both --listen and --to", id="half a proxy"),
        pytest.param(["session", "--listen", "a:1", "--to", "a:2"], "takes a FILE, or", id="two at once"),
        pytest.param(["session", "--save", "other"], "--save is for the proxy", id="save without a proxy"),
        pytest.param(["/nowhere/session"], "/nowhere/session: No such file", id="no such file"),
        pytest.param([__file__], "no session that puremux has recorded", id="no session"),
        pytest.param(
            ["--client", __file__, "--descriptors", __file__], "no descriptors that protoc", id="no descriptors"
        ),
    ],
)
def test_what_cannot_be_shown_is_refused(options: list[str], sentence: str) -> None:
    with wire(*options) as running:
        assert running.finish() == 2
        assert sentence in running.output
        assert "0 connections" not in running.output


def test_the_bytes_of_one_end_are_enough(tmp_path: Path) -> None:
    (tmp_path / "client").write_bytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"))
    with wire("--client", tmp_path / "client", "--plain") as running:
        assert running.finish() == 0
        running.wait_for("client ─▶ SETTINGS")
        running.wait_for("^1 connection, 1 frame, 0 messages, 33 bytes, all understood")


def test_types_of_ones_own_are_known_by_their_names(server: GrpcServer, tmp_path: Path) -> None:
    file = FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    file.message_type.add(name="Request").field.add(name="greeting", number=1, type=9, label=1)
    file.service.add(name="Echoes").method.add(name="Echo", input_type=".t.Request", output_type=".t.Request")
    (tmp_path / "types").write_bytes(FileDescriptorSet(file=[file]).SerializeToString())
    with Recorder(tmp_path / "session") as recorder, Channel(server.target, tap=recorder) as channel:
        server.handlers["/t.Echoes/Echo"] = server.handlers["/t/Echo"]
        channel.unary_unary("/t.Echoes/Echo")(b"\x0a\x05hello", timeout=LIMIT)
    with wire(tmp_path / "session", "--descriptors", tmp_path / "types") as running:
        assert running.finish() == 0
        running.wait_for('greeting: "hello"')


def test_an_exporters_session_is_understood_to_the_last_byte(tmp_path: Path) -> None:
    with (
        Agent("127.0.0.1:0") as agent,
        Recorder(tmp_path / "session") as recorder,
        Exporter(agent.address, service_name="breakfast", tap=recorder, compression="gzip") as exporter,
    ):
        for _ in range(100):
            exporter.export_trace_request(trace_service_pb2.ExportTraceServiceRequest(spans=[SPAN]))
        assert exporter.flush(LIMIT)
    decoder = Decoder()
    records = [record for piece in Recording(tmp_path / "session") for record in decoder.read(piece)]
    records += decoder.finish()
    told = list(leaves(records))
    assert not [leaf for leaf in told if leaf.layer is Layer.UNKNOWN]
    recorded = [bytes.fromhex(each) for each in re.findall('"hex":"(.*?)"', (tmp_path / "session").read_text())]
    assert sum(len(leaf.data) for leaf in told) == sum(map(len, recorded))
    names = {record.type_name.rpartition(".")[2] for record in records if isinstance(record, Message)}
    assert "ExportTraceServiceRequest" in names
