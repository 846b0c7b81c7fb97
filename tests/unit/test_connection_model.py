"""A client and a server against each other, under every order of steps that hypothesis can think of.

Whatever is sent, however the bytes are cut, whoever resets, whatever the windows: each message arrives once, in order
and whole, or its call ends with a status that is not OK; and when all is quiet, all credit is back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from puremux.protocol import framing
from puremux.protocol.connection import Connection
from puremux.protocol.events import (
    CallEnded,
    ConnectionEnded,
    Event,
    GoAwayReceived,
    HalfClosed,
    HeadersReceived,
    MessageReceived,
    PingAcknowledged,
    RequestReceived,
    SendBufferDrained,
    SettingsAcknowledged,
    SettingsReceived,
)
from puremux.protocol.metadata import request_headers
from puremux.status import StatusCode

WINDOWS = st.sampled_from([500, 5_000, 65_535, 300_000])
SIZES = st.sampled_from([0, 1, 5, 90, 4_000, 20_000, 150_000])
ENCODINGS = st.sampled_from(["identity", "gzip", "deflate"])
METADATA = st.sampled_from([(), (("a", "b"),), (("k-bin", b"\0,\xff"), ("k-bin", b""))])
CODES = st.sampled_from([StatusCode.OK, StatusCode.NOT_FOUND, StatusCode.UNAVAILABLE])


@dataclass
class Side:
    """What one end of a call has sent and seen, as its application knows it."""

    sent: list[bytes] = field(default_factory=list)
    got: list[bytes] = field(default_factory=list)
    unread: int = 0
    began: bool = False
    """Headers were sent (the server's), or have come (the client's)."""
    finished: bool = False
    """Half-closed, or the status was given."""
    gave_up: bool = False


@dataclass
class Call:
    """A call as both applications know it."""

    stream_id: int
    encoding: str
    client: Side = field(default_factory=Side)
    server: Side = field(default_factory=Side)
    seen_by_server: bool = False
    half_closed: bool = False
    status: tuple[StatusCode, tuple] | None = None
    """What the server gave."""
    ended: CallEnded | None = None
    """What the client was told."""
    server_ended: bool = False


class TwoEnds(RuleBasedStateMachine):
    """The rules are what two applications, and the network between them, can do."""

    calls = Bundle("calls")

    @initialize(
        client_window=WINDOWS,
        server_window=WINDOWS,
        most=st.sampled_from([1, 3, 100]),
        limit=st.sampled_from([None, 100_000]),
    )
    def greet(self, client_window: int, server_window: int, most: int, limit: int | None) -> None:
        self.client = Connection(client_side=True, stream_window=client_window, connection_window=65_535)
        self.server = Connection(
            client_side=False,
            stream_window=server_window,
            connection_window=100_000,
            max_concurrent_streams=most,
            max_receive_message_length=limit,
        )
        self.limit, self.most = limit, most
        self.room = framing.MAX_UNREAD
        framing.MAX_UNREAD = 30_000
        self.client.initiate()
        self.server.initiate()
        self.to_server, self.to_client = bytearray(), bytearray()
        self.by_id: dict[int, Call] = {}
        self.count = 0
        self.now = 0.0
        self.acknowledged = {True: 0, False: 0}
        self.lost = self.went_away = False

    # The client's application

    @precondition(lambda self: self.client.can_open)
    @rule(target=calls, encoding=ENCODINGS, metadata=METADATA)
    def open(self, encoding: str, metadata: tuple) -> Call:
        headers = request_headers("/p.S/M", authority="h", scheme="http", metadata=metadata, encoding=encoding)
        call = Call(self.client.open(headers), encoding)
        call.client.began = True
        self.by_id[call.stream_id] = call
        return call

    @rule(call=calls, size=SIZES, end=st.booleans(), compress=st.booleans())
    def client_sends(self, call: Call, size: int, end: bool, compress: bool) -> None:
        side = call.client
        if call.ended is None and not side.finished and not side.gave_up and not self.lost:
            side.sent.append(self.payload(size))
            side.finished = end
            encoding = call.encoding if compress else "identity"
            self.client.send_message(call.stream_id, side.sent[-1], encoding=encoding, end=end)

    @rule(call=calls)
    def client_half_closes(self, call: Call) -> None:
        if call.ended is None and not call.client.finished and not call.client.gave_up and not self.lost:
            call.client.finished = True
            self.client.half_close(call.stream_id)

    @rule(call=calls)
    def client_resets(self, call: Call) -> None:
        if call.ended is None and not self.lost:
            call.client.gave_up = True
            self.client.reset(call.stream_id)

    @rule(call=calls)
    def client_reads(self, call: Call) -> None:
        if call.client.unread:
            call.client.unread -= 1
            self.client.message_taken(call.stream_id)

    # The server's application

    def runs_on_server(self, call: Call) -> bool:
        side = call.server
        return call.seen_by_server and not (call.server_ended or side.finished or side.gave_up or self.lost)

    @rule(call=calls, metadata=METADATA)
    def server_begins(self, call: Call, metadata: tuple) -> None:
        if self.runs_on_server(call) and not call.server.began:
            call.server.began = True
            self.server.send_headers(call.stream_id, metadata, call.encoding)

    @rule(call=calls, size=SIZES, compress=st.booleans())
    def server_sends(self, call: Call, size: int, compress: bool) -> None:
        if self.runs_on_server(call) and call.server.began:
            call.server.sent.append(self.payload(size))
            encoding = call.encoding if compress else "identity"
            self.server.send_message(call.stream_id, call.server.sent[-1], encoding=encoding)

    @rule(call=calls, code=CODES, metadata=METADATA)
    def server_finishes(self, call: Call, code: StatusCode, metadata: tuple) -> None:
        if self.runs_on_server(call):
            call.server.finished = True
            call.status = (code, metadata)
            self.server.send_trailers(call.stream_id, code, "so it is", metadata)

    @rule(call=calls)
    def server_resets(self, call: Call) -> None:
        if call.seen_by_server and not call.server_ended and not self.lost:
            running = self.server.calls
            self.server.reset(call.stream_id)  # nothing happens once the status is out
            call.server.gave_up = call.server.gave_up or self.server.calls < running

    @rule(call=calls)
    def server_reads(self, call: Call) -> None:
        if call.server.unread:
            call.server.unread -= 1
            self.server.message_taken(call.stream_id)

    @rule(graceful=st.booleans())
    def server_goes_away(self, graceful: bool) -> None:
        self.went_away = True
        self.server.go_away(0, 2**31 - 1 if graceful else None)

    @rule(by_client=st.booleans())
    def probe_and_ping(self, by_client: bool) -> None:
        end = self.client if by_client else self.server
        end.probe()
        end.ping(b"12345678")

    # The network

    @rule(
        by_client=st.booleans(), pieces=st.integers(1, 4), part=st.floats(0, 1), chunk=st.sampled_from([1, 9, 100, 0])
    )
    def bytes_go(self, by_client: bool, pieces: int, part: float, chunk: int) -> None:
        """One end writes, and a part of what is on its way arrives, in chunks of that size."""
        wire = self.write(by_client, pieces)
        left = int(len(wire) * part)
        for _ in range(200 if chunk else 1):
            size = min(left, chunk or left)
            if size:
                self.hear(self.server if by_client else self.client, wire, size)
                left -= size

    @rule()
    def all_bytes_go(self) -> None:
        for by_client in (True, False):
            wire = self.write(by_client, 4)
            if wire:
                self.hear(self.server if by_client else self.client, wire, len(wire))

    @rule(seconds=st.floats(0, 10))
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds

    @rule(once_in=st.integers(0, 30), eof=st.booleans())
    def the_connection_breaks(self, once_in: int, eof: bool) -> None:
        if once_in == 0 and not self.lost:
            self.lost = True
            self.told(self.client.receive_eof() if eof else self.client.lose("cut"), by_client=True)
            self.told(self.server.receive_eof() if eof else self.server.lose("cut"), by_client=False)
            self.to_client.clear()
            self.to_server.clear()

    # What must hold

    def payload(self, size: int) -> bytes:
        self.count += 1
        return (b"%d." % self.count * (size // 2 + 1))[:size]

    def write(self, by_client: bool, pieces: int) -> bytearray:
        end, wire = (self.client, self.to_server) if by_client else (self.server, self.to_client)
        for _ in range(pieces):
            wire += end.data_to_send()
        self.told(end.take_events(), by_client=by_client)
        return wire

    def hear(self, end: Connection, wire: bytearray, size: int) -> None:
        data = bytes(wire[:size])
        del wire[:size]
        self.told(end.receive_data(data, self.now), by_client=end is self.client)

    def told(self, events: list[Event], *, by_client: bool) -> None:
        for event in events:
            if isinstance(event, SettingsAcknowledged):
                self.acknowledged[by_client] += 1
                assert event.ordinal == self.acknowledged[by_client]
            elif isinstance(event, ConnectionEnded):
                assert self.lost, event.reason
            elif isinstance(event, (SettingsReceived, PingAcknowledged, GoAwayReceived)):
                assert by_client or not isinstance(event, GoAwayReceived)
            elif by_client:
                self.client_is_told(self.by_id[event.stream_id], event)
            else:
                self.server_is_told(self.by_id[event.stream_id], event)

    def client_is_told(self, call: Call, event: Event) -> None:
        assert call.ended is None and not call.client.gave_up, f"{event} after the end"
        if isinstance(event, HeadersReceived):
            assert call.server.began and not call.client.got
        elif isinstance(event, MessageReceived):
            assert event.payload == call.server.sent[len(call.client.got)]
            call.client.got.append(event.payload)
            call.client.unread += 1
        elif isinstance(event, CallEnded):
            call.ended = event
            self.judge_end(call, event)
        else:
            assert isinstance(event, SendBufferDrained)

    def judge_end(self, call: Call, event: CallEnded) -> None:
        if event.unprocessed:
            assert not call.seen_by_server
        elif event.code is StatusCode.OK or event.details == "so it is":
            assert call.status == (event.code, event.trailing_metadata)
            assert call.client.got == call.server.sent
        else:
            too_long = self.limit is not None and any(len(each) > self.limit for each in call.client.sent)
            assert call.server.gave_up or self.lost or too_long, event

    def server_is_told(self, call: Call, event: Event) -> None:
        assert not call.server_ended and not call.server.gave_up, f"{event} after the end"
        if isinstance(event, RequestReceived):
            assert not call.seen_by_server
            call.seen_by_server = True
            assert self.server.calls <= self.most
        elif isinstance(event, MessageReceived):
            assert not call.half_closed and not call.server.finished
            assert event.payload == call.client.sent[len(call.server.got)]
            call.server.got.append(event.payload)
            call.server.unread += 1
        elif isinstance(event, HalfClosed):
            assert call.client.finished and call.server.got == call.client.sent
            call.half_closed = True
        elif isinstance(event, CallEnded):
            call.server_ended = True
        else:
            assert isinstance(event, SendBufferDrained)

    @invariant()
    def unread_messages_are_bounded(self) -> None:
        """A peer cannot make an end hold more than its window, what may be unpacked, and two messages."""
        for call in self.by_id.values():
            for side, end in ((call.client, self.client), (call.server, self.server)):
                unread = [len(each) + 5 for each in side.got[len(side.got) - side.unread :]]
                window = max(end._growth.stream_window, 65_535)
                if call.encoding == "identity":
                    assert sum(unread[1:]) <= window
                else:
                    assert sum(unread[2:-1]) <= window + 30_000

    def teardown(self) -> None:
        if hasattr(self, "client"):
            try:
                self.bring_all_to_an_end()
            finally:
                framing.MAX_UNREAD = self.room

    def bring_all_to_an_end(self) -> None:
        for call in self.by_id.values():
            self.server_begins(call, ())
        self.quiet_down()
        for call in self.by_id.values():
            if self.runs_on_server(call) and call.ended is None and not call.client.gave_up:
                assert call.server.got == call.client.sent, "nothing waits for ever"
                assert call.client.got == call.server.sent
                assert call.half_closed is call.client.finished
            self.server_finishes(call, StatusCode.OK, ())
        self.quiet_down()
        for call in self.by_id.values():
            assert call.ended or call.client.gave_up
            refused = call.ended is not None and call.ended.unprocessed
            assert call.seen_by_server is not refused or call.client.gave_up or self.lost
        if not self.lost:
            self.all_credit_is_back()

    def quiet_down(self) -> None:
        """Everybody reads, and the bytes go to and fro, until nothing moves."""
        moved = True
        while moved:
            moved = any([self.write(True, 1), self.write(False, 1)])
            self.all_bytes_go()
            for call in self.by_id.values():
                while call.client.unread or call.server.unread:
                    self.client_reads(call)
                    self.server_reads(call)

    def all_credit_is_back(self) -> None:
        for sender, receiver in ((self.client, self.server), (self.server, self.client)):
            assert sender.calls == 0 and not sender._outbox._queues and not sender._inflow._streams
            assert self.went_away or all(stream.closed for stream in sender._h2.streams.values())
            inflow, h2 = receiver._inflow, receiver._h2
            saved_up = inflow._owed + inflow._owed_late + h2._inbound_flow_control_window_manager._bytes_processed
            assert sender._h2.outbound_flow_control_window + saved_up == receiver._growth.connection_window


TestTwoEnds = TwoEnds.TestCase
TestTwoEnds.settings = settings(
    max_examples=100,
    stateful_step_count=50,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow],
)
