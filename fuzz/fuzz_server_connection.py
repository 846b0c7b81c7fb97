"""A server lives through any client: its events are in order, each call is told once, and what it keeps is bounded.

The bytes choose, step by step, frames of the client, mostly valid, and moves of the server's application.
"""

from __future__ import annotations

from fuzz.common import SETTINGS, Choices, FrameMaker, Ledger, raw
from puremux.errors import LocalProtocolError
from puremux.protocol.connection import Connection
from puremux.status import StatusCode

LIMIT = 10_000
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def act(connection: Connection, choices: Choices) -> None:
    """A move of the application; LocalProtocolError is the answer to one that is not allowed now."""
    stream_id = choices.pick((1, 3, 5, 7))
    try:
        move = choices.byte() % 7
        if move == 0:
            connection.send_headers(stream_id, [("a", "b")])
        elif move == 1:
            assert connection.send_message(stream_id, bytes(choices.byte() * 300)) >= 0
        elif move == 2:
            connection.send_trailers(stream_id, choices.pick(list(StatusCode)), "é")
        elif move == 3:
            connection.message_taken(stream_id)
        elif move == 4:
            connection.reset(stream_id)
        elif move == 5:
            connection.go_away(0, choices.pick((None, 1, 2**31 - 1)))
        else:
            connection.probe()
            connection.ping(b"12345678")
    except LocalProtocolError:
        pass


def check(data: bytes) -> None:
    choices = Choices(data)
    connection = Connection(
        client_side=False, max_receive_message_length=LIMIT, stream_window=20_000, max_concurrent_streams=3
    )
    ledger, frames = Ledger(connection, LIMIT), FrameMaker(choices, (1, 1, 3, 5, 7, 9, 0, 2))
    connection.initiate()
    ledger.take(connection.receive_data(PREFACE + raw(SETTINGS, 0, b""), 0.0))
    steps, now = 0, 0.0
    while choices and not ledger.over:
        steps += 1
        if choices.byte() % 3:
            wire, size, now = frames.frame(), 1 + choices.byte() * 99, now + choices.byte() / 1_000
            for at in range(0, len(wire), size):
                ledger.take(connection.receive_data(wire[at : at + size], now))
        else:
            act(connection, choices)
            ledger.take(connection.take_events())
        for stream_id in set(ledger.running) - set(connection._calls):
            del ledger.running[stream_id]  # it has been answered or reset by us
        assert connection.calls <= 3
        if choices.byte() % 4 == 0:
            assert len(connection.data_to_send()) < 20_000 * steps + 300_000
            ledger.take(connection.take_events())
        for call in connection._calls.values():
            assert len(call._reader._buffer) <= LIMIT + 5
    ledger.take(connection.receive_eof())
    assert ledger.over and connection.calls == 0
