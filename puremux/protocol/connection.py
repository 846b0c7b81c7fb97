"""One HTTP/2 connection that carries gRPC calls: received bytes in, events out; calls in, bytes to send out.

Floor 2, protocol: no I/O.  Imports the rest of ``protocol``, errors, status and h2.
Spec: RFC 9113; gRPC PROTOCOL-HTTP2.md.

The same class plays both roles.  It reads no clock: the time comes in with the bytes.  No method blocks, and none of
the receiving ones raises: whatever the peer does becomes events, the last of them :class:`ConnectionEnded`.
"""

from __future__ import annotations

from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from ..errors import LocalProtocolError, Metadata
from ..status import StatusCode
from .framing import frame_message
from .inbound import MAX_STREAM_ID, NO_LIMIT, Call, Inbound
from .metadata import HeaderList, list_size, response_headers, trailers
from .stream import ClientCall, Sending, Step

__all__ = ["Connection"]

LEAST_LIMIT = 1_024  # bytes of headers; whoever wants fewer takes no call at all, and the setting is but advice


class Connection(Inbound):
    """HTTP/2 with gRPC on it, for a client or a server.

    Args:
        client_side: which role to play.
        max_receive_message_length: largest message taken, in bytes; None for no limit.
        stream_window: bytes that a peer may send on one call before it is read (RFC 9113 §6.9.2), to begin with.
        connection_window: bytes that may be on their way to us on all calls together, to begin with; at least 65,535.
        max_stream_window: what ``stream_window`` may grow to, if that lets more through.
        max_connection_window: the same for ``connection_window``.
        max_concurrent_streams: calls that a client may have open here at once (server's role).
        limits: what the peer may ask before the connection is ended.
        peer: how sentences about the end of the connection name the other end, such as its address.
    """

    # The connection

    def initiate(self) -> None:
        """Send the preface and SETTINGS (RFC 9113 §3.4); the first thing on every connection."""
        self._h2.initiate_connection()
        growth = self._growth.connection_window - self._h2.inbound_flow_control_window
        if growth > 0:
            self._h2.increment_flow_control_window(growth)
        self._settings_sent += 1

    def data_to_send(self) -> bytes:
        """Take the next bytes that are to be written to the peer, in this order, until there are none.

        A server has none before the client's preface, unless it is to say GOAWAY: what does not speak HTTP/2 is to be
        answered in its own words.

        Source: RFC 7541 §2.2 and §4.2 for the order.
        """
        if not self._gate.has_preface and self.takes_calls:
            return b""
        data = self._h2.data_to_send()
        if self._output:
            self._output = 0
            self._flush()
        return data

    def go_away(self, error_code: int = 0, last_stream_id: int | None = None, debug: str = "") -> None:
        """Send GOAWAY: take no new calls, let running ones finish (RFC 9113 §6.8).

        Args:
            last_stream_id: the last call that is served (server's role); the last that has come, if not given.
            debug: a sentence for the peer's log.
        """
        if self._ended is None:
            last = self._last_inbound if last_stream_id is None else last_stream_id
            self._last_accepted = min(self._last_accepted, last)
            self._h2.send_goaway(last, error_code, debug)
        self._going_away = True

    def probe(self) -> int:
        """Send an empty SETTINGS frame; its :class:`SettingsAcknowledged` proves that the peer's HTTP/2 has all before.

        Returns:
            The ordinal that the acknowledgement will carry.  Others come as well: the connection sends SETTINGS frames
            of its own, to measure how wide the windows should be.
        Source: RFC 9113 §6.5.3.
        """
        return self._send_settings({})

    def ping(self, opaque_data: bytes) -> None:
        """Send a PING with eight bytes of ours (RFC 9113 §6.7)."""
        if self._ended is None:
            self._h2.ping(opaque_data)
            self._budget.earn(1)

    @property
    def is_ready(self) -> bool:
        """True once the peer's first SETTINGS are here (RFC 9113 §3.4), until the connection ends."""
        return self._peer_limit is not None and self._ended is None

    @property
    def peer_settings(self) -> dict[str, int]:
        """The peer's SETTINGS by name, such as ``max_frame_size``, with the defaults of what it left out.

        Source: RFC 9113 §6.5.2.
        """
        return {SettingCodes(code).name.lower(): value for code, value in self._h2.remote_settings.items()}

    @property
    def has_ended(self) -> bool:
        """True after :class:`ConnectionEnded`; :meth:`data_to_send` still explains it to the peer (RFC 9113 §5.4.1)."""
        return self._ended is not None

    @property
    def calls(self) -> int:
        """How many calls are running (RFC 9113 §5.1.2)."""
        return len(self._calls)

    # Calls: the client's steps

    @property
    def can_open(self) -> bool:
        """True while the peer takes one more call now (RFC 9113 §5.1.2, §6.8)."""
        return self.takes_calls and len(self._calls) < (NO_LIMIT if self._peer_limit is None else self._peer_limit)

    @property
    def takes_calls(self) -> bool:
        """False once the connection drains (RFC 9113 §6.8, §5.1.1) or has ended: calls need another one."""
        return not self._going_away and self._ended is None

    def open(self, headers: HeaderList) -> int:
        """Open a call with the headers of :func:`~puremux.protocol.metadata.request_headers`.

        Returns:
            The stream id that the call's events will carry.
        Raises:
            LocalProtocolError: the connection takes no call now; see :attr:`can_open`.  Or the headers are larger than
                the peer takes, and the call would end no better there.
        Source: gRPC PROTOCOL-HTTP2.md, "Requests"; RFC 9113 §5.1.2 and §6.5.2 for the limits.
        """
        if not self.can_open:
            raise LocalProtocolError("the connection takes no more calls now")
        limit = self._h2.remote_settings.max_header_list_size
        if limit is not None and list_size(headers) > max(limit, LEAST_LIMIT):
            raise LocalProtocolError(
                f"the call has {list_size(headers)} bytes of metadata and headers; the server takes {limit}"
                " (MAX_HEADER_LIST_SIZE)"
            )
        stream_id = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream_id, headers)
        call = ClientCall(stream_id, self._max_length, self._limits.max_header_list_size)
        call.send(Step.HEADERS)
        self._calls[stream_id] = call
        self._budget.earn(2)
        if stream_id + 2 > MAX_STREAM_ID:
            self._going_away = True
        return stream_id

    def half_close(self, stream_id: int) -> None:
        """Say that the call has no more messages from us (END_STREAM, RFC 9113 §5.1).

        Raises:
            LocalProtocolError: the call does not allow it now.
        """
        call = self._call(stream_id)
        call.send(Step.END)
        if not call.is_answered:
            self._outbox.end(stream_id)
            self._flush()

    # Calls: the server's steps

    def send_headers(self, stream_id: int, metadata: Metadata = (), encoding: str = "identity") -> None:
        """Send a call's initial metadata.

        Raises:
            LocalProtocolError: they went already, or the call is over.
            ValueError, TypeError: the metadata cannot be sent.
        Source: gRPC PROTOCOL-HTTP2.md, "Responses", Response-Headers.
        """
        headers = response_headers(metadata, encoding)
        self._call(stream_id).send(Step.HEADERS)
        self._h2.send_headers(stream_id, headers)

    def send_trailers(self, stream_id: int, code: StatusCode, details: str = "", metadata: Metadata = ()) -> None:
        """End a call with its status, behind all messages; alone if nothing was sent (trailers-only).

        :class:`SendBufferDrained` is the call's last event, once the status is out.

        Raises:
            LocalProtocolError: the call is over.
            ValueError, TypeError: the metadata cannot be sent.
        Source: gRPC PROTOCOL-HTTP2.md, "Responses", Trailers and Trailers-Only.
        """
        call = self._call(stream_id)
        only = call.sending is Sending.IDLE
        headers = (response_headers((), "identity") if only else []) + trailers(code, details, metadata)
        call.send(Step.TRAILERS)
        self._outbox.end(stream_id, headers)
        self._flush()

    # Calls: both roles

    def send_message(self, stream_id: int, payload: bytes, *, encoding: str = "identity", end: bool = False) -> int:
        """Send one message; what the peer's windows do not allow yet waits here, in order.

        Args:
            encoding: compress with this; it must be the one that the headers announced.
            end: half-close behind it (client's role), which saves a frame.
        Returns:
            Bytes of this call that wait; :class:`SendBufferDrained` follows when none do any more.
        Raises:
            LocalProtocolError: the call does not allow it now.
        Source: gRPC PROTOCOL-HTTP2.md, "Requests", Length-Prefixed-Message.
        """
        call = self._call(stream_id)
        framed = frame_message(payload, encoding)
        call.send(Step.MESSAGE)
        if end:
            call.send(Step.END)
        if call.is_answered:
            return 0
        self._outbox.add(stream_id, framed)
        if end:
            self._outbox.end(stream_id)
        self._flush()
        return self._outbox.pending(stream_id)

    def pending(self, stream_id: int) -> int:
        """Bytes of a call that wait for the peer's windows (RFC 9113 §5.2)."""
        return self._outbox.pending(stream_id)

    def message_taken(self, stream_id: int) -> None:
        """Note that the application took one received message, so that the peer may send more.

        Messages that had to wait for this, since much was unread, follow by :meth:`take_events`.

        Source: RFC 9113 §5.2, §6.9.
        """
        call = self._calls.get(stream_id)
        if call is not None:
            events = call.message_taken()
            self._account(call, 0, events)
            self._events += self._settle(call, events)
        self._inflow.taken(stream_id)

    def reset(self, stream_id: int, error_code: int = ErrorCodes.CANCEL) -> None:
        """Give a call up with RST_STREAM (RFC 9113 §6.4); no more events come of it.  Nothing happens if it is over."""
        if self._calls.pop(stream_id, None) is not None:
            self._forget(stream_id)
            self._reset_stream(stream_id, error_code)
            self._events = [each for each in self._events if getattr(each, "stream_id", 0) != stream_id]

    def _call(self, stream_id: int) -> Call:
        try:
            return self._calls[stream_id]
        except KeyError:
            raise LocalProtocolError(f"there is no running call on stream {stream_id}") from None
