"""Varints, tags and lengths as protobuf has them; the cache that forgets."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from puremux.exporter.fields import (
    LENGTH,
    SMALL,
    VARINT,
    VARINTS,
    Cache,
    delimited,
    double,
    number_field,
    string_field,
    tag,
    timestamp_body,
)
from puremux.proto.well_known_pb2 import DoubleValue, Int64Value, StringValue, Timestamp, UInt64Value


@given(st.integers(0, 2**64 - 1))
@example(0)
@example(127)
@example(128)
@example(SMALL - 1)
@example(SMALL)
@example((SMALL << 7) - 1)
@example(SMALL << 7)
@example(2**64 - 1)
def test_varints(number: int) -> None:
    assert number_field(tag(1, VARINT), number) == UInt64Value(value=number).SerializeToString()
    if number:
        assert tag(1, VARINT) + VARINTS[number] == UInt64Value(value=number).SerializeToString()


def test_varints_that_are_not_small_are_not_held() -> None:
    for number in range(SMALL, 3 * SMALL):
        assert VARINTS[number]
    assert len(VARINTS) == SMALL


@given(st.integers(-(2**63), 2**63 - 1))
@example(-1)
def test_negative_numbers_are_two_complements(number: int) -> None:
    assert number_field(tag(1, VARINT), number) == Int64Value(value=number).SerializeToString()


@given(st.text(max_size=300))
def test_texts(value: str) -> None:
    assert string_field(tag(1, LENGTH), value) == StringValue(value=value).SerializeToString()


@given(st.floats())
def test_doubles(value: float) -> None:
    assert b"\x09" + double(value) == (DoubleValue(value=value).SerializeToString() or b"\x09" + bytes(8))


@given(st.integers(-62135596800, 253402300799), st.integers(0, 999999999))
def test_timestamps(seconds: int, nanos: int) -> None:
    assert timestamp_body(seconds, nanos) == Timestamp(seconds=seconds, nanos=nanos).SerializeToString()


def test_a_long_field_number_takes_a_tag_of_two_bytes() -> None:
    assert delimited(tag(16, LENGTH), b"ab") == b"\x82\x01\x02ab"


def test_a_cache_makes_once_and_forgets_all_when_full() -> None:
    made: list[int] = []

    def make(key: int) -> str:
        made.append(key)
        return str(key)

    cache = Cache(make, 3)
    assert [cache[key] for key in (1, 2, 1, 3, 1)] == ["1", "2", "1", "3", "1"]
    assert made == [1, 2, 3]
    assert cache[4] == "4"
    assert cache.known == {4: "4"}


def test_a_cache_holds_only_what_is_to_be_kept() -> None:
    cache = Cache(str, 3, lambda key: key < 10)
    assert (cache[50], cache[5]) == ("50", "5")
    assert cache.known == {5: "5"}


def test_what_cannot_be_made_is_not_held() -> None:
    cache: Cache[str, int] = Cache(int, 3)
    with pytest.raises(ValueError, match="invalid literal"):
        cache["x"]
    assert not cache.known
