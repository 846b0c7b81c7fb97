"""The figures of calls by method: sums, buckets, and a bound on how many methods there can be."""

from __future__ import annotations

import gc

import pytest

from puremux.methods import LATENCY_BOUNDS, MOST_METHODS, OTHERS, MethodBook, channel_book, channel_books
from puremux.status import StatusCode


def test_a_call_is_counted_from_its_start_to_its_end() -> None:
    book = MethodBook("here")
    counts = book.of("/s/M")
    counts.start()
    counts.sent(10)
    counts.sent(5)
    counts.received(7)
    (view,) = book.views()
    assert (view.method, view.started, view.running, view.ended) == ("/s/M", 1, 1, 0)
    counts.end(StatusCode.OK, 0.25)
    counts.start()
    counts.end(StatusCode.UNAVAILABLE, 0.5)
    (view,) = book.views()
    assert view.by_status == {StatusCode.OK: 1, StatusCode.UNAVAILABLE: 1}
    assert (view.sent_messages, view.sent_bytes, view.received_messages, view.received_bytes) == (2, 15, 1, 7)
    assert (view.seconds, view.longest, view.running) == (0.75, 0.5, 0)


@pytest.mark.parametrize("bucket, seconds", [(0, 0.0), *enumerate(LATENCY_BOUNDS, start=1), (8, 5000.0)])
def test_a_bound_belongs_to_the_bucket_above_it(bucket: int, seconds: float) -> None:
    book = MethodBook("here")
    book.of("/s/M").start()
    book.of("/s/M").end(StatusCode.OK, seconds)
    assert [index for index, count in enumerate(book.views()[0].latencies) if count] == [bucket]


def test_methods_beyond_the_bound_share_their_figures() -> None:
    book = MethodBook("here")
    for number in range(MOST_METHODS + 5):
        book.of(f"/s/M{number}").start()
    views = book.views()
    assert len(views) == MOST_METHODS + 1
    assert (views[-1].method, views[-1].started) == (OTHERS, 5)


def test_the_books_of_channels_are_found_while_somebody_holds_them() -> None:
    book = channel_book("test_methods, one")
    assert book in channel_books()
    del book
    gc.collect()
    assert "test_methods, one" not in [each.name for each in channel_books()]
