"""Spans as JSON lines, in a file or on standard output.

Floor 5, agent: imports refusal, spanjson, views, exporter's complaints, logs and ``puremux.proto``.

A line is a span as spanjson writes it, with the ``node`` that sent it and the ``resource`` that it comes from.  The
lines of a request leave in one write without a buffer, so what was acknowledged outlives a SIGKILL.  All is ASCII: the
names of spans are hostile input, and a terminal may be looking.  A file that was moved away or deleted, as logrotate
does, is made anew before the next write.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import selectors
import stat
import sys
import time
from pathlib import Path
from typing import Callable

from ..exporter.complaints import Complaints
from ..logs import CarefulLogger
from ..proto import resource_pb2
from .refusal import ListenerFailed
from .spanjson import node_record, resource_record, span_record
from .views import SpansReceived

__all__ = ["SpanLog", "span_lines"]

NEWLINE = 0x0A

to_json = json.JSONEncoder(allow_nan=False).encode

logger = CarefulLogger("puremux.agent")

OWNER_ONLY = 0o600  # of a new file: spans can hold what is secret

PATIENCE = 2.0  # seconds for whoever reads from a pipe: the agent's other clients wait meanwhile
PIPE_BYTES = 4096  # that a pipe takes without blocking when it says that it is writable (POSIX PIPE_BUF on Linux)


class SpanLog:
    """Appends spans to a file, a line each.

    Args:
        path: of the file, which is made if it isn't there; ``"-"`` for standard output.
        clock: seconds, as ``time.monotonic``.
    Raises:
        OSError: the file cannot be opened; the message says which.
    """

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self.written = 0
        """Spans written."""
        self.failed = 0
        """Spans that could not be written; each came in a request that was refused."""
        self._clock = clock
        self._descriptor = -1
        self._selector: selectors.BaseSelector | None = None
        self._complaints = Complaints(logger, clock)
        self._torn = False
        self._open()

    @property
    def last_error(self) -> str | None:
        """The newest failure, as a sentence."""
        return self._complaints.last

    def receive(self, received: SpansReceived) -> None:
        """Write the spans of a request.

        Raises:
            ListenerFailed: they could not be written, or not all; the client may send them again.
        """
        lines = span_lines(received)
        try:
            if self._file is not None and self._file != _identity(self.path):
                self.close()
                self._open()
            self._write(lines)
        except OSError as error:
            self.failed += len(received.request.spans)
            sentence = f"spans cannot be written to {self.path}: {error.strerror or error}"
            self._complaints.say("span log", sentence)
            raise ListenerFailed(sentence) from error
        self.written += len(received.request.spans)

    def close(self) -> None:
        """Close the file; standard output stays open.  A second time does nothing."""
        if self._selector is not None:
            self._selector.close()
            self._selector = None
        if self._descriptor >= 0 and self.path != "-":
            os.close(self._descriptor)
        self._descriptor = -1

    def _open(self) -> None:
        self._descriptor = _open(self.path)
        self._file = _identity(self.path) if _is_file(self._descriptor) and self.path != "-" else None
        """What the path leads to, if that is a file; None for pipes, terminals and standard output."""
        self._torn = self._file is not None and _is_torn(self.path)
        self._selector = _selector(self._descriptor)

    def _write(self, lines: bytes) -> None:
        """Write all; if it ends within a line, the next write begins with a new one."""
        until = self._clock() + PATIENCE
        rest = memoryview(b"\n" + lines if self._torn else lines)
        while rest:
            if self._selector is not None and not self._selector.select(max(0.0, until - self._clock())):
                raise OSError(errno.EAGAIN, f"nobody has read from it for {PATIENCE:g} seconds")
            written = os.write(self._descriptor, rest if self._selector is None else rest[:PIPE_BYTES])
            if not written:
                raise OSError(errno.EIO, "it takes no more bytes")
            self._torn = rest[written - 1] != NEWLINE
            rest = rest[written:]


def _open(path: str) -> int:
    if path == "-":
        sys.stdout.flush()
        return sys.stdout.fileno()
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    for name in ("O_CLOEXEC", "O_BINARY", "O_NONBLOCK"):  # the last for a named pipe that nobody reads from
        flags |= getattr(os, name, 0)
    try:
        return os.open(path, flags, OWNER_ONLY)
    except OSError as error:
        raise OSError(error.errno, f"cannot write spans to {path}: {error.strerror}") from error


def _is_file(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _identity(path: str) -> tuple[int, int] | None:
    """What tells a file from all others; None if there is none at the path."""
    try:
        found = os.stat(path)  # noqa: PTH116  a Path would take longer to make than this, before each write
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_torn(path: str) -> bool:
    """Whether a file ends within a line, as after a kill or on a full disk."""
    with contextlib.suppress(OSError), Path(path).open("rb") as file:  # OSError: it is empty, or not ours to read
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
    return False


def _selector(descriptor: int) -> selectors.BaseSelector | None:
    """What waits until a pipe or terminal takes more; None for a file, which always does."""
    if os.name != "posix" or _is_file(descriptor):
        return None
    selector = selectors.DefaultSelector()
    try:
        selector.register(descriptor, selectors.EVENT_WRITE)
    except OSError:  # /dev/null and the like
        selector.close()
        return None
    return selector


def span_lines(received: SpansReceived) -> bytes:
    """A line for each span of a request.  Node and Resource, the same for most of them, are encoded once."""
    node = to_json(node_record(received.node))
    common = _tail(node, received.resource)
    lines = []
    for span in received.request.spans:
        tail = _tail(node, span.resource) if span.HasField("resource") else common
        lines.append(f"{to_json(span_record(span))[:-1]}{tail}")
    return "".join(lines).encode()


def _tail(node: str, resource: resource_pb2.Resource) -> str:
    return f', "node": {node}, "resource": {to_json(resource_record(resource))}}}\n'
