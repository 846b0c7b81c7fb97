"""Bytes give the same messages and the same error however they are cut, none above the limit, and only MessageError.

The first bytes choose the encoding, the limit and the cuts; the rest is what a peer sent.
"""

from __future__ import annotations

from fuzz.common import Choices
from puremux.errors import MessageError
from puremux.protocol.framing import MessageReader, frame_message

ENCODINGS = ("identity", "gzip", "deflate", "br")
LIMITS = (0, 1, 16, 300, 70_000)


def read(pieces: list[bytes], limit: int, encoding: str) -> tuple[list[bytes], str]:
    reader = MessageReader(limit, encoding)
    messages: list[bytes] = []
    try:
        for piece in pieces:
            for message in reader.receive_data(piece):
                messages.append(message)  # noqa: PERF402  # what came before an error counts
    except MessageError as error:  # documented: too long, unknown flags, or not to be decompressed
        return messages, f"{error.code.name} {error.message}"
    assert len(reader._buffer) <= limit + 5, "more is kept than one message may need"
    return messages, ""


def check(data: bytes) -> None:
    choices = Choices(data)
    encoding, limit, size = choices.pick(ENCODINGS), choices.pick(LIMITS), 1 + choices.byte() % 20
    wire = data[3:]
    whole = read([wire], limit, encoding)
    assert read([wire[at : at + size] for at in range(0, len(wire), size)], limit, encoding) == whole
    assert all(len(message) <= limit for message in whole[0])
    if encoding != "br":
        framed = frame_message(wire, encoding)
        assert read([framed], len(framed) + len(wire), encoding) == ([wire], "")
