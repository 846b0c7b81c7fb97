"""The wire, visible: what goes over a connection, decoded and annotated, byte by byte.

Floor 5, a face: imports the exporter's message classes and everything below; what others need is here.

A :class:`Recorder` is a tap that writes a session file; a :class:`Decoder` makes records of pieces of bytes, wherever
these come from: a session, a capture, or a proxy between a client and a server.  ``puremux wire`` shows them.
"""

from __future__ import annotations

from .decoder import Decoder
from .records import Connection, Piece
from .session import Recorder

__all__ = ["Connection", "Decoder", "Piece", "Recorder"]
