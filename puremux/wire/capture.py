"""Captures of packets, as tcpdump and Wireshark write them: pcap and pcapng files in, TCP segments out.

Floor 5, wire: imports errors.
Spec: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng; linktypes: tcpdump.org/linktypes.html; RFC 791, 8200, 9293.
"""

from __future__ import annotations

import ipaddress
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Callable

from ..errors import PuremuxError

__all__ = ["Packets", "Segment", "is_capture"]

MAX_PACKET = 1024 * 1024  # bytes; with offloading, a packet may have 64 KiB

PCAP = {  # the first four bytes: byte order, units of a second
    b"\xd4\xc3\xb2\xa1": ("<", 10**6),
    b"\xa1\xb2\xc3\xd4": (">", 10**6),
    b"\x4d\x3c\xb2\xa1": ("<", 10**9),
    b"\xa1\xb2\x3c\x4d": (">", 10**9),
}
PCAPNG = b"\x0a\x0d\x0d\x0a"
SECTION, INTERFACE, SIMPLE, ENHANCED = 0x0A0D0D0A, 1, 3, 6  # kinds of pcapng's blocks

IPV4, IPV6 = 0x0800, 0x86DD
VLAN = (0x8100, 0x88A8)
TCP = 6
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10


@dataclass(frozen=True)
class Segment:
    """What one TCP packet says."""

    time: float
    """Seconds, as the capture has them."""

    source: str
    destination: str
    """Addresses with their ports."""

    number: int
    """Of its first byte, as TCP counts them."""

    flags: int
    data: bytes
    missing: int
    """Bytes at its end that were sent and not captured."""

    @property
    def begins(self) -> bool:
        """Whether it opens its direction."""
        return bool(self.flags & SYN)

    @property
    def acknowledges(self) -> bool:
        """Whether it answers another one."""
        return bool(self.flags & ACK)

    @property
    def resets(self) -> bool:
        """Whether it ends both directions at once."""
        return bool(self.flags & RST)

    @property
    def ends(self) -> bool:
        """Whether nothing comes behind it in its direction."""
        return bool(self.flags & (FIN | RST))


class Skipped(Exception):
    """A packet is of no use here; the message says what it is."""


class Packets:
    """The TCP segments of a capture, in its order.

    Args:
        file: at its first byte.
    Raises:
        PuremuxError: it is no capture.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.skipped: Counter[str] = Counter()
        """Packets that are no TCP segments, by what they are."""

    def __iter__(self) -> Iterator[Segment]:
        for time, link, packet, length in self._packets():
            try:
                yield _segment(time, link, packet, length)
            except Skipped as skipped:
                self.skipped[str(skipped)] += 1
            except (struct.error, IndexError):
                self.skipped["cut short"] += 1

    def _packets(self) -> Iterator[tuple[float, int, bytes, int]]:
        """Time, link type, bytes, and how many bytes the packet had when it was sent."""
        magic = self._file.read(4)
        if magic in PCAP:
            return self._pcap(*PCAP[magic])
        if magic == PCAPNG:
            return self._pcapng()
        raise PuremuxError("it is no capture: neither pcap nor pcapng")

    def _pcap(self, order: str, unit: int) -> Iterator[tuple[float, int, bytes, int]]:
        head = self._file.read(20)
        if len(head) < 20:
            return
        link = struct.unpack(order + "HHiIII", head)[-1] & 0xFFFF
        while len(head := self._file.read(16)) == 16:
            seconds, fraction, size, length = struct.unpack(order + "IIII", head)
            if size > MAX_PACKET:
                self.skipped["with an impossible size, and all behind it"] += 1
                return
            yield seconds + fraction / unit, link, self._file.read(size), length

    def _pcapng(self) -> Iterator[tuple[float, int, bytes, int]]:
        self._file.seek(-4, 1)
        order = "<"
        links: list[tuple[int, float, int]] = []  # of each interface: link type, units of a second, bytes captured
        while len(head := self._file.read(8)) == 8:
            if head[:4] == PCAPNG:
                order = "<" if self._file.read(4) == b"\x4d\x3c\x2b\x1a" else ">"
                self._file.seek(-4, 1)
                links = []
            kind, size = struct.unpack(order + "II", head)
            if not 12 <= size <= MAX_PACKET + 4096:
                self.skipped["in a block with an impossible size, and all behind it"] += 1
                return
            body = self._file.read(size - 8)[:-4]
            if kind == INTERFACE and len(body) >= 8:
                link, _, most = struct.unpack_from(order + "HHI", body)
                links.append((link, _resolution(order, body[8:]), most or MAX_PACKET))
            elif kind == ENHANCED and len(body) >= 20:
                interface, high, low, size, length = struct.unpack_from(order + "IIIII", body)
                if interface < len(links):
                    yield (high << 32 | low) / links[interface][1], links[interface][0], body[20 : 20 + size], length
            elif kind == SIMPLE and len(body) >= 4 and links:
                (length,) = struct.unpack_from(order + "I", body)
                yield 0.0, links[0][0], body[4 : 4 + min(length, links[0][2])], length


def is_capture(beginning: bytes) -> bool:
    """Whether a file that begins like this is one."""
    return beginning[:4] in PCAP or beginning[:4] == PCAPNG


def _resolution(order: str, options: bytes) -> float:
    """How many units of an interface's times are a second."""
    while len(options) >= 4:
        code, size = struct.unpack_from(order + "HH", options)
        if code == 9 and size == 1 and len(options) > 4:
            power = options[4]
            return float(2 ** (power & 0x7F) if power & 0x80 else 10 ** min(power, 30))
        options = options[4 + size + -size % 4 :]
    return 1e6


# From the link to TCP.  Each step finds where the next one's header begins.


def _segment(time: float, link: int, packet: bytes, length: int) -> Segment:
    if link not in LINKS:
        raise Skipped(f"of link type {link}")
    kind, at = LINKS[link](packet)
    while kind in VLAN:
        (kind,) = struct.unpack_from(">H", packet, at + 2)
        at += 4
    if kind == IPV4:
        source, target, at, end = _ipv4(packet, at, length)
    elif kind == IPV6:
        source, target, at, end = _ipv6(packet, at, length)
    else:
        raise Skipped(f"of EtherType 0x{kind:04x}")
    from_port, to_port, number, _, offset, flags = struct.unpack_from(">HHIIBB", packet, at)
    data = packet[at + (offset >> 4) * 4 : end]
    missing = max(end - max(len(packet), at + (offset >> 4) * 4), 0)
    return Segment(time, f"{source}:{from_port}", f"{target}:{to_port}", number, flags, data, missing)


def _ipv4(packet: bytes, at: int, length: int) -> tuple[str, str, int, int]:
    first, _, size, _, fragment, _, protocol = struct.unpack_from(">BBHHHBB", packet, at)
    if fragment & 0x3FFF:
        raise Skipped("fragments of IPv4 packets")
    if protocol != TCP:
        raise Skipped(f"of IP protocol {protocol}")
    source, target = (str(ipaddress.IPv4Address(packet[at + where : at + where + 4])) for where in (12, 16))
    end = at + size if size else length  # 0: the network card was to cut it up
    return source, target, at + (first & 0xF) * 4, end


def _ipv6(packet: bytes, at: int, length: int) -> tuple[str, str, int, int]:
    size, following = struct.unpack_from(">HB", packet, at + 4)
    source, target = (f"[{ipaddress.IPv6Address(packet[at + where : at + where + 16])}]" for where in (8, 24))
    end = at + 40 + size if size else length
    at += 40
    while following in (0, 43, 60):  # hop-by-hop options, routing, destination options
        following, words = struct.unpack_from(">BB", packet, at)
        at += 8 + words * 8
    if following == 44:
        raise Skipped("fragments of IPv6 packets")
    if following != TCP:
        raise Skipped(f"of IP protocol {following}")
    return source, target, at, end


def _ethernet(packet: bytes) -> tuple[int, int]:
    return int(struct.unpack_from(">H", packet, 12)[0]), 14


def _loopback(packet: bytes) -> tuple[int, int]:
    """BSD's: the address family of the machine that captured, in its own byte order."""
    return _raw(packet[4:])[0], 4


def _raw(packet: bytes) -> tuple[int, int]:
    return {4: IPV4, 6: IPV6}.get(packet[0] >> 4, 0), 0


def _cooked(packet: bytes) -> tuple[int, int]:
    """Linux's, of the device "any"."""
    return int(struct.unpack_from(">H", packet, 14)[0]), 16


def _cooked_2(packet: bytes) -> tuple[int, int]:
    return int(struct.unpack_from(">H", packet, 0)[0]), 20


LINKS: Mapping[int, Callable[[bytes], tuple[int, int]]] = {
    0: _loopback,
    1: _ethernet,
    12: _raw,
    14: _raw,
    101: _raw,
    108: _loopback,
    113: _cooked,
    228: _raw,
    229: _raw,
    276: _cooked_2,
}
"""From a packet to the kind of what is inside, and where that begins."""
