"""Sessions: what a recorder writes is what is read, whatever cut the file off."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puremux.errors import PuremuxError
from puremux.transport.tap import BytesPassed
from puremux.wire import Connection, Piece, Recorder, session
from puremux.wire.page import PageWriter
from puremux.wire.records import CLIENT, SERVER
from puremux.wire.session import SessionWriter, read_session
from puremux.wire.sources import Recording

ONE, TWO = Connection(1, "127.0.0.1:1", "a:2"), Connection(2, "[::1]:1", "b:2")
PIECES = [
    Piece(ONE, 0.5, CLIENT, b"PRI"),
    Piece(TWO, 0.75, CLIENT, bytes(range(256))),
    Piece(ONE, 1.0, SERVER, b"", "3 bytes are missing"),
    Piece(ONE, 1.5, SERVER, b"x"),
    Piece(ONE, 2.0, CLIENT, b""),
]


HEAD = b'{"puremux-wire":1,"began":"2026-11-28T06:56:44.251Z"}\n'
ENDLESS = b'{"connection":Infinity,"client":"a","server":"b"}\n'


def written(folder: Path, pieces: list[Piece]) -> bytes:
    writer = SessionWriter(folder / "session")
    for piece in pieces:
        writer.write(piece)
    writer.close()
    return (folder / "session").read_bytes()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    data = written(tmp_path, PIECES)
    assert list(read_session(data.splitlines(keepends=True))) == PIECES
    assert all(json.loads(line) for line in data.splitlines())


def test_a_session_cut_off_anywhere_is_read_up_to_there(tmp_path: Path) -> None:
    data = written(tmp_path, PIECES)
    first = data.index(b"\n") + 1
    for end in range(first, len(data)):
        whole = data[:end].count(b'"time"')
        read = list(read_session(data[:end].splitlines(keepends=True)))
        assert read == PIECES[: len(read)] and whole - 1 <= len(read) <= whole


@pytest.mark.parametrize(
    "lines, sentence",
    [
        pytest.param([b"[" * 100_000 + b"\n"], "no session that puremux has recorded", id="very deep"),
        pytest.param([HEAD, b"[" * 100_000 + b"\n", HEAD], "line 2 of the session cannot be read", id="deep later"),
        pytest.param([HEAD, ENDLESS, HEAD], "line 2 of the session cannot be read", id="a number without an end"),
        pytest.param([b"hello\n"], "no session that puremux has recorded", id="something else"),
        pytest.param([b"\xff\xfe\n"], "no session that puremux has recorded", id="not even text"),
        pytest.param([b'{"puremux-wire":2}\n'], "version 2; this puremux reads version 1", id="a later version"),
        pytest.param([b'{"puremux-wire":1}\n', b"{}\n", b"{}\n"], "line 2", id="a broken line in the middle"),
        pytest.param(
            [b'{"puremux-wire":1}\n', b'{"connection":7,"time":1,"from":"client","hex":""}\n', b"{}"],
            "line 2",
            id="a connection that was not told",
        ),
    ],
)
def test_what_is_no_session_is_refused(lines: list[bytes], sentence: str) -> None:
    with pytest.raises(PuremuxError, match=sentence):
        list(read_session(lines))


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_any_bytes_are_a_session_or_refused(lines: list[bytes]) -> None:
    try:
        list(read_session([b'{"puremux-wire":1}\n', *lines]))
    except PuremuxError:
        pass


def test_names_in_a_session_do_no_harm_on_a_terminal(tmp_path: Path) -> None:
    hostile = Connection(1, "\x1b[2J\u202e", "b")
    data = written(tmp_path, [Piece(hostile, 0.0, CLIENT, b"", "\x07")])
    (piece,) = read_session(data.splitlines(keepends=True))
    assert (piece.connection.client, piece.gap) == ("\\x1b[2J\\u202e", "\\x07")


def passed(number: int, direction: str, data: bytes, time: float = 1e9) -> BytesPassed:
    return BytesPassed(number, "localhost:55678", time, direction, data)


def test_a_recorder_is_a_tap(tmp_path: Path) -> None:
    path = tmp_path / "session"
    with Recorder(path) as recorder:
        recorder(passed(4, "sent", b"PRI"))
        recorder(passed(4, "received", b"abc"))
        recorder(passed(4, "sent", b""))
    recorder(passed(4, "sent", b"after the end"))
    with path.open("rb") as file:
        pieces = list(read_session(file))
    assert [(piece.sender, piece.data) for piece in pieces] == [(CLIENT, b"PRI"), (SERVER, b"abc"), (CLIENT, b"")]
    assert pieces[0].connection == Connection(4, "client", "localhost:55678")


@pytest.mark.skipif(os.name != "posix", reason="files have owners and modes on POSIX")
def test_a_session_is_its_owners_only(tmp_path: Path) -> None:
    Recorder(tmp_path / "session").close()
    assert stat.S_IMODE((tmp_path / "session").stat().st_mode) == 0o600


@pytest.mark.skipif(os.name != "posix", reason="files have owners and modes on POSIX")
def test_a_page_is_its_owners_only(tmp_path: Path) -> None:
    PageWriter(tmp_path / "page.html").write()
    assert stat.S_IMODE((tmp_path / "page.html").stat().st_mode) == 0o600


def test_what_was_recorded_is_there_before_the_end(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "session")
    recorder(passed(1, "sent", b"PRI"))
    assert b"505249" in (tmp_path / "session").read_bytes()
    recorder.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Recorder(tmp_path / "session") as recorder:
        monkeypatch.setattr(os, "getpid", lambda: -1)  # as it is in a child
        recorder(passed(1, "sent", b"PRI"))
    assert b"505249" not in (tmp_path / "session").read_bytes()


def test_a_file_without_lines_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MOST_LINE", 1_000_000)
    with pytest.raises(PuremuxError, match="no session that puremux has recorded"):
        list(Recording(Path("/dev/zero")))
