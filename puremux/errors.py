"""Everything puremux raises, as one tree.

Floor 1, words: imports status only.  Errors hold plain values, so they pickle and outlive what raised them.

::

    PuremuxError
    ├── AddressError          an address or target that cannot be read (also a ValueError)
    ├── ProtocolError         a rule of HTTP/2 or gRPC was broken
    │   ├── LocalProtocolError    by us: the caller asked for a step that is not allowed now
    │   └── RemoteProtocolError   by the peer: what it sent is not HTTP/2, or not gRPC
    │       └── MessageError          one call's messages cannot be read; other calls go on
    ├── TransportError        no usable connection to an address
    │   ├── ResolveError          its name has no address
    │   ├── ConnectError          nothing accepts there, or not in time
    │   ├── ProxyError            the HTTP CONNECT proxy in between refused
    │   └── TlsError              the handshake failed, the certificate does not fit, or ALPN is not h2
    ├── RpcError              a call ended with a status other than OK
    ├── FutureTimeoutError    a future's answer did not come in the time given (also a TimeoutError)
    └── FutureCancelledError  a future was cancelled before its answer came
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, NamedTuple, Union

from .status import StatusCode, StatusDetail, details_from_wire

__all__ = [
    "AddressError",
    "ConnectError",
    "FutureCancelledError",
    "FutureTimeoutError",
    "LocalProtocolError",
    "MessageError",
    "Metadata",
    "Metadatum",
    "ProtocolError",
    "ProxyError",
    "PuremuxError",
    "RemoteProtocolError",
    "ResolveError",
    "RpcError",
    "TlsError",
    "TransportError",
]

Metadata = Sequence[tuple[str, Union[str, bytes]]]
"""Pairs of a lower-case key and a value; the value is ``bytes`` where the key ends in ``-bin``, else ``str``."""


class Metadatum(NamedTuple):
    """One pair of received metadata; it equals the plain tuple."""

    key: str
    """In lower case."""

    value: str | bytes
    """Bytes where the key ends in ``-bin``."""


class PuremuxError(Exception):
    """The base of every error that puremux raises on purpose."""


class AddressError(PuremuxError, ValueError):
    """An address or target cannot be read; the message quotes it and says what is expected."""


class ProtocolError(PuremuxError):
    """A rule of HTTP/2 or gRPC was broken.

    ``error_code`` is the HTTP/2 code (RFC 9113 §7) that describes it to the peer.
    """

    def __init__(self, message: str, error_code: int = 1) -> None:
        super().__init__(message, error_code)
        self.message, self.error_code = message, error_code

    def __str__(self) -> str:
        return self.message


class LocalProtocolError(ProtocolError):
    """Our caller asked for a step that the call or the connection does not allow now."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol; the connection, or the call, cannot go on."""


class MessageError(RemoteProtocolError):
    """The messages of one call cannot be read; ``code`` is the status that the call ends with."""

    def __init__(self, code: StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[object, ...]:
        return MessageError, (self.code, self.message)


class TransportError(PuremuxError):
    """There is no usable connection to ``address``; the message is one sentence that says why and what to do."""

    def __init__(self, address: str, message: str) -> None:
        super().__init__(address, message)
        self.address, self.message = address, message

    def __str__(self) -> str:
        return self.message


class ResolveError(TransportError):
    """The name in the address has no IP address, or was not looked up in time."""


class ConnectError(TransportError):
    """Nothing accepts connections at the address, or not within the time given."""


class ProxyError(TransportError):
    """The HTTP CONNECT proxy on the way to the address refused, or did not speak HTTP."""


class TlsError(TransportError):
    """TLS failed: no handshake, a certificate that does not fit, or a server that does not offer h2."""


class RpcError(PuremuxError):
    """A call ended with a status other than OK.

    Its methods are those of a finished call in grpcio, so handlers written for ``grpc.RpcError`` read it alike.

    Source: gRPC doc/statuscodes.md; PROTOCOL-HTTP2.md, "Responses", Trailers.
    """

    def __init__(
        self,
        code: StatusCode,
        details: str = "",
        initial_metadata: Metadata = (),
        trailing_metadata: Metadata = (),
    ) -> None:
        super().__init__(code, details, tuple(initial_metadata), tuple(trailing_metadata))

    def code(self) -> StatusCode:
        """The status code; never ``StatusCode.OK`` (gRPC doc/statuscodes.md)."""
        return self.args[0]  # type: ignore[no-any-return]  # BaseException.args is Tuple[Any, ...]

    def details(self) -> str:
        """The server's ``grpc-message``, or our own sentence without one (PROTOCOL-HTTP2.md, Status-Message)."""
        return self.args[1]  # type: ignore[no-any-return]  # as above

    def initial_metadata(self) -> Metadata:
        """What the server sent before its messages; empty for trailers-only (PROTOCOL-HTTP2.md, Response-Headers)."""
        return self.args[2]  # type: ignore[no-any-return]  # as above

    def trailing_metadata(self) -> Metadata:
        """What came with the status, ``grpc-status-details-bin`` included (PROTOCOL-HTTP2.md, Trailers)."""
        return self.args[3]  # type: ignore[no-any-return]  # as above

    def status_details(self) -> tuple[StatusDetail, ...]:
        """The messages in the server's ``grpc-status-details-bin`` (google.rpc.Status).

        Empty where it sent none, or nothing that can be read; the raw bytes are in :meth:`trailing_metadata`.

        Source: google/rpc/status.proto; gRPC PROTOCOL-HTTP2.md, "Responses", Status-Details.
        """
        for key, value in self.trailing_metadata():
            if key == "grpc-status-details-bin" and isinstance(value, bytes):
                try:
                    return details_from_wire(value)
                except ValueError:
                    return ()
        return ()

    def __str__(self) -> str:
        return f"{self.code().name}: {self.details()}" if self.details() else self.code().name

    # What else grpc.Call has; the call is over

    def debug_error_string(self) -> str:
        """The same as ``str()`` (grpcio's ``grpc.RpcError`` has it)."""
        return str(self)

    def is_active(self) -> bool:
        """False (grpc.RpcContext)."""
        return False

    def time_remaining(self) -> None:
        """None: there is nothing left to wait for (grpc.RpcContext)."""

    def cancel(self) -> bool:
        """Do nothing; False, as for every call that is over (grpc.RpcContext)."""
        return False

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Do nothing; False, since the callback will never be called (grpc.RpcContext)."""
        return False


class FutureTimeoutError(PuremuxError, TimeoutError):
    """A future's answer did not come in the time that the caller was ready to wait (grpc.FutureTimeoutError)."""


class FutureCancelledError(PuremuxError):
    """A future was cancelled before its answer came (grpc.FutureCancelledError)."""
