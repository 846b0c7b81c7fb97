"""A client lives through any server: its events are in order, each call ends once, and what it keeps is bounded.

The bytes choose, step by step, frames of the server, mostly valid, and moves of the client's application.
"""

from __future__ import annotations

from unittest.mock import patch

from fuzz.common import SETTINGS, Choices, FrameMaker, Ledger, raw
from puremux.errors import LocalProtocolError
from puremux.protocol import framing
from puremux.protocol.connection import Connection
from puremux.protocol.metadata import request_headers

LIMIT = 10_000
REQUEST = request_headers("/p.S/M", authority="h", scheme="http")


def act(connection: Connection, ledger: Ledger, choices: Choices) -> None:
    """A move of the application; LocalProtocolError is the answer to one that is not allowed now."""
    stream_id = choices.pick((1, 3, 5, 7))
    try:
        move = choices.byte() % 7
        if move in (0, 1):
            ledger.running[connection.open(REQUEST)] = []
        elif move == 2:
            assert connection.send_message(stream_id, bytes(choices.byte() * 300), end=choices.byte() > 200) >= 0
        elif move == 3:
            connection.half_close(stream_id)
        elif move == 4:
            connection.message_taken(stream_id)
        elif move == 5:
            connection.reset(stream_id)
            ledger.running.pop(stream_id, None)
        else:
            connection.probe()
            connection.ping(b"12345678")
    except LocalProtocolError:
        pass


def check(data: bytes) -> None:
    with patch.object(framing, "MAX_UNREAD", 5_000):
        play(Choices(data))


def play(choices: Choices) -> None:
    connection = Connection(client_side=True, max_receive_message_length=LIMIT, stream_window=20_000)
    ledger, frames = Ledger(connection, LIMIT), FrameMaker(choices, (1, 1, 1, 3, 5, 0, 2, 99))
    connection.initiate()
    if choices.byte() < 255:
        ledger.take(connection.receive_data(raw(SETTINGS, 0, b""), 0.0))
    ledger.running[connection.open(REQUEST)] = []
    steps, now = 0, 0.0
    while choices and not ledger.over:
        steps += 1
        if choices.byte() % 3:
            wire, size, now = frames.frame(), 1 + choices.byte() * 99, now + choices.byte() / 1_000
            for at in range(0, len(wire), size):
                ledger.take(connection.receive_data(wire[at : at + size], now))
        else:
            act(connection, ledger, choices)
        if choices.byte() % 4 == 0:
            assert len(connection.data_to_send()) < 20_000 * steps + 300_000
            ledger.take(connection.take_events())
        for call in connection._calls.values():
            assert len(call._reader._buffer) <= LIMIT + 5
    ledger.take(connection.receive_eof())
    assert ledger.over and connection.calls == 0
    assert connection.receive_data(b"x", 0.0) == connection.receive_eof() == []
