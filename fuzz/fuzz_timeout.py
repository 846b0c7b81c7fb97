"""A grpc-timeout is read as seconds, or is a RemoteProtocolError; one that we write is never too short."""

from __future__ import annotations

import math
import struct

from puremux.errors import RemoteProtocolError
from puremux.protocol.metadata import decode_timeout, encode_timeout

LONGEST = 99_999_999 * 3600.0


def check(data: bytes) -> None:
    try:
        seconds = decode_timeout(data.decode("latin-1"))
        assert 0 <= seconds <= LONGEST
        again = decode_timeout(encode_timeout(seconds))
        assert again >= seconds * (1 - 1e-12)
    except RemoteProtocolError:  # documented: not one to eight digits and a unit
        pass
    (asked,) = struct.unpack("<d", data[:8].ljust(8, b"\0"))
    if not math.isnan(asked):
        written = encode_timeout(asked)
        assert len(written) <= 9
        assert decode_timeout(written) >= min(asked, LONGEST) * (1 - 1e-12)
