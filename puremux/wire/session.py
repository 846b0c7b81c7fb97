"""Sessions: what went over connections, kept in a file.

Floor 5, wire: imports records and words, errors, and what a tap is told.

A session is text, a line of JSON each:

====================  ====================================================================================
the first             ``{"puremux-wire": 1, "began": "2026-01-31T12:00:00.000Z"}``
a connection          ``{"connection": 1, "client": "127.0.0.1:40000", "server": "localhost:55678"}``
bytes that were sent  ``{"connection": 1, "time": 0.0015, "from": "client", "hex": "505249202a..."}``
an end                ``{"connection": 1, "time": 9.5, "from": "server", "end": true}``
bytes that were lost  ``{"connection": 1, "time": 9.5, "from": "server", "gap": "why"}``
====================  ====================================================================================

A connection's line comes before all else of it.  Times are seconds since the session began.  A line is written in one
piece, so what a program that was killed has recorded can be read; a last line that is cut off is passed over.  Readers
skip keys that they do not know.
"""

from __future__ import annotations

import datetime
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from ..errors import PuremuxError
from ..transport.tap import BytesPassed
from .records import CLIENT, SERVER, Connection, Piece
from .words import printable

__all__ = ["Recorder", "SessionWriter", "lines_in", "read_session"]

VERSION = 1
KEY = "puremux-wire"
MOST_LINE = 64 * 1024 * 1024  # bytes; a piece is what one read or write took, and written in hexadecimal
MOST_LETTERS = 200  # of a name; a session may come from anybody


class SessionWriter:
    """Writes a session, piece by piece.

    Args:
        path: the file; what was in it is gone.
    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
        self._file = os.fdopen(os.open(path, flags, 0o600), "wb", buffering=0)
        self._known: set[int] = set()
        began = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
        self._write({KEY: VERSION, "began": began.replace("+00:00", "Z")})

    def write(self, piece: Piece) -> None:
        """Append a piece.

        Raises:
            OSError: the disk is full, for instance.
        """
        connection = piece.connection
        if connection.number not in self._known:
            self._known.add(connection.number)
            self._write({"connection": connection.number, "client": connection.client, "server": connection.server})
        told: dict[str, Any] = {
            "connection": connection.number,
            "time": round(piece.time, 6),
            "from": piece.sender,
        }
        if piece.gap:
            told["gap"] = piece.gap
        if piece.data:
            told["hex"] = piece.data.hex()
        elif not piece.gap:
            told["end"] = True
        self._write(told)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, told: dict[str, Any]) -> None:
        # One write for a line: it is there as a whole or not at all, whenever the program ends.
        self._file.write(json.dumps(told, separators=(",", ":")).encode("ascii") + b"\n")


class Recorder:
    """A tap that writes a session: ``Exporter(..., tap=Recorder("session.jsonl"))``; ``puremux wire`` shows it.

    May be the tap of several channels and exporters.  In a forked child it does nothing, since the file is the
    parent's.  What goes over TLS is recorded as it is inside TLS: the file holds what TLS was to hide, and is readable
    by its owner only.

    Args:
        path: the file; what was in it is gone.
    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._began = time.monotonic()
        self._writer: SessionWriter | None = SessionWriter(path)
        self._connections: dict[int, Connection] = {}

    def __call__(self, passed: BytesPassed) -> None:
        """Write what went by.

        Raises:
            OSError: the disk is full, for instance; a channel then tells its tap no more.
        """
        if os.getpid() != self._owner:
            return
        sender = CLIENT if passed.direction == "sent" else SERVER
        with self._lock:
            if self._writer is not None:
                connection = self._connections.setdefault(
                    passed.connection, Connection(passed.connection, CLIENT, passed.peer)
                )
                self._writer.write(Piece(connection, max(passed.time - self._began, 0.0), sender, passed.data))
                if sender == CLIENT and not passed.data:
                    del self._connections[passed.connection]

    def close(self) -> None:
        """Close the file; what goes by later is not recorded."""
        with self._lock:
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def lines_in(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file; one that is too long to be a session's is cut, and so cannot be read as one."""
    return iter(lambda: file.readline(MOST_LINE), b"")


def read_session(lines: Iterable[bytes]) -> Iterator[Piece]:
    """Read a session.

    Args:
        lines: of the file.
    Raises:
        PuremuxError: it is no session.  The last line may be cut off.
    """
    connections: dict[int, Connection] = {}
    broken = 0
    for number, line in enumerate(lines, 1):
        if broken:
            raise PuremuxError(f"line {broken} of the session cannot be read")
        try:
            told = _told(line)
            if number == 1:
                _check_version(told)
            elif "client" in told:
                ends = (printable(str(told[end]), MOST_LETTERS) for end in (CLIENT, SERVER))
                connection = Connection(int(told["connection"]), *ends)
                connections[connection.number] = connection
            else:
                yield _piece(told, connections)
        except (KeyError, ValueError, TypeError, OverflowError, RecursionError) as error:
            if number == 1:
                raise PuremuxError("it is no session that puremux has recorded") from error
            broken = number  # the last line may be; any other may not


def _told(line: bytes) -> dict[str, Any]:
    told = json.loads(line)
    if not isinstance(told, dict):
        raise TypeError("not an object")
    return told


def _check_version(told: dict[str, Any]) -> None:
    if told[KEY] != VERSION:
        raise PuremuxError(f"it is a session of version {told[KEY]!r}; this puremux reads version {VERSION}")


def _piece(told: dict[str, Any], connections: dict[int, Connection]) -> Piece:
    sender = told["from"]
    if sender not in (CLIENT, SERVER):
        raise ValueError("sent by neither end")
    data = bytes.fromhex(told.get("hex", ""))
    return Piece(
        connections[told["connection"]],
        float(told["time"]),
        sender,
        data,
        printable(str(told.get("gap", "")), MOST_LETTERS),
    )
