"""Names of numbers, and bytes of a peer as text that can do no harm on a terminal or a page.

Floor 5, wire: imports status, and h2's names of errors.
Spec: RFC 9113 §6.5.2, §7; RFC 8441 §3; RFC 9218 §2.1; gRPC PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

from h2.errors import ErrorCodes

from ..status import StatusCode

__all__ = ["count", "error_name", "explain_header", "printable", "setting_name"]

MOST = 2_000  # characters of a value that are told

SETTINGS = {
    0x1: "HEADER_TABLE_SIZE",
    0x2: "ENABLE_PUSH",
    0x3: "MAX_CONCURRENT_STREAMS",
    0x4: "INITIAL_WINDOW_SIZE",
    0x5: "MAX_FRAME_SIZE",
    0x6: "MAX_HEADER_LIST_SIZE",
    0x8: "ENABLE_CONNECT_PROTOCOL",
    0x9: "NO_RFC7540_PRIORITIES",
}

ESCAPES = {"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"}

TIMEOUT_UNITS = {"H": "hours", "M": "minutes", "S": "seconds", "m": "milliseconds", "u": "microseconds"}

HEADERS = {
    b":path": "service and method",
    b"te": "whoever is on the way is to let trailers through",
    b"grpc-encoding": "what compressed messages are compressed with",
    b"grpc-accept-encoding": "what the answer may be compressed with",
    b"grpc-message": "what went wrong, percent-encoded",
}


def printable(data: bytes | str, most: int = MOST) -> str:
    """Bytes as text; what would not show as itself is escaped: control characters, and bytes that are no UTF-8."""
    if isinstance(data, bytes):
        data = data[: 4 * most + 4].decode("utf-8", "surrogateescape")
    text = "".join(map(_escape, data[:most]))
    return text if len(data) <= most else text + "…"


def _escape(letter: str) -> str:
    if letter in ESCAPES:
        return ESCAPES[letter]
    if "\udc80" <= letter <= "\udcff":  # how surrogateescape keeps a byte
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")


def count(number: int, what: str) -> str:
    """A number and what it counts: ``1 byte``, ``2,000 bytes``."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def setting_name(code: int) -> str:
    """What SETTINGS calls a parameter."""
    return SETTINGS.get(code, f"parameter 0x{code:04x}")


def error_name(code: int) -> str:
    """What RST_STREAM and GOAWAY call an error."""
    try:
        return ErrorCodes(code).name
    except ValueError:
        return f"error 0x{code:08x}"


def explain_header(name: bytes, value: bytes) -> str:
    """What a header means for gRPC; empty where it says it by itself."""
    if name == b"grpc-status":
        return {b"%d" % code: code.name for code in StatusCode}.get(value, "")
    if name == b"grpc-timeout":
        return f"{printable(value[:-1])} {TIMEOUT_UNITS.get(value[-1:].decode('latin-1'), 'nanoseconds')} left"
    return HEADERS.get(name, "")
