"""``puremux wire``: shows what goes over connections, from a file or as it happens.

Floor 5, wire: imports the rest of it, and errors.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PuremuxError
from .decoder import Decoder
from .methods import Methods
from .parts import Layer
from .proxy import Proxy
from .records import Frame, Message, Piece, Record, leaves
from .session import SessionWriter
from .sources import Recording, read_descriptors, read_raw
from .text import Printer
from .words import count

if TYPE_CHECKING:
    from .page import PageWriter

__all__ = ["add_options", "run"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``puremux wire``."""
    add = parser.add_argument
    add("recording", metavar="FILE", nargs="?", type=Path, help="a session that was recorded, a pcap or a pcapng")
    add("--client", metavar="FILE", type=Path, help="instead: the bytes that a client sent")
    add("--server", metavar="FILE", type=Path, help="and those that the server sent")
    add("--listen", metavar="ADDRESS", help="instead: be a proxy; clients connect here")
    add("--to", metavar="ADDRESS", help="and the server is there; plaintext")
    add("--save", metavar="FILE", type=Path, help="record what goes through the proxy as a session")
    add("--html", metavar="FILE", type=Path, help="write a page to look at, instead of text")
    add("--descriptors", metavar="FILE", type=Path, help="types to know: protoc --include_imports --descriptor_set_out")
    add("--plain", action="store_true", help="no colours, on a terminal either")
    add("--full", action="store_true", help="all bytes of everything, however many")


def run(options: argparse.Namespace) -> int:
    """Show what there is to see.

    Raises:
        PuremuxError, OSError, ValueError: it cannot be read, or the proxy cannot begin; the message says why.
    """
    _check(options)
    view, complete = _View(options), False
    try:
        if options.listen is not None:
            asyncio.run(_watch(options, view))
        elif options.recording is not None:
            recording = Recording(options.recording)
            view.take_all(recording)
            for remark in recording.remarks:
                view.say(remark)
        else:
            view.take_all(read_raw(options.client, options.server))
        complete = True
    finally:
        view.finish(complete)
    return 0


def _check(options: argparse.Namespace) -> None:
    ways = [options.recording is not None, options.client or options.server, options.listen or options.to]
    if sum(map(bool, ways)) != 1:
        raise PuremuxError("takes a FILE, or --client and --server, or --listen and --to; see --help")
    if bool(options.listen) != bool(options.to):
        raise PuremuxError("a proxy needs both --listen and --to")
    if options.save is not None and options.listen is None:
        raise PuremuxError("--save is for the proxy, with --listen and --to")


class _View:
    """What becomes of the pieces: text, or a page; and a session, if asked for."""

    def __init__(self, options: argparse.Namespace) -> None:
        descriptors = [] if options.descriptors is None else read_descriptors(options.descriptors)
        self._decoder = Decoder(Methods(descriptors))
        self._printer = Printer(sys.stdout, plain=options.plain, full=options.full)
        self._page = _page(options.html, options.full)
        self._writer = None if options.save is None else SessionWriter(options.save)
        self._tally = _Tally()

    def take_all(self, pieces: Iterable[Piece]) -> None:
        """Show a recording."""
        for piece in pieces:
            self.take(piece)

    def take(self, piece: Piece) -> None:
        """Show what can be told now."""
        if self._writer is not None:
            self._writer.write(piece)
        self._show(self._decoder.read(piece))

    def say(self, sentence: str) -> None:
        """Tell what is no record."""
        sys.stderr.write(sentence + "\n")
        sys.stderr.flush()

    def finish(self, complete: bool) -> None:
        """Show what was left unfinished, and how much it all was; but nothing where nothing could be read."""
        self._show(self._decoder.finish())
        if self._writer is not None:
            self._writer.close()
        if complete or self._tally.counts_anything:
            if self._page is not None:
                self._page.write()
            self.say(self._tally.sentence())

    def _show(self, records: Iterable[Record]) -> None:
        for record in records:
            self._tally.add(record)
            if self._page is not None:
                self._page.add(record)
            else:
                self._printer.show(record)


def _page(path: Path | None, full: bool) -> PageWriter | None:
    if path is None:
        return None
    try:
        from .page import PageWriter
    except ModuleNotFoundError as error:
        raise PuremuxError(f"{error}; a page needs it: pip install 'puremux[zpages]'") from None
    return PageWriter(path, full=full)


class _Tally:
    """How much was seen."""

    def __init__(self) -> None:
        self._connections: set[int] = set()
        self._frames = self._messages = self._bytes = self._unknown = 0

    def add(self, record: Record) -> None:
        self._connections.add(record.connection.number)
        self._frames += isinstance(record, Frame)
        self._messages += isinstance(record, Message)
        for leaf in leaves([record]):
            self._bytes += len(leaf.data)
            self._unknown += len(leaf.data) * (leaf.layer is Layer.UNKNOWN)

    @property
    def counts_anything(self) -> bool:
        """Whether anything was seen."""
        return bool(self._connections)

    def sentence(self) -> str:
        """All of it in one line."""
        seen = [
            count(len(self._connections), "connection"),
            count(self._frames, "frame"),
            count(self._messages, "message"),
            count(self._bytes, "byte"),
            f"{self._unknown:,} of them not understood" if self._unknown else "all understood",
        ]
        return ", ".join(seen) + "."


async def _watch(options: argparse.Namespace, view: _View) -> None:
    """Be a proxy until told to stop."""
    stop = asyncio.Event()
    failed: list[Exception] = []

    def told(piece: Piece) -> None:
        try:
            view.take(piece)
        except (OSError, ValueError) as error:  # the screen or the disk; what is under way is handed on nevertheless
            failed.append(error)
            stop.set()

    proxy = Proxy(options.listen, options.to, told, view.say)
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C is an exception there
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
    try:
        view.say(f"Between {await proxy.start()} and {options.to}; Ctrl-C ends it.")
        await stop.wait()
    finally:
        await proxy.close()
    if failed:
        raise failed[0]
