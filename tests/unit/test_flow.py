"""The sending side: nothing leaves that a window does not allow, everything leaves in order, and streams take turns."""

from __future__ import annotations

import pytest
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame, Frame, HeadersFrame, SettingsFrame, WindowUpdateFrame

from puremux.protocol.flow import Outbox
from puremux.protocol.guard import Limits
from puremux.protocol.http2 import Http2
from tests.unit.peers import REQUEST, frames

ROOM = 10**9


class Sender:
    """An outbox, the streams 1, 3, 5, ..., and what left."""

    def __init__(self, streams: int = 1, window: int = 65_535, frame_size: int = 16_384) -> None:
        self.h2 = Http2(client_side=True, limits=Limits(), stream_window=100, max_concurrent_streams=None)
        self.h2.initiate_connection()
        self.settings(INITIAL_WINDOW_SIZE=window, MAX_FRAME_SIZE=frame_size)
        self.ids = list(range(1, 2 * streams, 2))
        for stream_id in self.ids:
            self.h2.send_headers(stream_id, REQUEST)
        self.h2.data_to_send()
        self.outbox = Outbox(self.h2)

    def settings(self, **values: int) -> None:
        settings = {SettingCodes[name]: value for name, value in values.items()}
        self.h2.receive_data(SettingsFrame(0, settings=settings).serialize())
        self.h2.data_to_send()

    def open_window(self, stream_id: int, size: int) -> None:
        self.h2.receive_data(WindowUpdateFrame(stream_id, size).serialize())
        self.outbox.window_opened(stream_id)

    def flush(self, room: int = ROOM) -> tuple[list[Frame], list[tuple[int, bool]]]:
        emptied = self.outbox.flush(room)
        return frames(self.h2.data_to_send()), emptied


def sent(found: list[Frame]) -> list[tuple[int, int]]:
    return [(each.stream_id, len(each.data)) for each in found if isinstance(each, DataFrame)]


def test_a_message_leaves_at_once_where_it_may() -> None:
    sender = Sender()
    sender.outbox.add(1, b"hello")
    (frame,), emptied = sender.flush()
    assert (frame.stream_id, frame.data, "END_STREAM" in frame.flags) == (1, b"hello", False)
    assert emptied == [(1, False)]
    assert sender.flush() == ([], [])


@pytest.mark.parametrize(
    "window, expected",
    [
        pytest.param(0, [], id="no window"),
        pytest.param(1, [1], id="one byte"),
        pytest.param(9, [9], id="one byte short"),
        pytest.param(10, [10], id="just enough"),
    ],
)
def test_no_more_leaves_than_the_stream_s_window_allows(window: int, expected: list[int]) -> None:
    sender = Sender(window=window)
    sender.outbox.add(1, bytes(10))
    found, emptied = sender.flush()
    assert [size for _, size in sent(found)] == expected
    assert sender.outbox.pending(1) == 10 - sum(expected)
    assert emptied == ([(1, False)] if window == 10 else [])
    sender.open_window(1, 10)
    assert sum(size for _, size in sent(sender.flush()[0])) == 10 - sum(expected)


def test_a_window_below_zero_is_waited_for() -> None:
    sender = Sender(window=100)
    sender.outbox.add(1, bytes(100))
    sender.flush()
    sender.settings(INITIAL_WINDOW_SIZE=10)  # the stream's window is -90 now (RFC 9113 §6.9.2)
    sender.outbox.add(1, b"x")
    sender.outbox.window_opened(0)
    assert sender.flush()[0] == []
    sender.open_window(1, 90)
    assert sender.flush()[0] == []
    sender.open_window(1, 1)
    assert sent(sender.flush()[0]) == [(1, 1)]


def test_the_end_needs_no_window() -> None:
    sender = Sender(streams=3, window=0)
    sender.outbox.end(1)
    sender.outbox.end(3, [(b"grpc-status", b"0")])
    sender.outbox.add(5, b"x")
    sender.outbox.end(5)
    (end, trailers), emptied = sender.flush()
    assert isinstance(end, DataFrame) and end.data == b"" and "END_STREAM" in end.flags
    assert isinstance(trailers, HeadersFrame) and "END_STREAM" in trailers.flags
    assert emptied == [(1, True), (3, True)]
    sender.open_window(5, 1)
    (last,), emptied = sender.flush()
    assert last.data == b"x" and "END_STREAM" in last.flags
    assert emptied == [(5, True)]


def test_trailers_leave_behind_the_last_byte() -> None:
    sender = Sender(window=3)
    sender.outbox.add(1, b"abcde")
    sender.outbox.end(1, [(b"grpc-status", b"0")])
    assert sent(sender.flush()[0]) == [(1, 3)]
    sender.open_window(1, 5)
    (data, trailers), emptied = sender.flush()
    assert data.data == b"de" and "END_STREAM" not in data.flags
    assert isinstance(trailers, HeadersFrame)
    assert emptied == [(1, True)]


def test_streams_take_turns_a_frame_each() -> None:
    sender = Sender(streams=3, window=100_000)
    for stream_id in sender.ids:
        sender.outbox.add(stream_id, bytes(20_000))
    assert sent(sender.flush()[0]) == [(1, 16_384), (3, 16_384), (5, 16_384), (1, 3_616), (3, 3_616), (5, 3_616)]


def test_a_turn_is_remembered_where_little_room_is() -> None:
    sender = Sender(streams=4, window=100_000, frame_size=16_384)
    for stream_id in sender.ids:
        sender.outbox.add(stream_id, bytes(65_536))
    turns = [sent(sender.flush(room=1)[0])[0][0] for _ in range(4)]
    assert turns == [1, 3, 5, 7]


def test_a_connection_window_that_opens_a_little_at_a_time_serves_all() -> None:
    sender = Sender(streams=3, window=1_000_000)
    for stream_id in sender.ids:
        sender.outbox.add(stream_id, bytes(65_535))
    sender.flush()
    turns = []
    for _ in range(6):
        sender.open_window(0, 10)
        turns += [stream_id for stream_id, _ in sent(sender.flush()[0])]
    assert sorted(turns) == [1, 1, 3, 3, 5, 5]


def test_the_room_is_kept_to_but_for_a_frame() -> None:
    sender = Sender(window=10**6)
    sender.outbox.add(1, bytes(60_000))
    found, emptied = sender.flush(room=20_000)
    assert sent(found) == [(1, 16_384), (1, 16_384)]
    assert emptied == []
    assert sender.flush(room=0) == ([], [])
    assert sum(size for _, size in sent(sender.flush()[0])) == 60_000 - 2 * 16_384


def test_small_messages_that_waited_leave_together() -> None:
    sender = Sender(window=0)
    for index in range(100):
        sender.outbox.add(1, b"%05d" % index)
    sender.flush()
    sender.open_window(1, 302)
    sender.open_window(1, 1_000)
    (frame,), _ = sender.flush()
    assert frame.data == b"".join(b"%05d" % index for index in range(100))


def test_a_frame_stays_small_even_if_the_peer_takes_large_ones() -> None:
    sender = Sender(window=2**31 - 1, frame_size=2**24 - 1)
    sender.open_window(0, 2**31 - 1 - 65_535)
    sender.outbox.add(1, bytes(200_000))
    assert [size for _, size in sent(sender.flush()[0])] == [65_536, 65_536, 65_536, 3_392]


def test_what_is_dropped_does_not_leave() -> None:
    sender = Sender(streams=3, window=5)
    for stream_id in sender.ids:
        sender.outbox.add(stream_id, bytes(10))
    sender.outbox.drop(3)  # before its turn
    assert sent(sender.flush()[0]) == [(1, 5), (5, 5)]
    sender.outbox.drop(1)  # stopped by its window
    sender.open_window(1, 5)
    sender.open_window(5, 5)
    assert sent(sender.flush()[0]) == [(5, 5)]
    assert [sender.outbox.pending(stream_id) for stream_id in sender.ids] == [0, 0, 0]


def test_streams_that_windows_have_stopped_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sender = Sender(streams=100, window=1)
    for stream_id in sender.ids:
        sender.outbox.add(stream_id, bytes(10))
    sender.flush()
    looked_at: list[int] = []
    window_of = sender.h2.local_flow_control_window
    monkeypatch.setattr(sender.h2, "local_flow_control_window", lambda each: looked_at.append(each) or window_of(each))
    for _ in range(100):
        assert sender.flush() == ([], [])
    assert looked_at == []
