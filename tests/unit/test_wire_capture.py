"""Captures: pcap and pcapng, every link type, and TCP put together however the network brought it."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puremux.errors import PuremuxError
from puremux.wire import Piece
from puremux.wire.capture import ACK, FIN, RST, SYN, Packets, Segment
from puremux.wire.records import CLIENT, SERVER
from puremux.wire.tcp import MAX_WAITING, pieces_of

CLIENT_PORT, SERVER_PORT = 40_000, 55_678
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def tcp(data: bytes, number: int = 1, flags: int = ACK, *, back: bool = False) -> bytes:
    ports = (SERVER_PORT, CLIENT_PORT) if back else (CLIENT_PORT, SERVER_PORT)
    return struct.pack(">HHIIBBHHH", *ports, number, 0, 5 << 4, flags, 65_535, 0, 0) + data


def ipv4(payload: bytes, *, protocol: int = 6, fragment: int = 0, size: int | None = None) -> bytes:
    size = 20 + len(payload) if size is None else size
    head = struct.pack(">BBHHHBBH", 0x45, 0, size, 0, fragment, 64, protocol, 0)
    return head + bytes((127, 0, 0, 1)) * 2 + payload


def ipv6(payload: bytes, *, options: bool = False) -> bytes:
    following, more = (0, struct.pack(">BB", 6, 0) + bytes(6)) if options else (6, b"")
    size = len(more) + len(payload)
    return struct.pack(">IHBB", 6 << 28, size, following, 64) + (bytes(15) + b"\1") * 2 + more + payload


def ethernet(packet: bytes, kind: int = 0x0800, *, vlan: bool = False) -> bytes:
    return bytes(12) + (struct.pack(">HH", 0x8100, 5) if vlan else b"") + struct.pack(">H", kind) + packet


def pcap(
    packets: Iterable[bytes], link: int = 1, *, order: str = "<", nano: bool = False, most: int = 1 << 18
) -> bytes:
    data = struct.pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, most, link)
    for index, packet in enumerate(packets):
        fraction = index * (500_000_000 if nano else 500_000)
        kept = packet[:most]
        data += struct.pack(order + "IIII", 100, fraction, len(kept), len(packet)) + kept
    return data


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack(order + "II", kind, 12 + len(body)) + body + struct.pack(order + "I", 12 + len(body))


def pcapng(packets: Iterable[tuple[int, bytes]], links: Iterable[int] = (1,), order: str = "<") -> bytes:
    """Packets of several interfaces; the second's times are in nanoseconds."""
    data = block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    for index, link in enumerate(links):
        options = struct.pack(order + "HHBxxxI", 9, 1, 9, 0) if index else b""
        data += block(order, 1, struct.pack(order + "HHI", link, 0, 0) + options)
    data += block(order, 0xBAD, b"some block that nobody knows")
    for index, packet in packets:
        time = 100 * (10**9 if index else 10**6)
        head = struct.pack(order + "IIIII", index, time >> 32, time & 0xFFFFFFFF, len(packet), len(packet))
        data += block(order, 6, head + packet)
    return data


def segments(data: bytes) -> tuple[list[Segment], dict[str, int]]:
    packets = Packets(io.BytesIO(data))
    return list(packets), dict(packets.skipped)


LINKS = [
    pytest.param(1, ethernet(ipv4(tcp(HELLO))), id="Ethernet"),
    pytest.param(1, ethernet(ipv4(tcp(HELLO)), vlan=True), id="Ethernet with a VLAN"),
    pytest.param(1, ethernet(ipv6(tcp(HELLO)), 0x86DD), id="Ethernet, IPv6"),
    pytest.param(1, ethernet(ipv6(tcp(HELLO), options=True), 0x86DD), id="IPv6 with options"),
    pytest.param(0, struct.pack("<I", 2) + ipv4(tcp(HELLO)), id="loopback"),
    pytest.param(108, struct.pack(">I", 24) + ipv6(tcp(HELLO)), id="OpenBSD's loopback"),
    pytest.param(101, ipv4(tcp(HELLO)), id="raw IPv4"),
    pytest.param(101, ipv6(tcp(HELLO)), id="raw IPv6"),
    pytest.param(113, bytes(14) + b"\x08\0" + ipv4(tcp(HELLO)), id="Linux cooked"),
    pytest.param(276, b"\x86\xdd" + bytes(18) + ipv6(tcp(HELLO)), id="Linux cooked, 2"),
]


@pytest.mark.parametrize("link, packet", LINKS)
def test_each_kind_of_link(link: int, packet: bytes) -> None:
    for data in (pcap([packet], link), pcap([packet], link, order=">", nano=True), pcapng([(0, packet)], (link,))):
        ((segment,), skipped) = segments(data)
        assert (segment.data, segment.missing, skipped) == (HELLO, 0, {})
        assert segment.source in ("127.0.0.1:40000", "[::1]:40000") and segment.destination.endswith(":55678")


def test_padding_behind_a_small_packet_is_none_of_its_data() -> None:
    ((segment,), _) = segments(pcap([ethernet(ipv4(tcp(b"a")) + bytes(5))]))
    assert segment.data == b"a"


def test_a_packet_that_a_network_card_was_to_cut_up() -> None:
    ((segment,), _) = segments(pcap([ethernet(ipv4(tcp(HELLO), size=0))]))
    assert segment.data == HELLO


def test_each_interface_has_a_link_type_and_a_clock_of_its_own() -> None:
    for order in "<>":
        data = pcapng([(0, ethernet(ipv4(tcp(b"one")))), (1, ipv4(tcp(b"two")))], (1, 101), order)
        found, _ = segments(data)
        assert [(each.data, each.time) for each in found] == [(b"one", 100.0), (b"two", 100.0)]


def test_simple_packets_have_no_time() -> None:
    packet = ethernet(ipv4(tcp(HELLO)))
    data = pcapng([]) + block("<", 3, struct.pack("<I", len(packet)) + packet)
    ((segment,), _) = segments(data)
    assert (segment.data, segment.time) == (HELLO, 0.0)


def test_what_is_no_tcp_is_counted_by_what_it_is() -> None:
    packets = [
        ethernet(b"", 0x0806),
        ethernet(ipv4(b"", protocol=17)),
        ethernet(ipv4(tcp(b""), fragment=0x2000)),
        ethernet(ipv4(tcp(b""))[:25]),
        ethernet(b""),
    ]
    found, skipped = segments(pcap(packets))
    assert found == []
    assert skipped == {"of EtherType 0x0806": 1, "of IP protocol 17": 1, "fragments of IPv4 packets": 1, "cut short": 2}
    assert segments(pcap([b"abc"], 147))[1] == {"of link type 147": 1}


def test_what_is_no_capture_is_refused() -> None:
    with pytest.raises(PuremuxError, match="neither pcap nor pcapng"):
        segments(b"hello")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.booleans(), st.integers(0, 400))
def test_any_bytes_are_a_capture_of_something(noise: bytes, new: bool, cut: int) -> None:
    real = pcapng([(0, ethernet(ipv4(tcp(HELLO))))]) if new else pcap([ethernet(ipv4(tcp(HELLO)))])
    broken = real[:cut] + noise + real[cut + len(noise) :]
    if broken[:4] == real[:4]:
        list(pieces_of(segments(broken)[0]))


# TCP


def segment(data: bytes, number: int, flags: int = ACK, *, back: bool = False, missing: int = 0) -> Segment:
    ends = ("b:2", "a:50000") if back else ("a:50000", "b:2")
    return Segment(1.0, *ends, number % 2**32, flags, data, missing)


def sent(pieces: Iterable[Piece], sender: str = CLIENT) -> list[bytes | str]:
    """What an end sent, gaps as their reasons, and the end as an empty piece."""
    return [piece.gap or piece.data for piece in pieces if piece.sender == sender]


def joined(pieces: Iterable[Piece], sender: str = CLIENT) -> bytes:
    return b"".join(each for each in sent(pieces, sender) if isinstance(each, bytes))


def test_a_whole_connection() -> None:
    pieces = list(
        pieces_of(
            [
                segment(b"", 99, SYN),
                segment(b"", 499, SYN | ACK, back=True),
                segment(b"hello", 100),
                segment(b"world", 500, back=True),
                segment(b"", 105, FIN | ACK),
                segment(b"", 505, FIN | ACK, back=True),
            ]
        )
    )
    assert sent(pieces) == [b"hello", b""] and sent(pieces, SERVER) == [b"world", b""]
    assert (pieces[0].connection.client, pieces[0].connection.server, pieces[0].time) == ("a:50000", "b:2", 0.0)


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=1, max_size=200), st.integers(0, 2**32 - 1), st.randoms(use_true_random=False))
def test_any_order_overlap_and_repetition_give_the_same_bytes(data: bytes, start: int, chance: random.Random) -> None:
    cuts = sorted({0, len(data), *(chance.randrange(len(data) + 1) for _ in range(6))})
    wanted = [segment(data[a:b], start + 1 + a) for a, b in zip(cuts, cuts[1:])]
    spans = [sorted((chance.randrange(len(data) + 1), chance.randrange(len(data) + 1))) for _ in range(4)]
    again = [segment(data[a:b], start + 1 + a) for a, b in spans if a < b]
    mixed = [*wanted, *again, segment(b"", start + 1 + len(data), FIN)]
    chance.shuffle(mixed)
    pieces = list(pieces_of([segment(b"", start, SYN), *mixed]))
    assert joined(pieces) == data
    assert sent(pieces)[-1] == b"" and not [piece for piece in pieces if piece.gap]


def test_a_reset_ends_both_directions() -> None:
    pieces = list(
        pieces_of([segment(b"", 0, SYN), segment(b"one", 1), segment(b"two", 9, back=True), segment(b"", 4, RST)])
    )
    assert sent(pieces) == [b"one", b""] and sent(pieces, SERVER) == [b"two", b""]


def test_what_was_not_captured_is_a_gap() -> None:
    pieces = pieces_of([segment(b"", 0, SYN), segment(b"one", 1), segment(b"three", 7), segment(b"six", 12)])
    assert sent(pieces) == [b"one", "3 bytes are missing in the capture", b"three", b"six"]


def test_a_packet_that_was_captured_in_part_leaves_a_gap() -> None:
    pieces = pieces_of([segment(b"", 0, SYN), segment(b"one", 1, missing=7), segment(b"two", 11)])
    assert sent(pieces) == [b"one", "7 bytes are missing in the capture", b"two"]


def test_a_segment_that_comes_again_and_longer_waits_once() -> None:
    longer = [segment(b"b" * size, 2) for size in range(1, 1_500)]
    late = [segment(b"", 0, SYN), *longer, segment(b"a", 1)]
    assert joined(pieces_of(late)) == b"a" + b"b" * 1_499


def test_no_segment_is_waited_for_without_end() -> None:
    big = b"x" * 60_000
    later = [segment(big, 10 + index * len(big)) for index in range(MAX_WAITING // len(big) + 2)]
    pieces = list(pieces_of([segment(b"", 0, SYN), segment(b"a", 1), *later, segment(b"", 2, RST)]))
    assert sent(pieces)[:2] == [b"a", "8 bytes are missing in the capture"] and len(joined(pieces)) > MAX_WAITING


@pytest.mark.parametrize(
    "first, client",
    [
        pytest.param(segment(b"", 0, SYN | ACK, back=True), "a:50000", id="who is answered"),
        pytest.param(segment(HELLO, 0, back=True), "b:2", id="who sends the preface"),
        pytest.param(segment(b"abc", 0, back=True), "a:50000", id="who has the larger port"),
    ],
)
def test_the_client_of_a_connection_is(first: Segment, client: str) -> None:
    (*_, piece) = [*pieces_of([first, segment(b"abc", 1)])]
    assert piece.connection.client == client


def test_the_same_ports_once_more_are_another_connection() -> None:
    one = [segment(b"", 0, SYN), segment(b"one", 1), segment(b"", 4, RST), segment(b"", 9, RST, back=True)]
    two = [segment(b"", 70, SYN), segment(b"two", 71)]
    pieces = [piece for piece in pieces_of([*one, segment(b"", 4, ACK), *two]) if piece.data]
    assert [(piece.connection.number, piece.data) for piece in pieces] == [(1, b"one"), (2, b"two")]
