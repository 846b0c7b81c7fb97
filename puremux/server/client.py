"""One client of a server: its connection, and its calls.

Floor 3, I/O: imports the rest of ``server`` but ``server``, and methods, transport, protocol and status.
"""

from __future__ import annotations

import socket
from typing import NamedTuple, Protocol

from ..methods import CountedCall, MethodBook
from ..protocol.connection import Connection
from ..protocol.events import CallEnded, ConnectionEnded, Event, HalfClosed, MessageReceived, RequestReceived
from ..status import StatusCode
from ..transport.driver import Driver
from ..transport.link import Link
from ..transport.stream import byte_stream
from .limits import BROKE_PROTOCOL, MESSAGE_TOO_LARGE, NO_GREETING, NOT_READING, UNKNOWN_METHOD, ServerLimits
from .responder import Handler, Method, Responder

__all__ = ["Client", "Host"]

UNKNOWN = "(unknown methods)"  # as their calls are counted
NOBODYS_FAULT = (0x0, 0xA)  # NO_ERROR and CONNECT_ERROR: the client hung up, or the way to it broke


class Host(Protocol):
    """What a client needs of its server."""

    driver: Driver
    limits: ServerLimits
    calls: MethodBook

    def method(self, path: str) -> Method | None:
        """What serves a path."""

    def ended_connection(self, reason: str) -> None:
        """A connection was ended by the server."""

    def ended_call(self, reason: str) -> None:
        """A call was ended by the server, before a handler had all of it."""

    def gone(self, client: Client) -> None:
        """The connection is over."""


class _Running(NamedTuple):
    handler: Handler
    responder: Responder


class Client:
    """One client's connection and its calls.  Everything here runs under the driver's lock."""

    def __init__(self, host: Host, sock: socket.socket, peer: str) -> None:
        self._host = host
        self._peer = peer
        self._calls: dict[int, _Running] = {}
        limits = host.limits
        connection = Connection(
            client_side=False,
            max_receive_message_length=limits.max_message_bytes,
            max_concurrent_streams=limits.max_streams,
            peer=peer,
        )
        self._link = Link(host.driver, byte_stream(sock, peer), connection, self._handle, waits_for_reader=True)
        self._greeting = host.driver.call_later(limits.greeting_time, self._check_greeting)
        self._link.flush()

    @property
    def is_busy(self) -> bool:
        """True while a call runs, or its status is not out."""
        return self._link.connection.calls > 0 or self._link.backlog > 0

    @property
    def received_bytes(self) -> int:
        """Bytes that have come from it."""
        return self._link.received_bytes

    @property
    def partial_bytes(self) -> int:
        """Bytes held of messages that have not come whole."""
        return self._link.connection.buffered

    def go_away(self) -> None:
        """Take no more calls from this client."""
        self._link.connection.go_away()
        self._link.flush()

    def close(self) -> None:
        """Close the connection without another word."""
        self._link.close()

    def abandon(self) -> None:
        """Close our copy of the parent's socket.  In a forked child."""
        self._link.abandon()

    def end_calls(self, sentence: str) -> int:
        """End all calls as RESOURCE_EXHAUSTED; return how many they were."""
        running = list(self._calls.values())
        for handler, responder in running:
            responder.finish(StatusCode.RESOURCE_EXHAUSTED, sentence)
            handler.ended()
        return len(running)

    def check_reading(self, now: float) -> None:
        """Give the client up if it takes none of the bytes sent to it."""
        if self._link.backlog and now - self._link.taken_at > self._host.limits.reading_time:
            self._host.ended_connection(NOT_READING)
            self._link.close()

    def _check_greeting(self) -> None:
        if not self._link.connection.is_ready:
            self._host.ended_connection(NO_GREETING)
            self._link.close()

    def _handle(self, event: Event) -> None:
        if isinstance(event, MessageReceived):
            running = self._calls.get(event.stream_id)
            if running is not None:
                running.responder.counted.received(len(event.payload))
                running.handler.message(event.payload)
            self._link.connection.message_taken(event.stream_id)
        elif isinstance(event, RequestReceived):
            self._begin(event)
        elif isinstance(event, HalfClosed):
            running = self._calls.get(event.stream_id)
            if running is not None:
                running.handler.half_closed()
        elif isinstance(event, CallEnded):
            self._end(event)
        elif isinstance(event, ConnectionEnded):
            self._leave(event)

    def _begin(self, request: RequestReceived) -> None:
        method = self._host.method(request.path)
        counts = self._host.calls.of(request.path if method is not None else UNKNOWN)
        counted = CountedCall(counts, self._host.driver.clock)
        responder = Responder(self._link, request, self._peer, self._finished, counted)
        if method is None:
            self._host.ended_call(UNKNOWN_METHOD)
            responder.finish(StatusCode.UNIMPLEMENTED, f"no method {request.path[:200]} here")
            return
        handler = method(responder)
        if not responder.is_finished:
            self._calls[request.stream_id] = _Running(handler, responder)

    def _end(self, ended: CallEnded) -> None:
        if ended.code is StatusCode.RESOURCE_EXHAUSTED:  # told to the client by the protocol itself
            self._host.ended_call(MESSAGE_TOO_LARGE)
        running = self._calls.get(ended.stream_id)
        if running is not None:
            running.responder.counted.end(ended.code)
            running.handler.ended()
        self._finished(ended.stream_id)

    def _leave(self, ended: ConnectionEnded) -> None:
        if ended.error_code not in NOBODYS_FAULT:
            self._host.ended_connection(BROKE_PROTOCOL)
        self._greeting.cancel()
        self._host.gone(self)

    def _finished(self, stream_id: int) -> None:
        self._calls.pop(stream_id, None)
