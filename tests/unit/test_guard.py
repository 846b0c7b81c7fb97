"""The gate in front of h2: what it lets through, what it keeps, what it refuses, and what floods cost."""

from __future__ import annotations

import struct

import pytest
from h2.errors import ErrorCodes
from hypothesis import given
from hypothesis import strategies as st

from puremux.errors import RemoteProtocolError
from puremux.protocol.guard import Budget, FrameGate, GoAway, LateData, Limits
from tests.unit.peers import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    raw,
)

FIRST = raw(SETTINGS)
OVER = 99  # the stream whose call has ended


def gate(client_side: bool = True, **limits: float) -> FrameGate:
    chosen = Limits(**limits)
    return FrameGate(client_side=client_side, limits=chosen, budget=Budget(chosen), is_over=lambda each: each == OVER)


def pass_through(gate: FrameGate, wire: bytes, chunk: int = 0) -> tuple[bytes, list[GoAway | LateData]]:
    """The bytes that reach h2, and what the gate keeps."""
    through, kept = b"", []
    for at in range(0, len(wire), chunk or len(wire) or 1):
        for piece in gate.receive_data(wire[at : at + (chunk or len(wire))], 0.0):
            if isinstance(piece, (GoAway, LateData)):
                kept.append(piece)
            else:
                through += piece
    return through, kept


GOAWAY_BODY = struct.pack(">II", 0x80000007, 11) + b"too_many_pings"

PASSING = [
    pytest.param(b"", b"", [], id="nothing"),
    pytest.param(raw(DATA, 1, b"hello"), raw(DATA, 1, b"hello"), [], id="DATA"),
    pytest.param(raw(DATA, 1), raw(DATA, 1), [], id="empty DATA"),
    pytest.param(raw(HEADERS, 1, b"h", END_HEADERS), raw(HEADERS, 1, b"h", END_HEADERS), [], id="HEADERS"),
    pytest.param(
        raw(HEADERS, 1, b"h") + raw(CONTINUATION, 1, b"") + raw(CONTINUATION, 1, b"i", END_HEADERS),
        raw(HEADERS, 1, b"h") + raw(CONTINUATION, 1, b"") + raw(CONTINUATION, 1, b"i", END_HEADERS),
        [],
        id="a header block of three frames",
    ),
    pytest.param(raw(PING, 0, b"12345678"), raw(PING, 0, b"12345678"), [], id="PING"),
    pytest.param(raw(PRIORITY, 1, b"12345"), b"", [], id="PRIORITY is dropped"),
    pytest.param(raw(0xBE, 1, b"what?") + raw(0xFF), b"", [], id="unknown frames are dropped"),
    pytest.param(raw(GOAWAY, 0, GOAWAY_BODY), b"", [GoAway(7, 11, b"too_many_pings")], id="GOAWAY"),
    pytest.param(raw(GOAWAY, 0, bytes(8)) * 2, b"", [GoAway(0, 0, b"")] * 2, id="GOAWAY twice"),
    pytest.param(raw(DATA, OVER, b"hello") + raw(DATA, 1), raw(DATA, 1), [LateData(OVER, 5)], id="late DATA"),
    pytest.param(raw(DATA, OVER), b"", [LateData(OVER, 0)], id="late and empty DATA"),
    pytest.param(raw(HEADERS, OVER, b"h", END_HEADERS), raw(HEADERS, OVER, b"h", END_HEADERS), [], id="late HEADERS"),
    pytest.param(
        raw(WINDOW_UPDATE, 1 << 31 | 1, bytes(4)), raw(WINDOW_UPDATE, 1 << 31 | 1, bytes(4)), [], id="reserved bit"
    ),
]


@pytest.mark.parametrize("wire, through, kept", PASSING)
def test_what_passes_does_not_depend_on_how_it_is_cut(wire: bytes, through: bytes, kept: list[object]) -> None:
    for chunk in (0, 1, 2, 5, 8, 9, 10, 11):
        assert pass_through(gate(), FIRST + wire, chunk) == (FIRST + through, kept)


@given(st.lists(st.sampled_from(PASSING), max_size=6), st.data())
def test_any_cut_passes_the_same(frames: list[object], draw: st.DataObject) -> None:
    wire = FIRST + b"".join(each.values[0] for each in frames)
    whole = pass_through(gate(), wire)
    cut, (through, kept) = gate(), (b"", [])
    while wire:
        size = draw.draw(st.integers(1, len(wire)))
        more, also_kept = pass_through(cut, wire[:size])
        through, kept = through + more, kept + also_kept
        wire = wire[size:]
    assert (through, kept) == whole


def test_a_frame_that_comes_whole_goes_to_h2_in_one_piece() -> None:
    pieces = list(gate().receive_data(FIRST + raw(DATA, 1, bytes(100)) + raw(DATA, 1, bytes(50))[:20], 0.0))
    assert [len(piece) for piece in pieces] == [9, 109, 20]


REFUSED = [
    pytest.param(raw(DATA, 1, bytes(16_385)), ErrorCodes.FRAME_SIZE_ERROR, "16385 bytes", id="a frame too large"),
    pytest.param(b"\xff" * 9, ErrorCodes.FRAME_SIZE_ERROR, "16777215 bytes", id="a frame far too large"),
    pytest.param(
        b"HTTP/1.1 400 Bad Request\r\n", ErrorCodes.PROTOCOL_ERROR, "went over to HTTP/1", id="HTTP/1 later on"
    ),
    pytest.param(raw(PRIORITY, 1, b"1234"), ErrorCodes.FRAME_SIZE_ERROR, "PRIORITY", id="PRIORITY of 4 bytes"),
    pytest.param(raw(GOAWAY, 0, b"1234567"), ErrorCodes.FRAME_SIZE_ERROR, "shorter than 8", id="GOAWAY of 7 bytes"),
    pytest.param(raw(GOAWAY, 1, bytes(8)), ErrorCodes.PROTOCOL_ERROR, "came on a stream", id="GOAWAY on a stream"),
    pytest.param(
        raw(HEADERS, 1, b"h") + raw(DATA, 1), ErrorCodes.PROTOCOL_ERROR, "interrupted", id="DATA within a block"
    ),
    pytest.param(raw(HEADERS, 1) + raw(0xBE), ErrorCodes.PROTOCOL_ERROR, "interrupted", id="unknown within a block"),
    pytest.param(
        raw(HEADERS, 1) + raw(CONTINUATION, 3), ErrorCodes.PROTOCOL_ERROR, "interrupted", id="another stream's block"
    ),
    pytest.param(
        raw(HEADERS, 1) + raw(HEADERS, 1, b"", END_HEADERS),
        ErrorCodes.PROTOCOL_ERROR,
        "interrupted",
        id="HEADERS within",
    ),
    pytest.param(
        raw(HEADERS, 1, bytes(16_384)) + raw(CONTINUATION, 1, bytes(16_384)) * 16,
        ErrorCodes.ENHANCE_YOUR_CALM,
        "larger than 262144 bytes",
        id="a block without end",
    ),
]


@pytest.mark.parametrize("wire, code, said", REFUSED)
@pytest.mark.parametrize("chunk", [pytest.param(0, id="whole"), pytest.param(1, id="byte by byte")])
def test_what_ends_the_connection(wire: bytes, code: int, said: str, chunk: int) -> None:
    with pytest.raises(RemoteProtocolError, match=said) as error:
        pass_through(gate(), FIRST + wire, chunk)
    assert error.value.error_code == code


@pytest.mark.parametrize(
    "greeting, said",
    [
        pytest.param(
            b"HTTP/1.1 400 Bad Request\r\n\r\n", "speaks HTTP/1, not HTTP/2: it answered 'HTTP/1.1", id="HTTP/1"
        ),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x46\0\0\0", "speaks TLS", id="a TLS alert"),
        pytest.param(b"\x16\x03\x01\x00\x02\x02\x46\0\0\0", "speaks TLS", id="a TLS handshake"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", "it began with b'SSH-2.0-O'", id="SSH"),
        pytest.param(raw(PING, 0, bytes(8)), "where a SETTINGS frame belongs", id="PING first"),
        pytest.param(raw(SETTINGS, 0, b"", ACK), "where a SETTINGS frame belongs", id="an acknowledgement first"),
        pytest.param(raw(SETTINGS, 1), "where a SETTINGS frame belongs", id="SETTINGS on a stream"),
    ],
)
def test_a_server_that_does_not_speak_http2(greeting: bytes, said: str) -> None:
    for chunk in (0, 1):
        with pytest.raises(RemoteProtocolError, match=said):
            pass_through(gate(), greeting, chunk)


@pytest.mark.parametrize("greeting", [b"HTTP/1.1", b"S", b"\x15\x03"])
def test_a_server_that_leaves_after_a_word(greeting: bytes) -> None:
    short = gate()
    pass_through(short, greeting)
    with pytest.raises(RemoteProtocolError, match="the server"):
        short.receive_eof()


def test_a_server_that_leaves_without_a_word_or_after_settings() -> None:
    gate().receive_eof()
    polite = gate()
    pass_through(polite, FIRST + b"\0\0")
    polite.receive_eof()


@pytest.mark.parametrize("chunk", [0, 1, 7])
def test_a_client_begins_with_the_preface(chunk: int) -> None:
    assert pass_through(gate(client_side=False), PREFACE + FIRST, chunk) == (PREFACE + FIRST, [])


@pytest.mark.parametrize("greeting", [b"GET / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nXX", b"\x16\x03\x01"])
def test_a_client_that_does_not_speak_http2(greeting: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="the client does not speak HTTP/2"):
        pass_through(gate(client_side=False), greeting)


FLOODS = [
    pytest.param(raw(DATA, 1), 1, id="empty DATA"),
    pytest.param(raw(DATA, 1, b"x"), 1, id="DATA that nobody earns back"),
    pytest.param(raw(HEADERS, 1, b"", END_HEADERS), 1, id="HEADERS"),
    pytest.param(raw(HEADERS, 1, bytes(5_120), END_HEADERS), 11, id="large HEADERS"),
    pytest.param(raw(HEADERS, 1) + raw(CONTINUATION, 1, b"", END_HEADERS), 2, id="HEADERS and CONTINUATION"),
    pytest.param(raw(PUSH_PROMISE, 1, b"", END_HEADERS), 1, id="PUSH_PROMISE"),
    pytest.param(raw(PRIORITY, 1, b"12345"), 1.01, id="PRIORITY"),
    pytest.param(raw(RST_STREAM, 1, b"1234"), 1.01, id="RST_STREAM"),
    pytest.param(raw(SETTINGS), 1, id="SETTINGS"),
    pytest.param(raw(SETTINGS, 0, bytes(300)), 6, id="large SETTINGS"),
    pytest.param(raw(SETTINGS, 0, b"", ACK), 1, id="acknowledgements"),
    pytest.param(raw(PING, 0, bytes(8)), 1.01, id="PING"),
    pytest.param(raw(GOAWAY, 0, bytes(8)), 1.01, id="GOAWAY"),
    pytest.param(raw(WINDOW_UPDATE, 0, bytes(4)), 1.01, id="WINDOW_UPDATE"),
    pytest.param(raw(0xBE), 1, id="unknown"),
    pytest.param(raw(0xBE, 0, bytes(10_240)), 11, id="large unknown"),
]


@pytest.mark.parametrize("frame, cost", FLOODS)
def test_a_flood_is_ended(frame: bytes, cost: float) -> None:
    flooded = gate(idle_frames=100)
    pass_through(flooded, FIRST)
    fits = int(99 / cost)
    pass_through(flooded, frame * fits)
    with pytest.raises(RemoteProtocolError, match="floods the connection with") as error:
        pass_through(flooded, frame * 2)
    assert error.value.error_code == ErrorCodes.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(
    "frame, words",
    [
        pytest.param(raw(PRIORITY, 0, b"12345"), "stream 0", id="PRIORITY on stream 0"),
        pytest.param(raw(RST_STREAM, 9, b"1234"), "nobody has opened", id="RST_STREAM on an idle stream"),
        pytest.param(raw(DATA, 9, b"x"), "nobody has opened", id="DATA on an idle stream"),
        pytest.param(raw(WINDOW_UPDATE, 9, bytes(4)), "nobody has opened", id="WINDOW_UPDATE on an idle stream"),
        pytest.param(raw(CONTINUATION, 1), "without a header block", id="CONTINUATION by itself"),
    ],
)
def test_frames_that_no_stream_is_there_for_end_the_connection(frame: bytes, words: str) -> None:
    limits = Limits()
    guarded = FrameGate(
        client_side=True, limits=limits, budget=Budget(limits), is_over=lambda _: False, is_idle=lambda each: each > 7
    )
    with pytest.raises(RemoteProtocolError, match=words) as error:
        pass_through(guarded, FIRST + frame)
    assert error.value.error_code == ErrorCodes.PROTOCOL_ERROR


def test_the_cost_of_a_header_block_can_be_given_back() -> None:
    kept = gate()
    pass_through(kept, FIRST + raw(HEADERS, 1, bytes(512)) + raw(CONTINUATION, 1, bytes(512), END_HEADERS))
    assert kept.block_cost == pytest.approx(4)
    pass_through(kept, raw(HEADERS, 1, b"", END_HEADERS))
    assert kept.block_cost == pytest.approx(1)


def test_time_and_use_give_an_allowance_back() -> None:
    budget = Budget(Limits(idle_frames=10, idle_frames_per_second=2))
    budget.tick(100.0)
    budget.spend("PING", 10)
    with pytest.raises(RemoteProtocolError, match="PING"):
        budget.spend("PING", 0.5)
    budget.earn(0.5)
    budget.tick(101.0)
    budget.spend("PING", 2)
    budget.tick(50.0)  # a clock that jumps back takes nothing away
    budget.tick(51.0)
    budget.spend("PING", 2)
    budget.tick(1e9)
    budget.spend("PING", 10)
    with pytest.raises(RemoteProtocolError):
        budget.spend("PING", 0.001)
