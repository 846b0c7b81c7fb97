"""A channel's tap: it sees each connection, and nothing that it does can harm a call."""

from __future__ import annotations

import logging

import pytest

from puremux.channel import Channel
from puremux.transport.tap import BytesPassed

from .channels import LIMIT
from .grpc_server import GrpcServer


def test_a_tap_sees_whole_connections(server: GrpcServer) -> None:
    seen: list[BytesPassed] = []
    for _ in range(2):
        with Channel(server.target, tap=seen.append) as channel:
            assert channel.unary_unary("/t/Echo")(b"hello", timeout=LIMIT) == b"hello"
    numbers = sorted({each.connection for each in seen})
    assert len(numbers) == 2
    for number in numbers:
        pieces = [each for each in seen if each.connection == number]
        sent = b"".join(each.data for each in pieces if each.direction == "sent")
        received = b"".join(each.data for each in pieces if each.direction == "received")
        assert sent.startswith(b"PRI * HTTP/2.0") and b"hello" in sent and b"hello" in received
        assert (pieces[-1].direction, pieces[-1].data) == ("sent", b"")


def test_a_tap_that_raises_harms_no_call_and_is_told_no_more(
    server: GrpcServer, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[BytesPassed] = []

    def tap(passed: BytesPassed) -> None:
        told.append(passed)
        raise OSError("the disk is full")

    with caplog.at_level(logging.WARNING, "puremux"), Channel(server.target, tap=tap) as channel:
        for _ in range(3):
            assert channel.unary_unary("/t/Echo")(b"hello", timeout=LIMIT) == b"hello"
    assert len(told) == 1
    (record,) = [record for record in caplog.records if record.name == "puremux"]
    assert "raised OSError('the disk is full'); it is told no more" in record.getMessage()
