"""One HTTP/2 connection that carries gRPC calls: received bytes in, events out; calls in, bytes to send out.

Floor 2, protocol: no I/O.  Imports the rest of ``protocol``, errors, status and h2.
Spec: RFC 9113; gRPC PROTOCOL-HTTP2.md.

The same class plays both roles.  It reads no clock: the time comes in with the bytes.  No method blocks, and none of
the receiving ones raises: whatever the peer does becomes events, the last of them :class:`ConnectionEnded`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, Union

import h2.events
import h2.exceptions
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from ..errors import LocalProtocolError, Metadata, RemoteProtocolError
from ..status import StatusCode
from .events import (
    ConnectionEnded,
    Event,
    GoAwayReceived,
    MessageReceived,
    PingAcknowledged,
    SendBufferDrained,
    SettingsAcknowledged,
    SettingsReceived,
)
from .flow import Credit, Outbox
from .framing import frame_message
from .guard import Budget, FrameGate, GoAway, Limits
from .metadata import HeaderList, response_headers, trailers
from .stream import ClientCall, Sending, ServerCall, Step

__all__ = ["Connection"]

MAX_STREAM_ID = 2**31 - 1
NO_LIMIT = 2**32  # what MAX_CONCURRENT_STREAMS means before the peer has set it (RFC 9113 §6.5.2)
MAX_ENCODER_TABLE = 4_096  # a peer may offer a header table of 4 GiB; ours stays small

MAX_OUTPUT = 256 * 1024  # bytes framed ahead of the socket; the rest waits as messages, where the caller can see it

Call = Union[ClientCall, ServerCall]


class Connection:
    """HTTP/2 with gRPC on it, for a client or a server.

    Args:
        client_side: which role to play.
        max_receive_message_length: largest message taken, in bytes; None for no limit.
        stream_window: bytes that a peer may send on one call before it is read (RFC 9113 §6.9.2).
        connection_window: the same for all calls together.
        max_concurrent_streams: calls that a client may have open here at once (server's role).
        limits: what the peer may ask before the connection is ended.
        peer: how sentences about the end of the connection name the other end, such as its address.
    """

    def __init__(
        self,
        *,
        client_side: bool,
        max_receive_message_length: int | None = 4 * 1024 * 1024,
        stream_window: int = 1024 * 1024,
        connection_window: int = 4 * 1024 * 1024,
        max_concurrent_streams: int = 100,
        limits: Limits = Limits(),
        peer: str = "",
    ) -> None:
        self._peer = peer
        self._h2 = _new_h2(client_side, limits, stream_window, max_concurrent_streams)
        self._client_side = client_side
        self._max_length = max_receive_message_length
        self._connection_window = connection_window
        self._budget = Budget(limits)
        self._gate = FrameGate(client_side=client_side, limits=limits, budget=self._budget)
        self._outbox = Outbox(self._h2)
        self._credit = Credit(self._h2)
        self._calls: dict[int, Call] = {}
        self._extra = b""  # bytes ahead of those in h2's buffer: frames of our own that h2 does not make
        self._settings_sent = 0
        self._settings_acknowledged = 0
        self._peer_limit: int | None = None
        self._going_away = False
        self._ended: ConnectionEnded | None = None
        self._last_inbound = 0
        self._output = 0  # bytes framed since data_to_send()
        self._events: list[Event] = []  # what our own steps caused

    # The connection

    def initiate(self) -> None:
        """Send the preface and SETTINGS (RFC 9113 §3.4); the first thing on every connection."""
        self._h2.initiate_connection()
        growth = self._connection_window - self._h2.inbound_flow_control_window
        if growth > 0:
            self._h2.increment_flow_control_window(growth)
        self._settings_sent += 1

    def data_to_send(self) -> bytes:
        """Take the next bytes that are to be written to the peer, in this order, until there are none."""
        data = self._h2.data_to_send()
        if self._extra:
            data, self._extra = self._extra + data, b""
        if self._output:
            self._output = 0
            self._flush()
        return data

    def take_events(self) -> list[Event]:
        """Take the events that our own steps and :meth:`data_to_send` have caused; look here after each of them."""
        events, self._events = self._events, []
        return events

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the peer.

        Args:
            data: any length, cut anywhere; not empty.
            now: seconds on any clock that runs forward; it only feeds the allowance for idle frames.
        Returns:
            What happened, in order.
        """
        events: list[Event] = []
        if self._ended:
            return events
        try:
            for piece in self._gate.receive_data(data, now):
                if isinstance(piece, GoAway):
                    events += self._receive_goaway(piece)
                else:
                    for h2_event in self._h2.receive_data(piece):
                        events += self._receive_event(h2_event)
        except RemoteProtocolError as error:
            self._send_goaway(error.error_code, error.message)
            events += self._end(error.error_code, error.message)
        except h2.exceptions.ProtocolError as error:
            events += self._end(int(error.error_code), f"the peer broke HTTP/2: {error}")
        except Exception as error:  # h2 and hyperframe meet hostile bytes with more than their own errors
            self._send_goaway(ErrorCodes.INTERNAL_ERROR, "")
            events += self._end(ErrorCodes.INTERNAL_ERROR, f"the peer sent what h2 cannot read: {error!r}")
        self._flush()
        return events + self.take_events()

    def receive_eof(self) -> list[Event]:
        """Take the end of the peer's bytes."""
        try:
            self._gate.receive_eof()
        except RemoteProtocolError as error:
            return self._end(error.error_code, error.message)
        peer = "server" if self._client_side else "client"
        return self._end(ErrorCodes.NO_ERROR, f"the {peer} closed the connection")

    def lose(self, reason: str) -> list[Event]:
        """End everything because the transport failed; ``reason`` is one sentence."""
        return self._end(ErrorCodes.CONNECT_ERROR, reason)

    def go_away(self, error_code: int = 0, last_stream_id: int | None = None, debug: str = "") -> None:
        """Send GOAWAY: take no new calls, let running ones finish (RFC 9113 §6.8)."""
        self._send_goaway(error_code, debug, last_stream_id)
        self._going_away = True

    def probe(self) -> int:
        """Send an empty SETTINGS frame; its :class:`SettingsAcknowledged` proves that the peer's HTTP/2 has all before.

        Returns:
            The ordinal that the acknowledgement will carry.
        Source: RFC 9113 §6.5.3.
        """
        self._h2.update_settings({})
        self._settings_sent += 1
        self._budget.earn(1)
        return self._settings_sent

    def ping(self, opaque_data: bytes) -> None:
        """Send a PING with eight bytes of ours (RFC 9113 §6.7)."""
        self._h2.ping(opaque_data)
        self._budget.earn(1)

    @property
    def is_ready(self) -> bool:
        """True once the peer's first SETTINGS are here, until the connection ends."""
        return self._peer_limit is not None and self._ended is None

    @property
    def has_ended(self) -> bool:
        """True after :class:`ConnectionEnded`; what :meth:`data_to_send` still holds explains it to the peer."""
        return self._ended is not None

    @property
    def calls(self) -> int:
        """How many calls are running."""
        return len(self._calls)

    # Calls: the client's steps

    @property
    def can_open(self) -> bool:
        """True while the peer takes one more call now."""
        return self.takes_calls and len(self._calls) < (NO_LIMIT if self._peer_limit is None else self._peer_limit)

    @property
    def takes_calls(self) -> bool:
        """False once the connection drains (GOAWAY, stream ids used up) or has ended: calls need another one."""
        return not self._going_away and self._ended is None

    def open(self, headers: HeaderList) -> int:
        """Open a call with the headers of :func:`~puremux.protocol.metadata.request_headers`.

        Returns:
            The stream id that the call's events will carry.
        Raises:
            LocalProtocolError: the connection takes no call now; see :attr:`can_open`.
        """
        if not self.can_open:
            raise LocalProtocolError("the connection takes no more calls now")
        stream_id = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream_id, headers)
        call = ClientCall(stream_id, self._max_length)
        call.send(Step.HEADERS)
        self._calls[stream_id] = call
        self._budget.earn(2)
        if stream_id + 2 > MAX_STREAM_ID:
            self._going_away = True
        return stream_id

    def half_close(self, stream_id: int) -> None:
        """Say that the call has no more messages from us.

        Raises:
            LocalProtocolError: the call does not allow it now.
        """
        self._call(stream_id).send(Step.END)
        self._outbox.end(stream_id)
        self._flush()

    # Calls: the server's steps

    def send_headers(self, stream_id: int, metadata: Metadata = (), encoding: str = "identity") -> None:
        """Send a call's initial metadata.

        Raises:
            LocalProtocolError: they went already, or the call is over.
            ValueError, TypeError: the metadata cannot be sent.
        """
        headers = response_headers(metadata, encoding)
        self._call(stream_id).send(Step.HEADERS)
        self._h2.send_headers(stream_id, headers)

    def send_trailers(self, stream_id: int, code: StatusCode, details: str = "", metadata: Metadata = ()) -> None:
        """End a call with its status, behind all messages; alone if nothing was sent (trailers-only).

        Raises:
            LocalProtocolError: the call is over.
            ValueError, TypeError: the metadata cannot be sent.
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
        """
        call = self._call(stream_id)
        call.send(Step.MESSAGE)
        self._outbox.add(stream_id, frame_message(payload, encoding))
        if end:
            call.send(Step.END)
            self._outbox.end(stream_id)
        self._flush()
        return self._outbox.pending(stream_id)

    def pending(self, stream_id: int) -> int:
        """Bytes of a call that wait for the peer's windows."""
        return self._outbox.pending(stream_id)

    def message_taken(self, stream_id: int) -> None:
        """Note that the application took one received message, so that the peer may send more."""
        self._credit.taken(stream_id)

    def reset(self, stream_id: int, error_code: int = ErrorCodes.CANCEL) -> None:
        """Give a call up at once with RST_STREAM; it reports no more events.  Nothing happens if it is over."""
        if self._calls.pop(stream_id, None) is not None:
            self._forget(stream_id)
            self._reset_stream(stream_id, error_code)

    # What arrives

    def _receive_event(self, event: h2.events.Event) -> list[Event]:
        handle = HANDLERS.get(type(event))
        return handle(self, event) if handle else []

    def _receive_headers(self, event: Any) -> list[Event]:
        call = self._calls.get(event.stream_id)
        if call is None:
            return []
        return self._settle(call, call.receive_headers(event.headers, event.stream_ended is not None))

    def _receive_request(self, event: h2.events.RequestReceived) -> list[Event]:
        call = ServerCall(event.stream_id, self._max_length)
        self._calls[event.stream_id] = call
        self._last_inbound = event.stream_id
        self._budget.earn(1)
        return self._settle(call, call.receive_headers(event.headers, event.stream_ended is not None))

    def _receive_informational(self, event: h2.events.InformationalResponseReceived) -> list[Event]:
        self._budget.spend("informational HEADERS")
        return []

    def _receive_data(self, event: h2.events.DataReceived) -> list[Event]:
        if not event.data and event.stream_ended is None:
            self._budget.spend("empty DATA")
        call = self._calls.get(event.stream_id)
        if call is None:
            self._credit.received(event.stream_id, event.flow_controlled_length, 0)
            return []
        events = call.receive_data(event.data)
        messages = sum(isinstance(each, MessageReceived) for each in events)
        self._credit.received(event.stream_id, event.flow_controlled_length, messages)
        if event.stream_ended is not None:
            events += call.receive_end()
        return self._settle(call, events)

    def _receive_reset(self, event: h2.events.StreamReset) -> list[Event]:
        call = self._calls.get(event.stream_id)
        if call is None:
            return []
        if not event.remote_reset:  # h2's own verdict: the peer overflowed the stream's window
            return self._settle(call, call.stop(StatusCode.INTERNAL, "the peer broke flow control on the stream"))
        return self._settle(call, call.receive_reset(int(event.error_code)))

    def _receive_settings(self, event: h2.events.RemoteSettingsChanged) -> list[Event]:
        self._h2.encoder.header_table_size = min(self._h2.remote_settings.header_table_size, MAX_ENCODER_TABLE)
        self._peer_limit = min(self._h2.remote_settings.max_concurrent_streams, NO_LIMIT)
        return [SettingsReceived(self._peer_limit)]

    def _receive_settings_ack(self, event: h2.events.SettingsAcknowledged) -> list[Event]:
        if self._settings_acknowledged >= self._settings_sent:
            return []
        self._settings_acknowledged += 1
        return [SettingsAcknowledged(self._settings_acknowledged)]

    def _receive_ping_ack(self, event: h2.events.PingAckReceived) -> list[Event]:
        return [PingAcknowledged(event.ping_data)]

    def _receive_goaway(self, frame: GoAway) -> list[Event]:
        self._going_away = True
        events: list[Event] = []
        for stream_id in [each for each in self._calls if each > frame.last_stream_id and self._client_side]:
            call = self._calls[stream_id]
            ended = call.stop(
                StatusCode.UNAVAILABLE, "the server is going away and did not take the call", unprocessed=True
            )
            events += self._settle(call, ended)
        return [*events, GoAwayReceived(frame.error_code, frame.last_stream_id, frame.debug_data)]

    # What follows from it

    def _settle(self, call: Call, events: list[Event]) -> list[Event]:
        """Clear away a call that has ended."""
        if call.has_ended and self._calls.pop(call.stream_id, None) is not None:
            self._forget(call.stream_id)
            if call.reset_code is not None:
                self._reset_stream(call.stream_id, call.reset_code)
            elif call.sending is not Sending.ENDED or self._outbox.pending(call.stream_id):
                self._reset_stream(call.stream_id, ErrorCodes.NO_ERROR)
        return events

    def _forget(self, stream_id: int) -> None:
        self._outbox.drop(stream_id)
        if self._ended is None:
            self._credit.release(stream_id)

    def _reset_stream(self, stream_id: int, error_code: int) -> None:
        stream = self._h2.streams.get(stream_id)
        if self._ended is None and stream is not None and not stream.closed:
            self._h2.reset_stream(stream_id, error_code)

    def _call(self, stream_id: int) -> Call:
        try:
            return self._calls[stream_id]
        except KeyError:
            raise LocalProtocolError(f"there is no running call on stream {stream_id}") from None

    def _flush(self) -> None:
        if self._ended is not None:
            return
        outbox = self._outbox
        frames, sent = outbox.frames_sent, outbox.bytes_sent
        for stream_id, has_ended in outbox.flush(MAX_OUTPUT - self._output):
            self._events.append(SendBufferDrained(stream_id))
            if has_ended and not self._client_side:
                self._finish(stream_id)
        self._output += outbox.bytes_sent - sent
        self._budget.earn(4 * (outbox.frames_sent - frames))

    def _finish(self, stream_id: int) -> None:
        """Our trailers are out: the call is over, whatever the client still sends (RFC 9113 §8.1)."""
        if self._calls.pop(stream_id, None) is not None:
            self._forget(stream_id)
            self._reset_stream(stream_id, ErrorCodes.NO_ERROR)

    def _end(self, error_code: int, reason: str) -> list[Event]:
        if self._ended is not None:
            return []
        reason = f"{self._peer}: {reason}" if self._peer else reason
        self._ended = ConnectionEnded(int(error_code), reason)
        events: list[Event] = []
        for call in list(self._calls.values()):
            events += call.stop(StatusCode.UNAVAILABLE, reason)
        self._calls.clear()
        return [*events, self._ended]

    def _send_goaway(self, error_code: int, debug: str, last_stream_id: int | None = None) -> None:
        """Made by hand: h2 would close the connection with it, and running calls are to finish."""
        last = self._last_inbound if last_stream_id is None else last_stream_id
        frame = GoAwayFrame(0, last_stream_id=last, error_code=int(error_code), additional_data=debug.encode()[:256])
        self._extra += self._h2.data_to_send() + frame.serialize()


HANDLERS: Mapping[type, Callable[[Connection, Any], list[Event]]] = {
    h2.events.RequestReceived: Connection._receive_request,
    h2.events.ResponseReceived: Connection._receive_headers,
    h2.events.TrailersReceived: Connection._receive_headers,
    h2.events.InformationalResponseReceived: Connection._receive_informational,
    h2.events.DataReceived: Connection._receive_data,
    h2.events.StreamReset: Connection._receive_reset,
    h2.events.RemoteSettingsChanged: Connection._receive_settings,
    h2.events.SettingsAcknowledged: Connection._receive_settings_ack,
    h2.events.PingAckReceived: Connection._receive_ping_ack,
}


def _new_h2(client_side: bool, limits: Limits, stream_window: int, max_concurrent_streams: int) -> H2Connection:
    connection = H2Connection(
        H2Configuration(
            client_side=client_side,
            header_encoding=None,
            # The headers that we send are made by metadata.py; those that we receive are judged by stream.py, as a
            # fault of one call and not of the connection.
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
            normalize_inbound_headers=False,
        )
    )
    values = {
        SettingCodes.INITIAL_WINDOW_SIZE: stream_window,
        SettingCodes.MAX_FRAME_SIZE: limits.max_frame_size,
        SettingCodes.MAX_HEADER_LIST_SIZE: limits.max_header_list_size,
    }
    if client_side:
        values[SettingCodes.ENABLE_PUSH] = 0
    else:
        values[SettingCodes.MAX_CONCURRENT_STREAMS] = max_concurrent_streams
    connection.local_settings = Settings(client=client_side, initial_values=values)
    connection.decoder.max_header_list_size = limits.max_header_list_size
    return connection
