"""What arrives on a connection, and what follows from it: frames in, events out, calls cleared away.

Floor 2, protocol: no I/O.  Imports the rest of ``protocol`` but ``connection``, errors, status and h2.
Spec: RFC 9113; gRPC PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Callable, Union

import h2.events
import h2.exceptions
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from ..errors import RemoteProtocolError
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
from .flow import Outbox
from .guard import Budget, FrameGate, GoAway, LateData, Limits
from .http2 import Http2, Malformed
from .stream import ClientCall, ServerCall
from .window import Growth, Inflow

__all__ = ["Inbound"]

MAX_STREAM_ID = 2**31 - 1
NO_LIMIT = 2**32  # what MAX_CONCURRENT_STREAMS means before the peer has set it (RFC 9113 §6.5.2)
MAX_OUTPUT = 256 * 1024  # bytes framed ahead of the socket; the rest waits as messages, where the caller can see it

REQUEST_LINE = re.compile(rb"[A-Z]+ [^\r\n]+ HTTP/1\.[01]\r?\n")  # as a client sends it, in one piece
NO_HTTP1 = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n"  # the close ends it
    b"This port speaks gRPC, which needs HTTP/2 from the start.\n"
)

Call = Union[ClientCall, ServerCall]


class Inbound:
    """The receiving half of a connection; :class:`~puremux.protocol.connection.Connection` adds the steps of ours.

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

    def __init__(
        self,
        *,
        client_side: bool,
        max_receive_message_length: int | None = 4 * 1024 * 1024,
        stream_window: int = 1024 * 1024,
        connection_window: int = 4 * 1024 * 1024,
        max_stream_window: int = 8 * 1024 * 1024,
        max_connection_window: int = 16 * 1024 * 1024,
        max_concurrent_streams: int = 100,
        limits: Limits = Limits(),
        peer: str = "",
    ) -> None:
        self._peer = peer
        self._client_side = client_side
        self._max_length = max_receive_message_length
        self._max_calls = max_concurrent_streams
        self._limits = limits
        self._h2 = Http2(
            client_side=client_side,
            limits=limits,
            stream_window=stream_window,
            max_concurrent_streams=max_concurrent_streams,
        )
        self._budget = Budget(limits)
        self._gate = FrameGate(
            client_side=client_side, limits=limits, budget=self._budget, is_over=self._is_over, is_idle=self._is_idle
        )
        self._outbox = Outbox(self._h2)
        self._growth = Growth(
            self._h2,
            self._send_settings,
            stream_window=stream_window,
            connection_window=connection_window,
            max_stream_window=max_stream_window,
            max_connection_window=max_connection_window,
        )
        self._inflow = Inflow(self._h2, self._growth)
        self._calls: dict[int, Call] = {}
        self._settings_sent = 0
        self._settings_acknowledged = 0
        self._peer_limit: int | None = None
        self._going_away = False
        self._ended: ConnectionEnded | None = None
        self._last_inbound = 0
        self._last_accepted = MAX_STREAM_ID  # what our GOAWAY has said
        self._late = 0  # bytes that may still come on calls that are over, since their windows allowed them
        self._output = 0  # bytes framed since data_to_send()
        self._events: list[Event] = []  # what our own steps caused
        self._now = 0.0

    @property
    def buffered(self) -> int:
        """Bytes that have come on running calls and are in no message yet (gRPC: Length-Prefixed-Message)."""
        return sum(call.buffered for call in self._calls.values())

    def take_events(self) -> list[Event]:
        """Take the events that our own steps and :meth:`data_to_send` have caused; look here after each of them.

        Source: none; events are this library's own way to tell what RFC 9113 and gRPC make of the bytes.
        """
        events, self._events = self._events, []
        return events

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the peer.

        Args:
            data: any length, cut anywhere; not empty.
            now: seconds on any clock that runs forward; it feeds the allowance for idle frames, and tells how fast the
                peer's data comes.
        Returns:
            What happened, in order; first what :meth:`take_events` would have returned.  Nothing is raised: what
            breaks the rules ends a call or the connection, by an event.
        Source: RFC 9113 §4.1, §5.4.
        """
        if self._ended:
            return []
        self._now = now
        events = self.take_events()
        try:
            for piece in self._gate.receive_data(data, now):
                if isinstance(piece, GoAway):
                    events += self._receive_goaway(piece)
                elif isinstance(piece, LateData):
                    self._receive_late(piece)
                else:
                    for h2_event in self._h2.receive_data(piece):
                        events += self._receive_event(h2_event)
        except RemoteProtocolError as error:
            if self._gate.has_preface or not REQUEST_LINE.match(data):
                self._h2.send_goaway(self._last_inbound, error.error_code, error.message)
            else:
                self._h2.send_instead(NO_HTTP1)
            events += self._end(error.error_code, error.message)
        except h2.exceptions.ProtocolError as error:  # h2 has sent the GOAWAY
            events += self._end(int(error.error_code), f"the peer broke HTTP/2: {_in_words(error)}")
        except Exception as error:  # noqa: BLE001  # h2 meets hostile bytes with more than its own errors
            self._h2.send_goaway(self._last_inbound, ErrorCodes.INTERNAL_ERROR, "")
            events += self._end(ErrorCodes.INTERNAL_ERROR, f"the peer sent what h2 cannot read: {error!r}")
        self._flush()
        return events + self.take_events()

    def receive_eof(self) -> list[Event]:
        """Take the end of the peer's bytes (RFC 9113 §9.1)."""
        try:
            self._gate.receive_eof()
        except RemoteProtocolError as error:
            return self._end(error.error_code, error.message)
        peer = "server" if self._client_side else "client"
        return self._end(ErrorCodes.NO_ERROR, f"the {peer} closed the connection")

    def lose(self, reason: str) -> list[Event]:
        """End everything because the transport failed (RFC 9113 §5.4.1); ``reason`` is one sentence."""
        return self._end(ErrorCodes.CONNECT_ERROR, reason)

    # What arrives

    def _receive_event(self, event: h2.events.Event) -> list[Event]:
        handle = HANDLERS.get(type(event))
        return handle(self, event) if handle else []

    def _receive_headers(self, event: Any) -> list[Event]:
        call = self._calls.get(event.stream_id)
        if call is None:
            return []
        self._budget.earn(self._gate.block_cost)
        return self._settle(call, call.receive_headers(event.headers, event.stream_ended is not None))

    def _receive_request(self, event: h2.events.RequestReceived) -> list[Event]:
        if self._client_side:
            raise RemoteProtocolError("the server opened a stream, which only a client does (RFC 9113 §8.4)")
        if len(self._calls) >= self._max_calls or event.stream_id > self._last_accepted:
            self._reset_stream(event.stream_id, ErrorCodes.REFUSED_STREAM)
            return []
        call = ServerCall(event.stream_id, self._max_length, self._limits.max_header_list_size)
        call.cost = self._gate.block_cost
        self._calls[event.stream_id] = call
        self._last_inbound = event.stream_id
        return self._settle(call, call.receive_headers(event.headers, event.stream_ended is not None))

    def _receive_data(self, event: h2.events.DataReceived) -> list[Event]:
        call = self._calls.get(event.stream_id)
        if call is None:
            return []
        ends = event.stream_ended is not None
        if event.data or ends:
            self._budget.earn(1 + min(3, len(event.data) / 1024))
        events = call.receive_data(event.data)
        self._account(call, event.flow_controlled_length, events, end_stream=ends)
        if ends:
            events += call.receive_end()
        return self._settle(call, events)

    def _account(self, call: Call, size: int, events: list[Event], *, end_stream: bool = False) -> None:
        """Let the flow control know of bytes that came, and of messages that they became."""
        messages = sum(isinstance(each, MessageReceived) for each in events)
        self._inflow.received(
            call.stream_id, size, messages, buffered=call.buffered, end_stream=end_stream, now=self._now
        )

    def _receive_late(self, frame: LateData) -> None:
        self._inflow.received_late(frame.size)
        if 0 < frame.size <= self._late:
            self._late -= frame.size
        else:
            self._budget.spend("late DATA")
            self._h2.refuse_closed(frame.stream_id)

    def _receive_informational(self, event: h2.events.InformationalResponseReceived) -> list[Event]:
        call = self._calls.get(event.stream_id)
        return [] if call is None else self._settle(call, call.receive_informational(event.headers))

    def _receive_malformed(self, event: Malformed) -> list[Event]:
        call = self._calls.get(event.stream_id)
        if call is None:
            self._reset_stream(event.stream_id, ErrorCodes.PROTOCOL_ERROR)
            return []
        self._account(call, event.size, [])
        return self._settle(call, call.receive_malformed(event.reason))

    def _receive_window_update(self, event: h2.events.WindowUpdated) -> list[Event]:
        self._outbox.window_opened(event.stream_id or 0)
        return []

    def _receive_reset(self, event: h2.events.StreamReset) -> list[Event]:
        call = self._calls.get(event.stream_id)
        if call is None:
            return []
        code = int(event.error_code or 0)
        return self._settle(call, call.receive_reset(code) if event.remote_reset else call.receive_fault(code))

    def _receive_settings(self, event: h2.events.RemoteSettingsChanged) -> list[Event]:
        self._h2.tame_settings()
        self._outbox.window_opened(0)
        self._peer_limit = min(self._h2.remote_settings.max_concurrent_streams, NO_LIMIT)
        return [SettingsReceived(self._peer_limit)]

    def _receive_settings_ack(self, event: h2.events.SettingsAcknowledged) -> list[Event]:
        if self._settings_acknowledged >= self._settings_sent:
            return []
        self._settings_acknowledged += 1
        self._growth.acknowledged(self._settings_acknowledged, self._now)
        return [SettingsAcknowledged(self._settings_acknowledged)]

    def _receive_ping_ack(self, event: h2.events.PingAckReceived) -> list[Event]:
        return [PingAcknowledged(event.ping_data)]

    def _receive_goaway(self, frame: GoAway) -> list[Event]:
        """Calls that the server did not take are not reset: their streams may be idle to it, where that is an error."""
        self._going_away = True
        events: list[Event] = []
        for stream_id in [each for each in self._calls if each > frame.last_stream_id and self._client_side]:
            sentence = "the server is going away and did not take the call"
            events += self._calls.pop(stream_id).stop(StatusCode.UNAVAILABLE, sentence, unprocessed=True)
            self._forget(stream_id)
        return [*events, GoAwayReceived(frame.error_code, frame.last_stream_id, frame.debug_data)]

    # What follows from it

    def _settle(self, call: Call, events: list[Event]) -> list[Event]:
        """Clear away a call that has ended."""
        if call.has_ended and self._calls.pop(call.stream_id, None) is not None:
            self._forget(call.stream_id)
            if call.answer is not None:
                self._h2.send_headers(call.stream_id, call.answer, end_stream=True)
            self._reset_stream(call.stream_id, call.reset_code)
        elif call.is_answered:  # the server has ended its stream, and wants to hear no more
            self._outbox.drop(call.stream_id)
            self._reset_stream(call.stream_id, call.reset_code)
        return events

    def _forget(self, stream_id: int) -> None:
        self._outbox.drop(stream_id)
        self._inflow.forget(stream_id)

    def _reset_stream(self, stream_id: int, error_code: int) -> None:
        """Reset a stream, unless both sides have ended it; what is on its way on it is late from now on."""
        stream = self._h2.streams.get(stream_id)
        if self._ended is None and stream is not None and not stream.closed:
            self._late += max(0, stream.inbound_flow_control_window)
            self._h2.reset_stream(stream_id, error_code)

    def _is_over(self, stream_id: int) -> bool:
        return not self._is_idle(stream_id) and stream_id not in self._calls

    def _is_idle(self, stream_id: int) -> bool:
        """Whether nobody has opened the stream; even ones nobody ever does, since push is off (RFC 9113 §5.1.1)."""
        highest = self._h2.highest_outbound_stream_id if self._client_side else self._h2.highest_inbound_stream_id
        return stream_id % 2 == 0 or stream_id > highest

    def _flush(self) -> None:
        if self._ended is not None:
            return
        outbox = self._outbox
        frames, sent = outbox.frames_sent, outbox.bytes_sent
        emptied = outbox.flush(MAX_OUTPUT - self._output)
        for stream_id, has_ended in emptied:
            self._events.append(SendBufferDrained(stream_id))
            if has_ended and not self._client_side:
                self._finish(stream_id)
        frames, sent = outbox.frames_sent - frames, outbox.bytes_sent - sent
        self._output += sent
        self._budget.earn(min(4 * frames, sent / 64 + 4 * len(emptied)))  # little for what a mean window cut small

    def _finish(self, stream_id: int) -> None:
        """Our trailers are out: the call is over, whatever the client still sends (RFC 9113 §8.1)."""
        call = self._calls.pop(stream_id, None)
        if call is not None:
            self._budget.earn(call.cost)
            self._forget(stream_id)
            self._reset_stream(stream_id, ErrorCodes.NO_ERROR)

    def _end(self, error_code: int, reason: str) -> list[Event]:
        if self._ended is not None:
            return []
        reason = reason if self._peer in reason else f"{self._peer}: {reason}"
        self._ended = ConnectionEnded(int(error_code), reason)
        events = self.take_events()
        for call in list(self._calls.values()):
            events += call.stop(StatusCode.UNAVAILABLE, reason)
            self._forget(call.stream_id)
        self._calls.clear()
        return [*events, self._ended]

    def _send_settings(self, values: dict[SettingCodes | int, int]) -> int:
        if self._ended is None:
            self._h2.update_settings(values)
            self._settings_sent += 1
            self._budget.earn(1)
        return self._settings_sent


HANDLERS: Mapping[type, Callable[[Inbound, Any], list[Event]]] = {
    h2.events.RequestReceived: Inbound._receive_request,
    h2.events.ResponseReceived: Inbound._receive_headers,
    h2.events.TrailersReceived: Inbound._receive_headers,
    h2.events.InformationalResponseReceived: Inbound._receive_informational,
    Malformed: Inbound._receive_malformed,
    h2.events.DataReceived: Inbound._receive_data,
    h2.events.WindowUpdated: Inbound._receive_window_update,
    h2.events.StreamReset: Inbound._receive_reset,
    h2.events.RemoteSettingsChanged: Inbound._receive_settings,
    h2.events.SettingsAcknowledged: Inbound._receive_settings_ack,
    h2.events.PingAckReceived: Inbound._receive_ping_ack,
}


def _in_words(error: h2.exceptions.ProtocolError) -> str:
    """What h2 has found wrong, without its insides."""
    if isinstance(error, h2.exceptions.StreamClosedError):
        return f"a frame came on stream {error.stream_id}, which was closed (RFC 9113 §5.1)"
    if isinstance(error, h2.exceptions.NoSuchStreamError):
        return f"a frame came on stream {error.stream_id}, which does not exist (RFC 9113 §5.1)"
    sentence = str(error)
    if "Inputs." in sentence:  # of its state machines
        return "a frame came that the state of its stream or of the connection does not allow (RFC 9113 §5.1)"
    return sentence
