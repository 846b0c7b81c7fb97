"""Length-prefixed messages: the same whatever the DATA frames, bounded, and never silently wrong."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from typing import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puremux.errors import MessageError
from puremux.protocol import framing
from puremux.protocol.framing import ACCEPT_ENCODING, COMPRESSORS, PREFIX, MessageReader, frame_message
from puremux.status import StatusCode

HI = b"\0\0\0\0\2hi"
EMPTY = b"\0\0\0\0\0"
LIMIT = 16


def read(wire: bytes, chunk: int = 0, encoding: str = "identity", limit: int | None = LIMIT) -> list[bytes]:
    reader = MessageReader(limit, encoding)
    pieces = [wire[at : at + chunk] for at in range(0, len(wire), chunk)] if chunk else [wire]
    return [message for piece in pieces for message in reader.receive_data(piece)]


def compressed(data: bytes) -> bytes:
    return PREFIX.pack(1, len(data)) + data


@pytest.mark.parametrize(
    "wire, expected",
    [
        pytest.param(b"", [], id="nothing"),
        pytest.param(HI[:4], [], id="prefix cut short"),
        pytest.param(HI[:5], [], id="prefix alone"),
        pytest.param(HI[:6], [], id="message cut short"),
        pytest.param(HI, [b"hi"], id="one"),
        pytest.param(EMPTY, [b""], id="an empty one"),
        pytest.param(EMPTY * 3, [b"", b"", b""], id="several empty ones"),
        pytest.param(HI + EMPTY + HI, [b"hi", b"", b"hi"], id="an empty one between others"),
        pytest.param(HI + HI[:6], [b"hi"], id="second cut short"),
        pytest.param(b"\0\0\0\0\x10" + b"x" * 16, [b"x" * 16], id="as long as the limit"),
        pytest.param(HI + compressed(gzip.compress(b"hi"))[:9], [b"hi"], id="compressed, cut short"),
    ],
)
def test_messages_do_not_depend_on_data_frame_boundaries(wire: bytes, expected: list[bytes]) -> None:
    for chunk in (0, 1, 2, 3, 5, 7):
        assert read(wire, chunk, "gzip", 64) == expected


@pytest.mark.parametrize(
    "wire, encoding, code, said",
    [
        pytest.param(b"\0\0\0\0\x11", "identity", "RESOURCE_EXHAUSTED", "17 bytes is larger", id="one byte too long"),
        pytest.param(b"\0\xff\xff\xff\xff", "identity", "RESOURCE_EXHAUSTED", "4294967295 bytes", id="claims 4 GiB"),
        pytest.param(
            b"\1\xff\xff\xff\xff", "gzip", "RESOURCE_EXHAUSTED", "4294967295 bytes", id="the same, compressed"
        ),
        pytest.param(b"\2\0\0\0\1", "gzip", "INTERNAL", "unknown flags 0x02", id="unknown flag"),
        pytest.param(b"\x80\0\0\0\1", "identity", "INTERNAL", "unknown flags 0x80", id="the flag of gRPC-Web"),
        pytest.param(b"\1\0\0\0\1", "identity", "INTERNAL", "no grpc-encoding", id="compressed without encoding"),
        pytest.param(b"\1\0\0\0\1", "br", "INTERNAL", "'br'", id="compressed with what nobody knows"),
        pytest.param(compressed(b"not gzip"), "gzip", "INTERNAL", "cannot be decompressed", id="not gzip"),
        pytest.param(compressed(b""), "gzip", "INTERNAL", "cut short", id="gzip of no bytes"),
        pytest.param(compressed(gzip.compress(b"hi")[:-9]), "gzip", "INTERNAL", "cut short", id="gzip, data cut short"),
        pytest.param(compressed(gzip.compress(b"hi")[:-1]), "gzip", "INTERNAL", "cut short", id="gzip, end cut short"),
        pytest.param(
            compressed(gzip.compress(b"hi")[:-8] + bytes(8)), "gzip", "INTERNAL", "cannot be", id="gzip, wrong checksum"
        ),
        pytest.param(compressed(gzip.compress(b"hi") + b"x"), "gzip", "INTERNAL", "behind its end", id="gzip and more"),
        pytest.param(compressed(gzip.compress(b"a") * 2), "gzip", "INTERNAL", "behind its end", id="gzip twice"),
        pytest.param(compressed(zlib.compress(b"hi")[2:-4]), "deflate", "INTERNAL", "cannot be", id="raw deflate"),
        pytest.param(compressed(gzip.compress(b"hi")), "deflate", "INTERNAL", "cannot be", id="gzip called deflate"),
        pytest.param(
            compressed(zlib.compress(bytes(65))), "deflate", "RESOURCE_EXHAUSTED", "grows beyond", id="too big"
        ),
    ],
)
@pytest.mark.parametrize("chunk", [pytest.param(0, id="whole"), pytest.param(1, id="byte by byte")])
def test_what_cannot_be_read_has_a_status(wire: bytes, encoding: str, code: str, said: str, chunk: int) -> None:
    limit = LIMIT if len(wire) == PREFIX.size else 64
    with pytest.raises(MessageError, match=said) as error:
        read(wire, chunk, encoding, limit)
    assert error.value.code is StatusCode[code]


@pytest.mark.parametrize("chunk", [pytest.param(0, id="whole"), pytest.param(1, id="byte by byte")])
def test_what_came_before_an_error_is_not_lost(chunk: int) -> None:
    reader, got = MessageReader(LIMIT), []
    wire = HI + HI + b"\2\0\0\0\0" + HI

    def read_all() -> None:
        for at in range(0, len(wire), chunk or len(wire)):
            for message in reader.receive_data(wire[at : at + (chunk or len(wire))]):
                got.append(message)  # noqa: PERF402  # what came before the error is what counts

    with pytest.raises(MessageError):
        read_all()
    assert got == [b"hi", b"hi"]


@pytest.mark.parametrize(
    "wire, between",
    [
        pytest.param(b"", True, id="at the beginning"),
        pytest.param(HI, True, id="after a message"),
        pytest.param(HI[:3], False, id="within a prefix"),
        pytest.param(HI[:5], False, id="within a message"),
        pytest.param(HI + HI[:1], False, id="within the second prefix"),
    ],
)
def test_a_message_cut_short_is_known(wire: bytes, between: bool) -> None:
    reader = MessageReader(LIMIT)
    list(reader.receive_data(wire))
    assert reader.is_between_messages is between


@pytest.mark.parametrize(
    "compress",
    [pytest.param(lambda data: gzip.compress(data, 9), id="gzip"), pytest.param(zlib.compress, id="deflate")],
)
def test_a_bomb_is_not_unpacked(compress: Callable[[bytes], bytes]) -> None:
    bomb = compressed(compress(bytes(64 * 1024 * 1024)))
    tracemalloc.start()
    try:
        with pytest.raises(MessageError, match="grows beyond the limit of 100000 bytes"):
            read(bomb, 0, "gzip" if bomb[5:7] == b"\x1f\x8b" else "deflate", 100_000)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=200), st.sampled_from(["identity", *COMPRESSORS]), st.integers(0, 9))
def test_what_is_framed_is_read(payload: bytes, encoding: str, chunk: int) -> None:
    wire = frame_message(payload, encoding) + frame_message(b"plain")
    assert read(wire, chunk, encoding, None) == [payload, b"plain"]


@given(st.lists(st.binary(max_size=20), max_size=8), st.data())
def test_any_cut_gives_the_same_messages(payloads: list[bytes], data: st.DataObject) -> None:
    wire = b"".join(map(frame_message, payloads))
    reader = MessageReader(20)
    got: list[bytes] = []
    while wire:
        size = data.draw(st.integers(1, len(wire)))
        got += reader.receive_data(wire[:size])
        wire = wire[size:]
    assert got == payloads
    assert reader.is_between_messages


def test_the_prefix_says_whether_it_is_compressed() -> None:
    assert frame_message(b"hi") == HI
    assert frame_message(b"hi", "gzip")[0] == 1
    assert gzip.decompress(frame_message(b"hi", "gzip")[5:]) == b"hi"
    assert zlib.decompress(frame_message(b"hi", "deflate")[5:]) == b"hi"
    assert frame_message(b"hi", "gzip") == frame_message(b"hi", "gzip"), "no time of day in it"


def test_encodings_that_are_offered_can_be_read() -> None:
    assert ACCEPT_ENCODING == "identity,gzip,deflate"
    with pytest.raises(KeyError):
        frame_message(b"", "br")


def test_without_a_limit_any_length_is_awaited() -> None:
    reader = MessageReader(None)
    assert list(reader.receive_data(b"\0\xff\xff\xff\xff" + b"x")) == []
    assert not reader.is_between_messages


def test_packed_messages_wait_while_much_is_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "MAX_UNREAD", 2_000)
    reader = MessageReader(1_000, "gzip")
    packed = [frame_message(bytes([each]) * 1_000, "gzip") for each in range(5)]
    wire = b"".join(packed) + frame_message(b"not packed")
    assert [message[0] for message in reader.receive_data(wire)] == [0, 1], "two may always come"
    assert reader.has_paused and not reader.is_between_messages
    assert reader.buffered == len(b"".join(packed[2:])) + 15
    assert list(reader.receive_data(HI)) == []
    assert [message[0] for message in reader.message_taken()] == [2]
    assert [message[0] for message in reader.message_taken()] == [3]
    assert [message[0] for message in reader.message_taken()] == [4, ord("n"), ord("h")]
    assert not reader.has_paused and reader.is_between_messages
    assert list(reader.message_taken()) == [] == list(reader.message_taken())


def test_messages_that_are_not_packed_never_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "MAX_UNREAD", 1)
    assert read(HI * 9, encoding="gzip") == [b"hi"] * 9


def test_part_of_a_packed_message_is_no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "MAX_UNREAD", 1)
    reader = MessageReader(1_000, "gzip")
    list(reader.receive_data((HI + HI + frame_message(b"hi", "gzip"))[:-1]))
    assert not reader.has_paused and not reader.is_between_messages


def test_what_waits_is_judged_when_its_time_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "MAX_UNREAD", 1)
    reader = MessageReader(1_000, "gzip")
    list(reader.receive_data(HI + HI + compressed(b"not gzip")))
    with pytest.raises(MessageError, match="cannot be decompressed"):
        list(reader.message_taken())
