"""What the decoder must remember of each call to read its messages: the method, and how each end compresses.

Floor 5, wire: imports records and words.
Spec: gRPC PROTOCOL-HTTP2.md, "Requests" and "Responses".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from .records import CLIENT
from .words import printable

__all__ = ["Call", "Calls", "title_of"]

MAX_PATH = 1_000  # letters that are remembered
MAX_WORD = 100  # of an encoding, of a content type

GRPC = "application/grpc"


@dataclass
class Call:
    """A stream and what its headers said so far."""

    path: str = ""
    encodings: dict[str, str] = field(default_factory=dict)
    """``grpc-encoding`` of each end."""

    content_types: dict[str, str] = field(default_factory=dict)

    def note(self, sender: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Take the headers of one end."""
        for name, value in headers:
            if name == b":path" and sender == CLIENT:
                self.path = printable(value, MAX_PATH)
            elif name == b"grpc-encoding":
                self.encodings[sender] = printable(value, MAX_WORD)
            elif name == b"content-type":
                self.content_types[sender] = printable(value, MAX_WORD)

    def is_grpc(self, sender: str) -> bool:
        """Whether one end sends gRPC messages, as far as is known; nothing known counts as yes."""
        kind = self.content_types.get(sender, GRPC)
        return kind == GRPC or kind.startswith((GRPC + "+", GRPC + ";"))


class Calls:
    """The calls of a connection; of those that came first the fewest are still needed.

    Args:
        most: how many are remembered.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._calls: OrderedDict[int, Call] = OrderedDict()

    def __getitem__(self, stream_id: int) -> Call:
        call = self._calls.setdefault(stream_id, Call())
        if len(self._calls) > self._most:
            self._calls.popitem(last=False)
        return call


def title_of(sender: str, headers: Iterable[tuple[bytes, bytes]], *, is_promise: bool = False) -> str:
    """What a block of headers is."""
    known = dict(headers)
    if not known:
        return "headers"
    status = known.get(b":status")
    if is_promise:
        return "promised request"
    if sender == CLIENT:
        return "request headers" if b":method" in known else "trailers"
    if status is None:
        return "trailers"
    if b"grpc-status" in known:
        return "trailers-only response"
    return "interim response headers" if status.startswith(b"1") else "response headers"
