"""The book of spans: counts by name and cell, the newest spans, samples that stay, and bounds on all of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puremux.zpages.book import BUCKETS, ERRORS, OTHER_NAMES, OVERHEAD, Bounds, SpanBook, bucket_of, name_id
from puremux.zpages.surface import Surface


def span(
    name: str = "a",
    latency: int = 0,
    code: int = 0,
    end: int = 10**12,
    whole: bytes = b"",
    trace_id: bytes = b"t" * 16,
) -> Surface:
    return Surface(name, trace_id, b"s" * 8, b"", end - latency, end, code, whole)


@pytest.mark.parametrize(
    "nanoseconds, bucket",
    [
        (0, "0"),
        (9_999, "0"),
        (10_000, "10 µs"),
        (999_999, "100 µs"),
        (10**9, "1 s"),
        (10**11, "100 s"),
        (10**18, "100 s"),
    ],
)
def test_latency_buckets_are_opencensuss(nanoseconds: int, bucket: str) -> None:
    assert BUCKETS[bucket_of(nanoseconds)] == bucket


def test_spans_are_counted_by_name_latency_and_status() -> None:
    book = SpanBook()
    book.add([span("a", 5), span("a", 20_000), span("a", 20_000, code=5), span("b", 10**12), span("b", code=-7)])
    a, b = book.names()
    assert (a.name, a.name_id, a.latencies[:3], a.errors, a.total) == ("a", name_id("a"), (1, 1, 0), {5: 1}, 3)
    assert (b.latencies[-1], b.errors) == (1, {-1: 1})


def test_spans_of_a_cell_come_newest_first() -> None:
    book = SpanBook()
    spans = [span("a", 5, end=end) for end in (3, 1, 2)]
    book.add([*spans, span("a", 50_000, end=9), span("a", code=5, end=8), span("b", 5, end=7)])
    assert [each.end for each in book.spans(name_id("a"), 0)] == [3, 2, 1]
    assert [each.end for each in book.spans(name_id("a"), ERRORS)] == [8]
    assert [each.end for each in book.spans(name_id("a"))] == [9, 8, 3, 2, 1]
    assert len(book.spans()) == 6


def test_a_rare_span_outlives_a_flood_of_others() -> None:
    book = SpanBook(Bounds(spans=100, samples=3))
    slow, failed = span("a", 10**10, end=1), span("a", code=5, end=2)
    book.add([slow, failed])
    book.add(span("a", 5, end=number) for number in range(10_000))
    assert book.spans(name_id("a"), 7) == [slow]
    assert book.spans(name_id("a"), ERRORS) == [failed]
    assert len(book.spans(name_id("a"), 0)) == 100


def test_the_newest_are_bounded_in_number_and_bytes() -> None:
    book = SpanBook(Bounds(spans=10, samples=0))
    book.add(span(end=number) for number in range(25))
    assert [each.end for each in book.spans()] == list(range(24, 14, -1))
    small = SpanBook(Bounds(spans=1000, span_bytes=5 * (OVERHEAD + 100), samples=0))
    small.add(span(whole=b"x" * 100) for _ in range(50))
    assert small.held == 5
    small.add([span(whole=b"x" * 10_000)])
    assert small.held == 0


def test_samples_are_bounded_in_bytes_the_oldest_going_first() -> None:
    book = SpanBook(Bounds(spans=0, samples=5, sample_bytes=6 * (OVERHEAD + 100)))
    book.add(span(f"n{number}", whole=b"x" * 100, end=number) for number in range(20))
    assert [each.end for each in book.spans()] == [19, 18, 17, 16, 15, 14]
    assert book.held_bytes == 6 * (OVERHEAD + 100)


def test_names_beyond_the_bound_are_counted_together_and_still_found() -> None:
    book = SpanBook(Bounds(names=3))
    book.add(span(f"n{number}") for number in range(10))
    views = book.names()
    assert [(view.name, view.total) for view in views] == [("n0", 1), ("n1", 1), ("n2", 1), (OTHER_NAMES, 7)]
    assert len(book.spans(views[-1].name_id)) == 7


def test_a_trace_is_found() -> None:
    book = SpanBook()
    book.add([span("b", 1, end=9), span("a", 8, end=9), span("x", trace_id=b"u" * 16)])
    assert [each.name for each in book.trace(b"t" * 16)] == ["b", "a"]


def test_forgetting_begins_anew() -> None:
    book = SpanBook()
    book.add([span()])
    book._lock.acquire()  # as a thread of the parent may have, when the process forked
    book.forget()
    assert (book.added, book.names(), book.spans()) == (0, [], [])


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.integers(0, 10**12), st.sampled_from([0, 0, 5]), st.integers(0, 500)),
        max_size=80,
    )
)
def test_every_bound_holds_and_every_span_is_counted(spans: list[tuple[str, int, int, int]]) -> None:
    bounds = Bounds(spans=7, span_bytes=6_000, names=4, samples=2, sample_bytes=5_000)
    book = SpanBook(bounds)
    for name, latency, code, size in spans:
        book.add([span(name, latency, code, whole=b"x" * size)])
        newest = book.spans()
        assert book.held <= 7
        assert book.held_bytes <= 11_000
        assert len(newest) == len({id(each) for each in newest}) <= 7 + 2 * 10 * 5
    assert sum(view.total for view in book.names()) == book.added == len(spans)
    assert len(book.names()) <= 5


@pytest.mark.parametrize("bound", ["spans", "span_bytes", "names", "samples", "sample_bytes"])
def test_bounds_are_whole_numbers(bound: str) -> None:
    with pytest.raises(ValueError, match=f"Bounds: {bound} takes a whole number from 0 up, not -1"):
        Bounds(**{bound: -1})
