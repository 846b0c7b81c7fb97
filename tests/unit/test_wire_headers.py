"""HPACK, step by step: the examples of RFC 7541, and whatever hpack itself reads."""

from __future__ import annotations

from typing import Any

import pytest
from hpack import Decoder, Encoder, HPACKError
from hypothesis import given, settings
from hypothesis import strategies as st

from puremux.wire.headers import BlockReader
from puremux.wire.parts import Part, Stretch
from puremux.wire.records import SIZE_UPDATE, Connection, HeaderBlock, Representation

GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"www.example.com")]
AUTHORITY, NO_CACHE = (b":authority", b"www.example.com"), (b"cache-control", b"no-cache")
CUSTOM = (b"custom-key", b"custom-value")


def read(reader: BlockReader, block: bytes) -> tuple[list[Representation], str]:
    """The steps, and why the rest was not understood."""
    found = list(reader.read(Stretch.at(0, block)))
    steps = [each for each in found if isinstance(each, Representation)]
    parts = [each.part if isinstance(each, Representation) else each for each in found]
    assert b"".join(leaf.data for part in parts for leaf in part.leaves()) == block
    rest = [each.note for each in found if isinstance(each, Part)]
    return steps, rest[0] if rest else ""


def fields(steps: list[Representation]) -> list[tuple[bytes, bytes]]:
    return [(step.name, step.value) for step in steps if step.kind != SIZE_UPDATE]


@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param(
            [
                "828684410f7777772e6578616d706c652e636f6d",
                "828684be58086e6f2d6361636865",
                "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
            ],
            id="C.3, without Huffman code",
        ),
        pytest.param(
            [
                "828684418cf1e3c2e5f23a6ba0ab90f4ff",
                "828684be5886a8eb10649cbf",
                "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
            ],
            id="C.4, with it",
        ),
    ],
)
def test_the_requests_of_the_rfc(blocks: list[str]) -> None:
    reader = BlockReader()
    first, second, third = ([*read(reader, bytes.fromhex(block))[0]] for block in blocks)
    assert fields(first) == GET
    assert [step.index for step in first] == [2, 6, 4, 1]
    assert [step.kind.split(",")[0] for step in first] == ["indexed", "indexed", "indexed", "literal"]
    assert (first[-1].added, first[-1].entries, first[-1].table_size) == (True, 1, 57)
    assert fields(second) == [*GET[:3], AUTHORITY, NO_CACHE]
    assert [step.index for step in second] == [2, 6, 4, 62, 24]
    assert (second[-1].entries, second[-1].table_size) == (2, 110)
    assert fields(third)[-1] == CUSTOM
    assert (third[-1].index, third[-1].entries, third[-1].table_size) == (0, 3, 164)
    assert reader.table == (CUSTOM, NO_CACHE, AUTHORITY)


def test_the_responses_of_the_rfc_drive_entries_out() -> None:
    """C.5: a table of 256 bytes."""
    reader = BlockReader()
    reader._table.maxsize = 256
    steps, _ = read(
        reader,
        bytes.fromhex(
            "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54"
            "6e1768747470733a2f2f7777772e6578616d706c652e636f6d"
        ),
    )
    assert (steps[-1].entries, steps[-1].table_size) == (4, 222)
    steps, _ = read(reader, bytes.fromhex("4803333037c1c0bf"))
    assert (steps[0].evicted, steps[0].entries, steps[0].table_size) == (1, 4, 222)
    assert reader.table[0] == (b":status", b"307")


@pytest.mark.parametrize(
    "block, kind, name, leaves, said",
    [
        pytest.param("82", "indexed", ":method", ["index"], "static entry 2", id="indexed"),
        pytest.param("0004706174680178", "literal, not added", "path", 5, "name plain; value plain", id="not added"),
        pytest.param(
            "100470617468 0178", "literal, never to be added", "path", 5, "3 more than its text", id="never added"
        ),
        pytest.param("3fe11f", SIZE_UPDATE, SIZE_UPDATE, ["size of the table"], SIZE_UPDATE, id="table size"),
    ],
)
def test_each_kind_of_representation(block: str, kind: str, name: str, leaves: Any, said: str) -> None:
    ((step,), rest) = read(BlockReader(), bytes.fromhex(block))
    assert (step.kind, step.part.name, rest) == (kind, name, "")
    told = [leaf.name for leaf in step.part.leaves()]
    assert told == leaves if isinstance(leaves, list) else len(told) == leaves
    assert said in step.part.note


@pytest.mark.parametrize(
    "block, reason",
    [
        pytest.param("80", "Invalid table index 0", id="index 0"),
        pytest.param("be", "Invalid table index 62", id="an entry that is not there"),
        pytest.param("ff", "integer", id="a number cut short"),
        pytest.param("4105616263", "in the middle of a value", id="a value cut short"),
        pytest.param("4181ff", "Huffman", id="not Huffman code"),
        pytest.param("8220", "comes behind a field", id="a size behind a field"),
        pytest.param("3fe2ffff7f", "more than was allowed", id="a size that is not allowed"),
    ],
)
def test_what_is_broken_is_told_with_its_reason_and_loses_the_table(block: str, reason: str) -> None:
    reader = BlockReader()
    _, rest = read(reader, bytes.fromhex(block))
    assert reason.lower() in rest.lower()
    steps, again = read(reader, b"\x82")
    assert not steps and again == rest


def test_an_entry_that_is_too_large_empties_the_table() -> None:
    reader = BlockReader()
    read(reader, Encoder().encode([AUTHORITY]))
    block = b"\x40\x01a" + b"\x7f\xa1\x1f" + b"v" * 4_128
    (step,), _ = read(reader, block)
    assert (step.added, step.evicted, step.entries, step.table_size) == (False, 1, 0, 0)


NAMES = st.sampled_from([b":path", b"content-type", b"a", b"long-name" * 5, b""])
HEADERS = st.lists(st.tuples(NAMES, st.binary(max_size=200)), max_size=12)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(HEADERS, st.booleans(), st.sampled_from([None, None, 0, 100, 4_096])), max_size=6))
def test_all_that_hpack_writes_is_read_as_hpack_reads_it(blocks: list[Any]) -> None:
    encoder, decoder, reader = Encoder(), Decoder(), BlockReader(4_096)
    for headers, huffman, size in blocks:
        if size is not None:
            encoder.header_table_size = size
        block = encoder.encode(headers, huffman)
        before = reader.table
        steps, rest = read(reader, block)
        assert not rest
        assert fields(steps) == [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)]
        assert list(reader.table) == list(decoder.header_table.dynamic_entries)
        assert_steps_tell_the_table(before, steps, reader)


def assert_steps_tell_the_table(
    before: tuple[tuple[bytes, bytes], ...], steps: list[Representation], reader: BlockReader
) -> None:
    block = HeaderBlock(Connection(1), 0.0, "client", (), 1, "", tuple(steps), before, 4_096)
    if steps:
        assert block.table_after(len(steps) - 1) == reader.table
        assert steps[-1].table_size == sum(32 + len(name) + len(value) for name, value in reader.table)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=4))
def test_any_bytes_are_read_or_refused_as_hpack_does(blocks: list[bytes]) -> None:
    decoder, reader = Decoder(1 << 30), BlockReader(4_096)
    for block in blocks:
        steps, rest = read(reader, block)
        try:
            headers = [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)]
        except HPACKError:
            assert rest
            return
        assert (fields(steps), rest) == (headers, "")
