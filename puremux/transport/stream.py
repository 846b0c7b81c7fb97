"""A connected socket, plain or TLS, as one kind of byte stream.

Floor 3, transport: imports plain_stream, and tls_stream where there is TLS.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, cast

from .plain_stream import ByteStream

if TYPE_CHECKING:
    import ssl

__all__ = ["ByteStream", "byte_stream"]


def byte_stream(sock: socket.socket, address: str) -> ByteStream:
    """Take over a connected socket (as ``dial`` returns it, or accepted); it is made non-blocking.

    Args:
        sock: the socket, of which the stream is the owner from now on.
        address: how error messages name the other end.
    """
    if hasattr(sock, "selected_alpn_protocol"):  # an ssl.SSLSocket, and whoever made it has loaded ssl
        from .tls_stream import TlsByteStream

        return TlsByteStream(cast("ssl.SSLSocket", sock), address)
    return ByteStream(sock, address)
