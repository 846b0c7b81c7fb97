"""The HPACK encoder that remembers runs of fields: whatever it is given, a plain decoder reads the same."""

from __future__ import annotations

from typing import Any

from hpack import Decoder, NeverIndexedHeaderTuple
from hypothesis import given
from hypothesis import strategies as st

from puremux.protocol.http2 import _BlockEncoder

PLAIN = st.sampled_from(
    [
        (b":method", b"POST"),
        (b"te", b"trailers"),
        (b"a", b"1"),
        (b"a", b"2"),
        (b"b", b"x" * 60),
        (b"c", b""),
        (b"d", b""),
    ]
)
VARYING = st.binary(max_size=3).map(lambda value: NeverIndexedHeaderTuple(b"grpc-timeout", value))
BLOCK = st.lists(st.one_of(PLAIN, PLAIN, VARYING), max_size=6)
SIZE = st.sampled_from([0, 40, 70, 100, 4096])


@given(st.lists(st.one_of(BLOCK, SIZE), max_size=30))
def test_a_plain_decoder_reads_what_was_written(steps: list[Any]) -> None:
    encoder, decoder = _BlockEncoder(), Decoder()
    for step in steps:
        if isinstance(step, int):
            encoder.header_table_size = step
            encoder.header_table.resized = bool(encoder.table_size_changes)  # as tame_settings() does
        else:
            block = encoder.encode(step)
            assert [tuple(each) for each in decoder.decode(block, raw=True)] == [tuple(each) for each in step]


def test_the_same_fields_are_the_same_bytes_from_the_second_time_on() -> None:
    encoder = _BlockEncoder()
    fields = [(b":path", b"/t/Echo"), (b"te", b"trailers")]
    first, *others = [encoder.encode(fields) for _ in range(4)]
    assert len(set(others)) == 1 and len(others[0]) == 2 < len(first)


def test_deadlines_do_not_push_other_fields_out_of_the_table() -> None:
    encoder = _BlockEncoder()
    for index in range(1000):
        timeout = NeverIndexedHeaderTuple(b"grpc-timeout", b"%du" % index)
        block = encoder.encode([(b":path", b"/t/Echo"), timeout, (b"te", b"trailers")])
    assert len(encoder.header_table.dynamic_entries) == 2
    assert len(block) < 30
