"""Records as text: the same with colours and without, nothing that harms a terminal, and a bound on what is long."""

from __future__ import annotations

import io
import re
import struct
import sys

import pytest
from hpack import Encoder

from fuzz.common import DATA, HEADERS, SETTINGS, raw
from puremux.protocol.metadata import request_headers
from puremux.wire import Connection, Decoder, Piece
from puremux.wire.text import Printer
from puremux.wire.words import count, printable

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
BEGINNING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + raw(SETTINGS, 0, b"")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def call(*headers: tuple[bytes, bytes], message: bytes = b"\x0a\x02hi") -> bytes:
    request = [*request_headers("/p.S/M", authority="h", scheme="http"), *headers]
    data = struct.pack(">BI", 0, len(message)) + message
    return BEGINNING + raw(HEADERS, 1, Encoder().encode(request), 4) + raw(DATA, 1, data, 1)


def show(wire: bytes, output: io.StringIO, *, plain: bool = False, full: bool = False) -> str:
    printer, decoder = Printer(output, plain=plain, full=full), Decoder()
    for record in [*decoder.read(Piece(Connection(1), 0.25, "client", wire)), *decoder.finish()]:
        printer.show(record)
    return output.getvalue()


def test_the_text_is_the_same_with_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    coloured, plain = show(call(), Terminal()), show(call(), io.StringIO())
    assert "\x1b[" in coloured and "\x1b" not in plain
    lines = [ESCAPE.sub("", line).rstrip() for line in coloured.splitlines()]
    assert lines == plain.splitlines()
    assert show(call(), Terminal(), plain=True) == plain


def test_without_rich_there_are_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert show(call(), Terminal()) == show(call(), io.StringIO())


def test_a_frame_and_what_is_in_it() -> None:
    lines = show(call(), io.StringIO()).splitlines()
    assert "   0.250000 client ─▶ HEADERS END_HEADERS  stream 1" in lines
    (prefix,) = [line for line in lines if "prefix: 4 bytes" in line]
    assert prefix.split() == [prefix.split()[0], "00", "00", "00", "00", "04", "prefix:", "4", "bytes"]
    at = int(prefix.split()[0], 16)
    assert call()[at : at + 5] == bytes.fromhex("0000000004")
    (field,) = [line for line in lines if "field 1:" in line]
    assert field.split()[:5] == [f"{at + 5:x}", "0a", "02", "68", "69"] and '"hi"' in field


@pytest.mark.parametrize(
    "hostile, shown",
    [
        pytest.param(b"\x1b[2J", r"\x1b[2J", id="an escape sequence"),
        pytest.param("\u202eabc".encode(), r"\u202eabc", id="text turned around"),
        pytest.param(b"\x9b2J", r"\x9b2J", id="no UTF-8"),
        pytest.param(b"[red]x[/red]", "[red]x[/red]", id="rich's own marks"),
        pytest.param(b"a\r\nb", r"a\r\nb", id="new lines"),
        pytest.param(b"a\\x1b", r"a\\x1b", id="what looks escaped"),
    ],
)
def test_what_a_peer_sends_does_no_harm_on_a_terminal(hostile: bytes, shown: str) -> None:
    wire = call((b"x-hostile", hostile), message=hostile)
    assert f"x-hostile: {shown}" in show(wire, io.StringIO())
    assert (
        set(ESCAPE.sub("", show(wire, Terminal()))) & {chr(each) for each in [*range(9), *range(11, 32), 0x202E]}
        == set()
    )


def test_what_is_long_is_cut_unless_asked_for() -> None:
    wire = call(message=b"\x0a\xe8\x07" + b"x" * 1_000 + b"\x10\x01" * 500)
    short, full = show(wire, io.StringIO()), show(wire, io.StringIO(), full=True)
    assert "more bytes" in short and "more lines; --full shows them" in short
    assert "x" * 1_000 in full and "--full" not in full
    assert len(full.splitlines()) > len(short.splitlines()) > 100


def test_numbers_and_what_they_count() -> None:
    assert (count(1, "byte"), count(0, "byte"), count(2_000, "byte")) == ("1 byte", "0 bytes", "2,000 bytes")
    assert printable("x" * 10, 4) == "xxxx…" and printable(b"\xff" * 10, 4) == r"\xff\xff\xff\xff…"
