"""A grpc-message can always be read; one that we write is printable ASCII, and is read as it was written."""

from __future__ import annotations

from puremux.protocol.metadata import decode_message, encode_message


def check(data: bytes) -> None:
    message = decode_message(data)
    wire = encode_message(message)
    assert all(0x20 <= byte <= 0x7E for byte in wire)
    assert decode_message(wire) == message
    assert wire.count(b"%") == sum(byte < 0x20 or byte == 0x25 or byte > 0x7E for byte in message.encode())
