"""The hand-over queue: bounded, counting, oldest first out."""

from __future__ import annotations

import threading
from collections import UserList
from collections.abc import Iterable, Iterator
from typing import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puremux.exporter.queue import HandOver

WAYS: list[Callable[[range], Iterable[int]]] = [list, tuple, iter, UserList]


@given(
    size=st.integers(1, 8),
    steps=st.lists(st.tuples(st.integers(0, 20), st.sampled_from(WAYS)), max_size=40),
)
def test_every_item_is_taken_dropped_or_held_and_the_newest_are_kept(
    size: int, steps: list[tuple[int, Callable[[range], Iterable[int]]]]
) -> None:
    queue: HandOver[int] = HandOver(size)
    model: list[int] = []
    put = 0
    for count, way in steps:
        if count:
            assert queue.put(way(range(put, put + count))) == min(size, len(model) + count)
            model = [*model, *range(put, put + count)][-size:]
            put += count
        else:
            assert queue.take(2) == model[:2]
            model = model[2:]
        assert len(queue) == len(model)
        assert put == queue.taken + queue.dropped + len(queue)
    assert queue.take(1000) == model


@pytest.mark.parametrize("count", [1, 7, 150])
def test_counts_add_up_when_many_threads_overfill_it(count: int) -> None:
    queue: HandOver[int] = HandOver(100)
    barrier = threading.Barrier(4)

    def put() -> None:
        barrier.wait()
        for number in range(2_000):
            queue.put([number] * count)

    threads = [threading.Thread(target=put) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        queue.take(10)
    for thread in threads:
        thread.join()
    assert queue.taken + queue.dropped + len(queue) == 8_000 * count
    assert len(queue) <= 100


def test_what_has_no_list_of_its_own_never_fills_the_queue_beyond_its_size() -> None:
    queue: HandOver[int] = HandOver(3)
    most = 0

    def without_end() -> Iterator[int]:
        nonlocal most
        for number in range(1000):
            most = max(most, len(queue))
            yield number

    assert queue.put(without_end()) == 3
    assert (most, queue.dropped, queue.take(9)) == (3, 997, [997, 998, 999])


def test_items_before_an_error_are_held() -> None:
    queue: HandOver[int] = HandOver(3)

    def broken() -> Iterator[int]:
        yield 1
        raise RuntimeError

    with pytest.raises(RuntimeError):
        queue.put(broken())
    assert queue.take(9) == [1]


def test_forgets_without_counting_in_a_forked_child() -> None:
    queue: HandOver[int] = HandOver(2)
    queue.put(range(5))
    queue.forget()
    assert (len(queue), queue.taken, queue.dropped) == (0, 0, 0)


def test_a_queue_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        HandOver(0)


def test_a_child_needs_no_lock_that_a_thread_of_its_parent_holds() -> None:
    queue: HandOver[int] = HandOver(2)
    queue._full.acquire()  # by a thread that the child does not have
    queue.forget()
    done = threading.Event()
    threading.Thread(target=lambda: (queue.put([1, 2, 3]), done.set()), daemon=True).start()
    assert done.wait(10) and queue.counts() == (2, 1)
