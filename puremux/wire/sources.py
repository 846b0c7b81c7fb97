"""Files that are read: a session, a capture, or what one end sent; and types of messages.

Floor 5, wire: imports capture, tcp, session and records; protobuf's descriptors.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

from .capture import Packets, is_capture
from .records import CLIENT, SERVER, Connection, Piece
from .session import lines_in, read_session
from .tcp import pieces_of

__all__ = ["Recording", "read_descriptors", "read_raw"]

CHUNK = 64 * 1024  # bytes of a raw file that are read at once


class Recording:
    """A file that holds a session or a capture.

    Args:
        path: where it is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.remarks: list[str] = []
        """What was passed over, once all was read."""

    def __iter__(self) -> Iterator[Piece]:
        """Read it.

        Raises:
            OSError: it cannot be read.
            PuremuxError: it is neither a session nor a capture.
        """
        with self._path.open("rb") as file:
            beginning = file.read(4)
            file.seek(0)
            if is_capture(beginning):
                packets = Packets(file)
                yield from pieces_of(packets)
                self.remarks += [f"Passed over {number:,} packets {what}." for what, number in packets.skipped.items()]
            else:
                yield from read_session(lines_in(file))


def read_raw(client: Path | None, server: Path | None) -> Iterator[Piece]:
    """Read files that hold what the ends of one connection sent, and nothing else; the client's first.

    Raises:
        OSError: one cannot be read.
    """
    connection = Connection(1)
    for sender, path in ((CLIENT, client), (SERVER, server)):
        if path is not None:
            with path.open("rb") as file:
                while data := file.read(CHUNK):
                    yield Piece(connection, 0.0, sender, data)


def read_descriptors(path: Path) -> list[FileDescriptor]:
    """Read a file that ``protoc --include_imports --descriptor_set_out=FILE`` has written.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no set of descriptors, or one without the files that it imports.
    """
    pool = DescriptorPool()
    try:
        files = FileDescriptorSet.FromString(path.read_bytes()).file
        # protoc writes each file behind those that it imports.
        return [pool.AddSerializedFile(file.SerializeToString()) for file in files]
    except (DecodeError, TypeError) as error:  # TypeError: protobuf's word for a file that lacks an import
        raise ValueError(f"{path} has no descriptors that protoc --include_imports wrote: {error}") from None
