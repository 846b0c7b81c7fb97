"""Whatever two ends send, the decoder says something about every byte, once, and the same however the bytes come.

The first bytes choose how the connection begins and how it is cut; the rest is bytes, or frames that it chooses.
"""

from __future__ import annotations

from fuzz.common import Choices, FrameMaker
from puremux.wire import Connection, Decoder, Piece
from puremux.wire.direction import Bounds
from puremux.wire.records import CLIENT, SERVER, NotUnderstood, Record, leaves

BEGINNINGS = (b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0\0\0\4\0\0\0\0\0")
BOUNDS = (Bounds(), Bounds(frame=50, block=200, message=20, unpacked=50, held=100, streams=2, calls=2))
CONNECTION = Connection(1)
MOST = 5_000  # bytes that an end sends


def decode(wire: dict[str, bytes], size: int, bounds: Bounds) -> list[Record]:
    decoder = Decoder(bounds=bounds)
    records: list[Record] = []
    for sender, data in wire.items():
        for at in range(0, len(data), size):
            records += decoder.read(Piece(CONNECTION, 0.0, sender, data[at : at + size]))
    return [*records, *decoder.finish()]


def check_tiles(records: list[Record], sender: str, data: bytes) -> list[str]:
    """The leaves lie side by side, and are the bytes; return the layer of each byte."""
    found = [
        (place, leaf) for leaf in leaves(each for each in records if each.sender == sender) for place in leaf.places
    ]
    found.sort(key=lambda each: each[0])
    layers: list[str] = []
    for (start, end), leaf in found:
        assert start == len(layers), f"{leaf} leaves a gap, or has been told already"
        layers += [leaf.layer.value] * (end - start)
        assert sum(stop - begin for begin, stop in leaf.places) == len(leaf.data)
        assert data[start:end] in leaf.data
    assert len(layers) == len(data), "the end is not told"
    return layers


def check(data: bytes) -> None:
    choices = Choices(data)
    bounds, size, style = choices.pick(BOUNDS), 1 + choices.byte() % 40, choices.byte() % 2
    wire = {CLIENT: choices.pick(BEGINNINGS), SERVER: choices.pick(BEGINNINGS)}
    makers = {sender: FrameMaker(choices, (1, 3, 0)) for sender in wire}
    while choices:
        sender = choices.pick((CLIENT, SERVER))
        wire[sender] = (wire[sender] + (makers[sender].frame() if style else choices.bytes()))[:MOST]
    whole, cut = decode(wire, 1 << 30, bounds), decode(wire, size, bounds)
    for sender, sent in wire.items():
        assert check_tiles(whole, sender, sent) == check_tiles(cut, sender, sent)
    told, told_again = ([each for each in records if not isinstance(each, NotUnderstood)] for records in (whole, cut))
    assert told == told_again
