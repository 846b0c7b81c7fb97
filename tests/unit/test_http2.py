"""What is asked of h2, beyond what h2 does by itself."""

from __future__ import annotations

import struct
import time
from typing import Callable

import pytest
from h2.connection import H2Connection
from h2.exceptions import FrameTooLargeError, ProtocolError
from h2.settings import SettingCodes
from hpack import Decoder, NeverIndexedHeaderTuple
from hyperframe.frame import GoAwayFrame, PingFrame, SettingsFrame
from hypothesis import given
from hypothesis import strategies as st

from puremux.protocol.guard import Limits
from puremux.protocol.http2 import Http2
from tests.unit.peers import SETTINGS, frames, raw

HEADERS = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"h")]


def client(window: int = 100) -> Http2:
    http2 = Http2(client_side=True, limits=Limits(), stream_window=window, max_concurrent_streams=None)
    http2.initiate_connection()
    http2.receive_data(SettingsFrame(0).serialize())
    http2.data_to_send()
    return http2


@pytest.mark.parametrize("client_side", [pytest.param(True, id="client"), pytest.param(False, id="server")])
def test_the_settings_that_are_announced(client_side: bool) -> None:
    http2 = Http2(client_side=client_side, limits=Limits(), stream_window=12_345, max_concurrent_streams=7)
    http2.initiate_connection()
    data = http2.data_to_send()
    (settings,) = frames(data)
    assert settings.settings[SettingCodes.INITIAL_WINDOW_SIZE] == 12_345
    assert settings.settings[SettingCodes.MAX_FRAME_SIZE] == 16_384
    assert settings.settings[SettingCodes.MAX_HEADER_LIST_SIZE] == 65_536
    assert settings.settings[SettingCodes.ENABLE_PUSH] == 0
    assert settings.settings.get(SettingCodes.MAX_CONCURRENT_STREAMS) == (None if client_side else 7)


def test_frames_of_our_own_leave_in_the_order_made() -> None:
    http2 = client()
    http2.ping(b"12345678")
    http2.send_goaway(5, 11, "x" * 999)
    http2.ping(b"87654321")
    first, goaway, last = frames(http2.data_to_send())
    assert isinstance(first, PingFrame) and first.opaque_data == b"12345678"
    assert isinstance(goaway, GoAwayFrame)
    assert (goaway.last_stream_id, goaway.error_code, goaway.additional_data) == (5, 11, b"x" * 256)
    assert isinstance(last, PingFrame) and last.opaque_data == b"87654321"
    assert http2.data_to_send() == b""


def test_the_connection_lives_on_after_goaway() -> None:
    http2 = client()
    http2.send_headers(1, HEADERS)
    http2.send_goaway(0, 0, "")
    http2.send_data(1, b"on we go", end_stream=True)
    assert [type(each).__name__ for each in frames(http2.data_to_send())] == [
        "HeadersFrame",
        "GoAwayFrame",
        "DataFrame",
    ]


def test_settings_that_nobody_knows_are_not_kept() -> None:
    http2 = client()
    for first in range(9, 65_536, 2_000):
        codes = range(first, min(first + 2_000, 65_536))
        body = b"".join(struct.pack(">HI", code, 1) for code in codes)
        http2.receive_data(raw(SETTINGS, 0, body))
        http2.tame_settings()
    assert len(http2.remote_settings) <= len(SettingCodes)


def test_a_peer_cannot_make_our_header_table_large() -> None:
    http2 = client()
    http2.receive_data(SettingsFrame(0, settings={SettingCodes.HEADER_TABLE_SIZE: 2**32 - 1}).serialize())
    http2.tame_settings()
    assert http2.encoder.header_table_size == 4_096
    http2.receive_data(SettingsFrame(0, settings={SettingCodes.HEADER_TABLE_SIZE: 100}).serialize())
    http2.tame_settings()
    assert http2.encoder.header_table_size == 100


FIELDS = st.sampled_from([(b":method", b"POST"), (b"a", b"b"), (b"a", b"c" * 99), (b"k", b"v"), (b"", b"")])
BLOCKS = st.lists(st.one_of(FIELDS, st.binary(max_size=3).map(lambda value: NeverIndexedHeaderTuple(b"varies", value))))


@given(st.lists(st.one_of(BLOCKS, st.sampled_from([0, 40, 100, 4_096])), max_size=20))
def test_runs_of_fields_that_are_remembered_are_written_right(steps: list[list[tuple[bytes, bytes]] | int]) -> None:
    http2, decoder = client(), Decoder()
    encoder = http2.encoder
    for step in steps:
        if isinstance(step, int):
            http2.receive_data(SettingsFrame(0, settings={SettingCodes.HEADER_TABLE_SIZE: step}).serialize())
            http2.tame_settings()
            continue
        for _ in range(3):
            assert decoder.decode(encoder.encode(step), raw=True) == step
        never_indexed = [field for field in decoder.decode(encoder.encode(step), raw=True) if not field.indexable]
        assert never_indexed == [field for field in step if isinstance(field, NeverIndexedHeaderTuple)]


def test_streams_that_are_closed_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Http2, "MAX_CLOSED_STREAMS", 100)
    http2 = client()
    for stream_id in range(1, 1_001, 2):
        http2.send_headers(stream_id, HEADERS)
        http2.reset_stream(stream_id)
    assert len(http2.streams) <= 128
    assert len(http2._closed_streams) <= 100


def test_opening_a_stream_does_not_walk_over_all_others() -> None:
    """h2 alone takes a time that grows with the number of open streams; the ratio holds on any machine."""

    def seconds_to_open(http2: H2Connection) -> float:
        began = time.perf_counter()
        for stream_id in range(2_001, 2_201, 2):
            http2.send_headers(stream_id, HEADERS)
        return time.perf_counter() - began

    ours, plain = client(), H2Connection()
    plain.initiate_connection()
    for http2 in (ours, plain):
        for stream_id in range(1, 2_001, 2):
            http2.send_headers(stream_id, HEADERS)
    assert seconds_to_open(ours) < seconds_to_open(plain) / 2


@pytest.mark.parametrize("size", [0, 1, 100, 16_384])
@pytest.mark.parametrize("view", [bytes, memoryview])
def test_data_frames_are_those_of_h2(size: int, view: Callable[[bytes], bytes | memoryview]) -> None:
    ours, theirs = client(), client()
    payload = bytes(range(256)) * 64
    for http2, send in ((ours, Http2.send_data), (theirs, H2Connection.send_data)):
        http2.send_headers(1, HEADERS)
        send(http2, 1, view(payload[:size]))
        http2.ping(b"12345678")
        send(http2, 1, view(payload[:3]), end_stream=True)
    assert ours.data_to_send() == theirs.data_to_send()
    assert ours.outbound_flow_control_window == theirs.outbound_flow_control_window == 65_535 - size - 3


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda http2: http2.end_stream(1), id="half-closed"),
        pytest.param(lambda http2: http2.reset_stream(1), id="reset"),
        pytest.param(lambda http2: http2.close_connection(), id="connection closed"),
        pytest.param(lambda http2: [http2.send_data(1, bytes(16_384)) for _ in range(3)], id="window used up"),
        pytest.param(lambda http2: http2.streams.pop(1), id="forgotten"),
    ],
)
def test_data_that_h2_refuses_is_refused(spoil: Callable[[Http2], object]) -> None:
    http2 = client()
    http2.send_headers(1, HEADERS)
    spoil(http2)
    with pytest.raises(ProtocolError):
        http2.send_data(1, bytes(16_384))


def test_data_larger_than_a_frame_is_refused() -> None:
    http2 = client()
    http2.send_headers(1, HEADERS)
    with pytest.raises(FrameTooLargeError):
        http2.send_data(1, bytes(16_385))
