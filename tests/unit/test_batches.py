"""The ledger: whatever happens to batches, the sums hold."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from puremux.exporter.batches import Batch, Ledger

MOST_BYTES = 100


def entry(size: int, filling: bytes = b"x") -> bytes:
    """An entry of field 2."""
    return bytes([0x12, size]) + filling * size


class LedgerMachine(RuleBasedStateMachine):
    """Batches wait, travel on streams, are confirmed, come back, or are dropped, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(MOST_BYTES)
        self.streams: list[list[Batch]] = []

    @rule(sizes=st.lists(st.integers(0, 20), min_size=1, max_size=5))
    def add(self, sizes: list[int]) -> None:
        self.ledger.add(Batch(b"".join(map(entry, sizes)), len(sizes)))

    @precondition(lambda self: self.ledger.waiting)
    @rule()
    def divide(self) -> None:
        batch = self.ledger.waiting.popleft()
        if not self.ledger.divide(batch):
            assert batch.count == 1
            self.ledger.drop(batch, "refused")

    @precondition(lambda self: self.ledger.waiting)
    @rule(new_stream=st.booleans())
    def send(self, new_stream: bool) -> None:
        batch = self.ledger.waiting.popleft()
        self.ledger.send(batch)
        if new_stream or not self.streams:
            self.streams.append([])
        self.streams[-1].append(batch)

    @precondition(lambda self: self.streams)
    @rule(arrived=st.booleans())
    def end_a_stream(self, arrived: bool) -> None:
        batches = self.streams.pop(0)
        (self.ledger.confirm if arrived else self.ledger.give_back)(batches)

    @invariant()
    def nothing_leaves_uncounted(self) -> None:
        ledger = self.ledger
        waiting = sum(batch.count for batch in ledger.waiting)
        assert ledger.accepted == waiting + ledger.unconfirmed + ledger.confirmed + sum(ledger.dropped.values())
        assert ledger.unconfirmed == sum(batch.count for stream in self.streams for batch in stream)

    @invariant()
    def all_that_is_outstanding_waits_or_travels(self) -> None:
        travelling = [batch for stream in self.streams for batch in stream]
        assert set(self.ledger.outstanding) == {*self.ledger.waiting, *travelling}
        oldest = min((batch.number for batch in self.ledger.outstanding), default=self.ledger.numbered)
        assert self.ledger.has_settled(oldest)
        assert self.ledger.has_settled(oldest + 1) != bool(self.ledger.outstanding)

    @invariant()
    def bytes_are_bounded(self) -> None:
        ledger = self.ledger
        travelling = sum(len(batch.payload) for stream in self.streams for batch in stream)
        assert ledger.unconfirmed_bytes == travelling
        assert ledger.kept_bytes == travelling + sum(len(batch.payload) for batch in ledger.waiting)
        taken_whole = {batch.number for batch in ledger.waiting}  # halves of one batch have its number
        assert ledger.kept_bytes <= MOST_BYTES + travelling or len(taken_whole) <= 1


LedgerMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40)
TestLedger = LedgerMachine.TestCase


def test_batches_that_come_back_go_first_and_in_their_order() -> None:
    ledger = Ledger(MOST_BYTES)
    first, second, third = (Batch(bytes([number]), 1) for number in range(3))
    for batch in (first, second, third):
        ledger.add(batch)
    sent = [ledger.waiting.popleft(), ledger.waiting.popleft()]
    for batch in sent:
        ledger.send(batch)
    ledger.give_back(sent)
    assert list(ledger.waiting) == [first, second, third]
    ledger.send(ledger.waiting.popleft())
    assert (ledger.sent, ledger.replayed) == (2, 1)


def test_the_oldest_waiting_batch_makes_room() -> None:
    ledger = Ledger(10)
    for name in (b"a", b"b", b"c"):
        ledger.add(Batch(name * 5, 2))
    assert [batch.payload[:1] for batch in ledger.waiting] == [b"b", b"c"]
    assert ledger.dropped == {"replay buffer full": 2}


def test_a_batch_larger_than_the_buffer_is_still_tried() -> None:
    ledger = Ledger(10)
    ledger.add(Batch(b"x" * 50, 1))
    assert len(ledger.waiting) == 1 and not ledger.dropped


def test_the_halves_of_a_batch_larger_than_the_buffer_are_both_tried() -> None:
    ledger = Ledger(10)
    ledger.add(Batch(entry(20) + entry(20), 2))
    assert ledger.divide(ledger.waiting.popleft())
    assert len(ledger.waiting) == 2 and not ledger.dropped


def test_the_halves_have_all_of_the_items_in_their_order() -> None:
    entries = [entry(number, bytes([number])) for number in (1, 127, 3)] + [b"\x12\x80\x01" + b"y" * 128]
    whole = Batch(b"".join(entries), 4, identity=b"node")
    whole.number = 7
    first, second = whole.halves()
    assert (first.payload, second.payload) == (entries[0] + entries[1], entries[2] + entries[3])
    assert (first.count, second.count, first.identity, second.number) == (2, 2, b"node", 7)


@pytest.mark.parametrize(
    "payload, count",
    [
        pytest.param(entry(3), 1, id="one item"),
        pytest.param(entry(3) + b"\x1a\x00", 2, id="another field"),
        pytest.param(entry(3) + b"\x08\x01", 2, id="a number"),
        pytest.param(b"", 0, id="nothing"),
    ],
)
def test_what_cannot_be_divided_stays_whole(payload: bytes, count: int) -> None:
    assert Batch(payload, count).halves() == []
