"""The receiving side: credit goes back as messages are read, all of it, and windows grow only while that pays."""

from __future__ import annotations

from typing import Any

import pytest
from h2.settings import SettingCodes
from hyperframe.frame import SettingsFrame, WindowUpdateFrame
from hypothesis import given
from hypothesis import strategies as st

from puremux.protocol.guard import Limits
from puremux.protocol.http2 import Http2
from puremux.protocol.window import Growth, Inflow
from tests.unit.peers import REQUEST, frames

WINDOW = 10_000


class Receiver:
    """A receiving side with a stream 1, and what it sends."""

    def __init__(self, window: int = WINDOW, **options: Any) -> None:
        self.h2 = Http2(client_side=True, limits=Limits(), stream_window=window, max_concurrent_streams=None)
        self.h2.initiate_connection()
        self.h2.send_headers(1, REQUEST)
        self.h2.data_to_send()
        self.ordinal = 1
        self.growth = Growth(
            self.h2,
            self._send_settings,
            **{
                "stream_window": window,
                "connection_window": 65_535,
                "max_stream_window": window,
                "max_connection_window": 65_535,
                **options,
            },
        )
        self.inflow = Inflow(self.h2, self.growth)

    def _send_settings(self, values: dict[SettingCodes | int, int]) -> int:
        self.h2.update_settings(values)
        self.ordinal += 1
        return self.ordinal

    def receive(self, size: int, messages: int = 0, *, buffered: int = 0, end: bool = False) -> int:
        """Take DATA on stream 1; return the credit that it gives the stream."""
        self.inflow.received(1, size, messages, buffered=buffered, end_stream=end, now=0.0)
        return self.credit(1)

    def take(self) -> int:
        """Read a message; return the credit that it gives the stream."""
        self.inflow.taken(1)
        return self.credit(1)

    def credit(self, stream_id: int) -> int:
        updates = [each for each in frames(self.h2.data_to_send()) if isinstance(each, WindowUpdateFrame)]
        return sum(each.window_increment for each in updates if each.stream_id == stream_id)


def test_an_incomplete_message_is_credited_as_it_comes() -> None:
    receiver = Receiver()
    given_back = [receiver.receive(1_000, buffered=1_000 * count) for count in range(1, 7)]
    assert given_back == [0, 0, 3_000, 0, 0, 3_000]


def test_a_complete_message_is_credited_when_it_is_read() -> None:
    receiver = Receiver()
    assert receiver.receive(6_000, messages=1) == 0
    assert receiver.take() == 6_000


def test_what_comes_behind_an_unread_message_waits_with_it() -> None:
    receiver = Receiver()
    receiver.receive(3_000, messages=1)
    assert [receiver.receive(2_000, buffered=2_000), receiver.receive(2_000, buffered=4_000)] == [0, 0]
    assert receiver.take() == 7_000


def test_a_message_that_was_credited_as_it_came_is_not_credited_twice() -> None:
    receiver = Receiver()
    assert receiver.receive(8_000, buffered=8_000) == 8_000
    assert receiver.receive(4_000, messages=1) == 0
    assert receiver.take() == 4_000


def test_each_message_that_is_read_frees_its_own_bytes() -> None:
    receiver = Receiver()
    for _ in range(3):
        assert receiver.receive(3_000, messages=1) == 0
    assert [receiver.take(), receiver.take(), receiver.take()] == [3_000, 3_000, 3_000]


def test_messages_of_one_frame_free_it_together() -> None:
    receiver = Receiver()
    assert receiver.receive(4_000, messages=3) == 0
    assert [receiver.take(), receiver.take(), receiver.take()] == [0, 0, 4_000]
    assert receiver.take() == 0, "one message more than there were"


def test_messages_that_had_to_wait_packed_hold_their_bytes_until_they_are_read() -> None:
    receiver = Receiver()
    assert receiver.receive(9_000, messages=2, buffered=6_000) == 0
    assert receiver.receive(0, messages=1, buffered=3_000) == 0  # one was taken, and another one was unpacked
    assert [receiver.take(), receiver.take(), receiver.take()] == [0, 3_000, 6_000]


def test_small_credit_is_saved_up() -> None:
    receiver = Receiver()
    given_back = [receiver.receive(100, messages=1) + receiver.take() for _ in range(100)]
    assert sum(given_back) == 10_000
    assert min(filter(None, given_back)) == 2_500


def test_tiny_messages_are_noted_in_groups() -> None:
    receiver = Receiver()
    for _ in range(1_000):
        receiver.receive(6, messages=1)
    assert len(receiver.inflow._streams[1].waiting) < 10
    assert sum(receiver.take() for _ in range(1_000)) > 6_000 - 2_500


def test_a_group_of_small_messages_is_no_larger_than_its_bytes_allow() -> None:
    receiver = Receiver()
    for _ in range(90):
        receiver.receive(100, messages=1)
    assert sum(receiver.take() for _ in range(45)) >= 3_300, "half of them are read, and nearly half is credited"


def test_a_stream_that_the_peer_has_ended_needs_no_credit() -> None:
    receiver = Receiver()
    assert receiver.receive(9_000, messages=1, end=True) == 0
    assert receiver.take() == 0


def test_a_call_that_is_over_needs_no_credit() -> None:
    receiver = Receiver()
    receiver.receive(9_000, messages=1)
    receiver.inflow.forget(1)
    assert receiver.take() == 0


def test_the_connection_s_credit_does_not_wait_for_a_reader() -> None:
    receiver = Receiver(window=50_000)
    receiver.inflow.received(1, 20_000, 1, buffered=0, now=0.0)
    assert receiver.credit(0) == 20_000


def test_late_bytes_come_back_to_the_connection_and_h2_stays_right() -> None:
    receiver = Receiver()
    before = receiver.h2.inbound_flow_control_window
    for _ in range(10):
        receiver.inflow.received_late(5_000)
    assert receiver.credit(0) == 40_000  # the rest is saved up
    assert receiver.h2.inbound_flow_control_window == before, "h2 has seen neither the bytes nor the credit"


STEPS = st.one_of(st.none(), st.tuples(st.integers(1, 4_000), st.integers(0, 3), st.floats(0, 1)))


@given(st.lists(STEPS, max_size=60))
def test_credit_is_never_more_than_was_received_and_in_the_end_all_of_it(
    steps: list[tuple[int, int, float] | None],
) -> None:
    receiver, received, buffered, unread, credited = Receiver(), 0, 0, 0, 0
    for step in [*steps, *[None] * 180, (10_000, 0, 1.0)]:
        if step is None:
            credited += receiver.take()
            unread = max(0, unread - 1)
        else:
            size, messages, part = step
            received, unread = received + size, unread + messages
            buffered = int((buffered + size) * part) if messages else buffered + size
            credited += receiver.receive(size, messages, buffered=buffered)
        assert credited <= received
    assert unread == 0 and credited == received


# Growth


def align(receiver: Receiver) -> None:
    """Let enough come that a measurement is due, and make the round trip before it."""
    receiver.growth.received(1, receiver.growth.stream_window, 0.0)
    receiver.growth.acknowledged(receiver.ordinal, 0.0)


def grow(receiver: Receiver, now: float, seconds: float, size: int) -> tuple[int, int]:
    """One measured round trip in which so many bytes come; return the windows after it."""
    if not receiver.growth._is_aligned:
        align(receiver)
    receiver.growth.received(1, size, now)
    receiver.growth.acknowledged(receiver.ordinal, now + seconds)
    receiver.growth.acknowledged(receiver.ordinal, now + seconds)  # of the wider window, if there is one
    return receiver.growth.stream_window, receiver.growth.connection_window


def test_windows_double_as_long_as_that_lets_more_through() -> None:
    receiver = Receiver(65_535, max_stream_window=500_000, max_connection_window=10**6)
    windows = [grow(receiver, now, 0.1, receiver.growth.stream_window) for now in range(4)]
    assert windows == [(131_070, 131_070), (262_140, 262_140), (500_000, 524_280), (500_000, 1_000_000)]
    announced = [
        each for each in frames(receiver.h2.data_to_send()) if isinstance(each, SettingsFrame) and each.settings
    ]
    assert [each.settings[SettingCodes.INITIAL_WINDOW_SIZE] for each in announced] == [131_070, 262_140, 500_000]


@pytest.mark.parametrize(
    "seconds, size, grows",
    [
        pytest.param(0.1, 65_535, True, id="a whole window in a round trip"),
        pytest.param(0.1, 32_767, False, id="half a window"),
        pytest.param(0.0, 65_535, False, id="no time that can be measured"),
        pytest.param(-1.0, 65_535, False, id="a clock that jumps back"),
    ],
)
def test_a_window_grows_when_it_may_be_what_holds_the_peer_back(seconds: float, size: int, grows: bool) -> None:
    receiver = Receiver(65_535, max_stream_window=500_000)
    assert (grow(receiver, 0.0, seconds, size)[0] > 65_535) is grows


def test_a_wider_window_that_brought_nothing_is_the_last() -> None:
    receiver = Receiver(65_535, max_stream_window=10**9, max_connection_window=10**9)
    windows = [grow(receiver, now, 0.1, 100_000) for now in range(9)]
    assert windows[-1] == windows[0] == (131_070, 131_070)
    assert grow(receiver, 10.0, 0.05, 100_000) == (262_140, 131_070 * 2), "until the peer becomes faster"


def test_nothing_is_measured_while_little_comes() -> None:
    receiver = Receiver(65_535, max_stream_window=10**6)
    receiver.growth.received(1, 65_534, 0.0)
    assert receiver.ordinal == 1
    receiver.growth.received(1, 1, 0.0)
    assert receiver.ordinal == 2


def test_a_peer_that_never_acknowledges_is_asked_once() -> None:
    receiver = Receiver(65_535, max_stream_window=10**6)
    for _ in range(100):
        receiver.growth.received(1, 65_535, 0.0)
    assert receiver.ordinal == 2
    assert receiver.growth.stream_window == 65_535


def test_an_earlier_acknowledgement_is_not_taken_for_ours() -> None:
    receiver = Receiver(65_535, max_stream_window=10**6)
    align(receiver)
    receiver.growth.received(1, 65_535, 0.0)
    receiver.growth.acknowledged(receiver.ordinal - 1, 5.0)
    assert receiver.growth.stream_window == 65_535
    receiver.growth.acknowledged(receiver.ordinal, 5.0)
    assert receiver.growth.stream_window == 131_070


def test_at_its_maximum_a_window_is_not_measured_any_more() -> None:
    receiver = Receiver(65_535)
    for _ in range(10):
        receiver.growth.received(1, 65_535, 0.0)
    assert receiver.ordinal == 1


def test_many_small_streams_widen_the_connection_s_window_only() -> None:
    receiver = Receiver(65_535, max_stream_window=10**6, max_connection_window=10**6)
    align(receiver)
    for stream_id in range(1, 61, 2):
        receiver.growth.received(stream_id, 2_000, 0.0)
    receiver.growth.acknowledged(receiver.ordinal, 0.1)
    assert (receiver.growth.stream_window, receiver.growth.connection_window) == (65_535, 131_070)
    assert receiver.credit(0) == 65_535


def test_a_wider_window_for_many_streams_that_brought_nothing_is_the_last() -> None:
    receiver = Receiver(65_535, max_stream_window=10**6, max_connection_window=10**6)
    for now in (0.0, 1.0):
        if not receiver.growth._is_aligned:
            align(receiver)
        for stream_id in range(1, 81, 2):
            receiver.growth.received(stream_id, 2_000, now)
        receiver.growth.acknowledged(receiver.ordinal, now + 0.1)
    assert receiver.growth.connection_window == 131_070
