"""Between a client and a server: hands all bytes on unchanged, and tells of them.

Floor 5, wire: imports records, and the transport's addresses.

One asyncio loop moves everything.  A side that reads slowly makes the other one wait, as it would without the proxy:
no more than a buffer of each direction is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from typing import Callable

from ..transport.address import HostPort, UnixSocket, parse_address
from .records import CLIENT, SERVER, Connection, Piece

__all__ = ["Proxy"]

CONNECTING = 10.0
CLOSING = 1.0  # seconds for what is written to leave, at the end of a connection
"""Seconds that the server has to accept a connection."""

SIZE = 64 * 1024
"""Bytes that are read at once."""

DEFAULT_PORT = 55678


class Proxy:
    """Listens, and connects each client to the server.  Plaintext only.

    Args:
        listen: where clients connect to: ``HOST:PORT``, with port 0 for a free one, or ``unix:/path``.
        to: where the server is, in the same form.
        told: called with each piece of bytes, in order, before it is handed on; must be quick, and not raise.
        say: called with a sentence about what goes wrong.
    Raises:
        AddressError: an address cannot be read.
    """

    def __init__(
        self, listen: str, to: str, told: Callable[[Piece], None], say: Callable[[str], None] = lambda sentence: None
    ) -> None:
        self._listen = _place(listen)
        self._to = _place(to)
        self._name = to
        self._told = told
        self._say = say
        self._numbers = itertools.count(1)
        self._began = time.monotonic()
        self._server: asyncio.AbstractServer | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        """Begin to listen; return where.

        Raises:
            OSError: the address is taken, or is not this machine's.
        """
        if isinstance(self._listen, UnixSocket):
            self._server = await asyncio.start_unix_server(self._accepted, self._listen.path, limit=SIZE)
            return str(self._listen)
        self._server = await asyncio.start_server(self._accepted, self._listen.host, self._listen.port, limit=SIZE)
        return _name_of(self._server.sockets[0].getsockname())

    async def close(self) -> None:
        """Stop listening, and end every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._serving.add(task)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            await _end(writer)
            self._serving.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(next(self._numbers), _name_of(writer.get_extra_info("peername")), self._name)
        try:
            server_reader, server_writer = await asyncio.wait_for(self._connect(), CONNECTING)
        except (OSError, asyncio.TimeoutError) as error:
            self._say(f"Cannot connect to {self._name} for {connection.client}: {str(error) or 'it took too long'}.")
            return
        ways = (
            asyncio.ensure_future(self._hand_on(connection, CLIENT, reader, server_writer)),
            asyncio.ensure_future(self._hand_on(connection, SERVER, server_reader, writer)),
        )
        try:
            await asyncio.gather(*ways)
        except OSError:  # one end is gone: the other one is to see that
            writer.transport.abort()
            server_writer.transport.abort()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            await _end(server_writer)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._to, UnixSocket):
            return await asyncio.open_unix_connection(self._to.path, limit=SIZE)
        return await asyncio.open_connection(self._to.host, self._to.port, limit=SIZE)

    async def _hand_on(
        self, connection: Connection, sender: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Move what one end sends, until it has ended its direction."""
        while data := await reader.read(SIZE):
            self._tell(connection, sender, data)
            writer.write(data)
            await writer.drain()
        self._tell(connection, sender, b"")
        writer.write_eof()

    def _tell(self, connection: Connection, sender: str, data: bytes) -> None:
        self._told(Piece(connection, time.monotonic() - self._began, sender, data))


async def _end(writer: asyncio.StreamWriter) -> None:
    """Close a connection; ask what it died of, which is known already, lest asyncio log it at some later time."""
    writer.close()
    with contextlib.suppress(OSError, asyncio.TimeoutError):
        await asyncio.wait_for(writer.wait_closed(), CLOSING)
    writer.transport.abort()


def _place(text: str) -> HostPort | UnixSocket:
    """One place: where it is one of several, the first."""
    if text.endswith(":0"):  # a free port is no address to connect to
        return HostPort(text[: -len(":0")].strip("[]") or "localhost", 0)
    return parse_address(text, DEFAULT_PORT).places[0]


def _name_of(sockaddr: object) -> str:
    """A socket's address as users write it."""
    if isinstance(sockaddr, tuple):
        host, port = sockaddr[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return "a unix socket"
