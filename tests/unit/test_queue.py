"""The hand-over queue: bounded, counting, oldest first out."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puremux.exporter.queue import HandOver


@given(size=st.integers(1, 8), steps=st.lists(st.integers(0, 5), max_size=40))
def test_every_item_is_taken_dropped_or_held_and_the_newest_are_kept(size: int, steps: list[int]) -> None:
    queue: HandOver[int] = HandOver(size)
    model: list[int] = []
    put = 0
    for step in steps:
        if step:  # 1..5: put one
            queue.put(put)
            model = [*model, put][-size:]
            put += 1
        else:
            assert queue.take(2) == model[:2]
            model = model[2:]
        assert len(queue) == len(model)
        assert put == queue.taken + queue.dropped + len(queue)
    assert queue.take(1000) == model


def test_counts_add_up_when_many_threads_overfill_it() -> None:
    queue: HandOver[int] = HandOver(100)
    barrier = threading.Barrier(4)

    def put() -> None:
        barrier.wait()
        for number in range(5_000):
            queue.put(number)

    threads = [threading.Thread(target=put) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        queue.take(10)
    for thread in threads:
        thread.join()
    assert queue.taken + queue.dropped + len(queue) == 20_000
    assert len(queue) <= 100 + 4, "each producer may be one item ahead of its look at the length"


def test_forgets_without_counting_in_a_forked_child() -> None:
    queue: HandOver[int] = HandOver(2)
    for number in range(5):
        queue.put(number)
    queue.forget()
    assert (len(queue), queue.taken, queue.dropped) == (0, 0, 0)


def test_a_queue_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        HandOver(0)
