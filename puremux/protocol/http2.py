"""h2 as this project uses it: set up once, and kept from what would hurt.

Floor 2, protocol: no I/O.  Imports errors, guard, h2, hpack and hyperframe (which comes with h2).
Spec: RFC 9113 §4.3 (header blocks), §5.1.2 (concurrency), §6.5 (SETTINGS), §6.8 (GOAWAY), §6.9.2 (the first window),
§8.1.1 (malformed messages); RFC 7541 (HPACK).
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable
from typing import Any

from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.events import Event
from h2.exceptions import FlowControlError, ProtocolError, StreamClosedError, StreamIDTooLowError
from h2.frame_buffer import FrameBuffer
from h2.settings import SettingCodes, Settings
from h2.stream import H2Stream, StreamClosedBy, StreamState
from hpack import Decoder, Encoder, HeaderTuple
from hpack.exceptions import HPACKError, OversizedHeaderListError
from hyperframe.frame import FRAMES, Frame, GoAwayFrame, HeadersFrame, RstStreamFrame

from ..errors import RemoteProtocolError
from .guard import Limits

__all__ = ["FIRST_WINDOW", "Http2", "Malformed"]

KNOWN_SETTINGS = frozenset(int(code) for code in SettingCodes)
MAX_ENCODER_TABLE = 4_096  # a peer may offer a header table of 4 GiB; ours stays small
DECODED_HEADERS = 16  # times the announced limit: what is above the limit can be blamed on one call, up to here

DATA_HEADER = struct.Struct(">HBBBI")  # length in two parts, type, flags, stream (RFC 9113 §4.1)
MAY_SEND_DATA = (StreamState.OPEN, StreamState.HALF_CLOSED_REMOTE)  # RFC 9113 §5.1
OPEN = (ConnectionState.CLIENT_OPEN, ConnectionState.SERVER_OPEN)

FIRST_WINDOW = 65_535  # of every stream, and of every connection (RFC 9113 §6.9.2)
MAX_DEBUG = 256  # bytes of explanation in a GOAWAY


class Http2(H2Connection):
    """An HTTP/2 connection whose settings, streams and output stay small.

    Args:
        client_side: which role to play.
        limits: what a peer may send.
        stream_window: SETTINGS_INITIAL_WINDOW_SIZE, in bytes.
        max_concurrent_streams: SETTINGS_MAX_CONCURRENT_STREAMS (server's role).
    """

    MAX_CLOSED_STREAMS = 4_096  # that h2 remembers, to tell late HEADERS from wrong ones; its own 65,536 cost 10 MB

    def __init__(
        self, *, client_side: bool, limits: Limits, stream_window: int, max_concurrent_streams: int | None
    ) -> None:
        super().__init__(
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
        elif max_concurrent_streams is not None:
            values[SettingCodes.MAX_CONCURRENT_STREAMS] = max_concurrent_streams
        self.local_settings = Settings(client=client_side, initial_values=values)
        self.decoder = _BlockDecoder(max_header_list_size=limits.max_header_list_size * DECODED_HEADERS)
        self.encoder = _BlockEncoder()
        self.incoming_buffer = _BriefFrames(server=not client_side)
        self._frame_dispatch_table.update(
            {BRIEF[kind]: handle for kind, handle in self._frame_dispatch_table.items() if kind in BRIEF}
        )
        self._ahead = b""  # bytes ahead of those in h2's own buffer
        self._sweep_at = 128

    def initiate_connection(self) -> None:
        """Send the preface and SETTINGS; until the peer has seen them, it may use the window that all begin with."""
        super().initiate_connection()
        window = self.local_settings.initial_window_size
        if window < FIRST_WINDOW:
            values = {SettingCodes(code): value for code, value in self.local_settings.items()}
            values[SettingCodes.INITIAL_WINDOW_SIZE] = FIRST_WINDOW
            self.local_settings = Settings(client=self.config.client_side, initial_values=values)
            self.local_settings.initial_window_size = window  # from its acknowledgement on

    @property
    def open_outbound_streams(self) -> int:
        """None, as far as h2 is to know: whoever opens a stream has looked at the peer's limit."""
        self._sweep()
        return 0

    @property
    def open_inbound_streams(self) -> int:
        """None, as far as h2 is to know: it would end the connection where one stream can be refused (§5.1.2)."""
        self._sweep()
        return 0

    def _sweep(self) -> None:
        """Let h2 forget closed streams, which it does while it counts; counting at each new stream costs too much."""
        if len(self.streams) >= self._sweep_at:
            _ = super().open_outbound_streams
            self._sweep_at = max(128, 2 * len(self.streams))

    def send_data(
        self, stream_id: int, data: bytes | memoryview, end_stream: bool = False, pad_length: Any = None
    ) -> None:
        """Send a DATA frame.  The usual one is written here, copied once; h2 copies it five times on its way out."""
        stream = self.streams.get(stream_id)
        size = len(data)
        if (
            end_stream
            or pad_length is not None
            or stream is None
            or stream.state_machine.state not in MAY_SEND_DATA
            or self.state_machine.state not in OPEN
            or size > min(self.outbound_flow_control_window, stream.outbound_flow_control_window)
            or size > self.max_outbound_frame_size
        ):
            super().send_data(stream_id, data, end_stream, pad_length)
            return
        self._data_to_send += DATA_HEADER.pack(size >> 8, size & 0xFF, 0, 0, stream_id)
        self._data_to_send += data
        self.outbound_flow_control_window -= size
        stream.outbound_flow_control_window -= size

    def data_to_send(self, amount: int | None = None) -> bytes:
        """Take the bytes that are to be written to the peer."""
        ahead, self._ahead = self._ahead, b""
        return ahead + super().data_to_send(amount)

    def send_frame(self, frame: Frame) -> None:
        """Send a frame without h2's knowledge, behind those that h2 has made."""
        self._ahead += super().data_to_send() + frame.serialize()

    def send_instead(self, data: bytes) -> None:
        """Send this, and nothing of what was to be sent."""
        self.clear_outbound_data_buffer()
        self._ahead = data

    def send_goaway(self, last_stream_id: int, error_code: int, debug: str) -> None:
        """Send GOAWAY; with h2's knowledge the connection would be closed, and running calls are to finish."""
        data = debug.encode("utf-8", "replace")[:MAX_DEBUG]
        self.send_frame(GoAwayFrame(0, last_stream_id=last_stream_id, error_code=error_code, additional_data=data))

    def refuse_closed(self, stream_id: int) -> None:
        """Answer a frame on a stream that the peer itself has closed (RFC 9113 §5.1); ignore it where we did."""
        if self._stream_closed_by(stream_id) in CLOSED_BY_PEER:
            self.send_frame(RstStreamFrame(stream_id, error_code=ErrorCodes.STREAM_CLOSED))

    def _begin_new_stream(self, stream_id: int, allowed_ids: Any) -> H2Stream:
        stream = super()._begin_new_stream(stream_id, allowed_ids)
        stream.__class__ = _Stream
        return stream

    def _receive_headers_frame(self, frame: HeadersFrame) -> Any:
        frame.flags.discard("PRIORITY")  # priorities say nothing any more (RFC 9113 §5.3.2)
        # Looked at beforehand: h2 resets the stream itself for headers behind the peer's END_STREAM.
        was_reset = self._stream_closed_by(frame.stream_id) is StreamClosedBy.SEND_RST_STREAM
        try:
            return super()._receive_headers_frame(frame)
        except (StreamClosedError, StreamIDTooLowError):
            if was_reset:
                return [], []  # they were under way when we reset it, and are to be ignored (RFC 9113 §5.1)
            raise

    def tame_settings(self) -> None:
        """After the peer's SETTINGS: keep our header table small, and keep nothing that we do not know."""
        encoder = self.encoder
        if encoder.header_table_size > MAX_ENCODER_TABLE:  # noqa: PLR1730  setting it, even to itself, does something
            encoder.header_table_size = MAX_ENCODER_TABLE
        # hpack forgets an update that it owes when the size is set once more to what it is already.
        encoder.header_table.resized = bool(encoder.table_size_changes)
        for code in [each for each in self.remote_settings if int(each) not in KNOWN_SETTINGS]:
            del self.remote_settings[code]


class Malformed(Event):
    """A stream has brought a malformed message, and is to be reset (RFC 9113 §8.1.1)."""

    def __init__(self, stream_id: int, reason: str, size: int) -> None:
        self.stream_id = stream_id
        self.reason = reason
        self.size = size
        """Flow-controlled bytes that it came with."""


class _Stream(H2Stream):
    """A stream whose malformed messages are its own fault, where h2 would end the connection for them."""

    def receive_headers(self, headers: Any, end_stream: bool, header_encoding: Any) -> Any:
        """Take headers, or trailers; these have no content-length of their own."""
        expected, before = self._expected_content_length, self.state_machine.state
        try:
            taken = super().receive_headers(headers, end_stream, header_encoding)
            if self._expected_content_length is None:
                self._expected_content_length = expected
            self._track_content_length(0, end_stream)
        except StreamClosedError:
            raise
        except ProtocolError as error:
            return self._malformed(error, before, 0)
        return taken

    def receive_data(self, data: bytes, end_stream: bool, flow_control_len: int) -> Any:
        """Take the payload of a DATA frame."""
        before = self.state_machine.state
        try:
            return super().receive_data(data, end_stream, flow_control_len)
        except (StreamClosedError, FlowControlError):
            raise
        except ProtocolError as error:
            return self._malformed(error, before, flow_control_len)

    def _malformed(self, error: ProtocolError, state: StreamState, size: int) -> tuple[list[Frame], list[Event]]:
        # h2 has closed the stream in its own books, and the peer has yet to hear of it.
        self.state_machine.state = StreamState.OPEN if state is StreamState.IDLE else state
        return [], [Malformed(self.stream_id, str(error), size)]


class _BlockDecoder(Decoder):
    """HPACK whose errors carry their own code, where h2 makes one of all that is wrong."""

    def decode(self, data: bytes, raw: bool = False) -> Any:
        """Read a header block."""
        try:
            return super().decode(data, raw)
        except OversizedHeaderListError:
            raise
        except (HPACKError, IndexError, TypeError) as error:
            sentence = "a header block cannot be decompressed (RFC 9113 §4.3)"
            raise RemoteProtocolError(sentence, ErrorCodes.COMPRESSION_ERROR) from error


class _BlockEncoder(Encoder):
    """HPACK that remembers whole runs of fields, since most calls send the same ones but for their deadline.

    What a run was written as stays right while nothing enters or leaves the dynamic table (RFC 7541 §2.3.2).  A field
    that varies, which is a ``NeverIndexedHeaderTuple``, stays out of the table and ends a run.
    """

    MOST = 64  # runs to remember

    def __init__(self) -> None:
        super().__init__()
        self._written: dict[tuple[Any, ...], bytes] = {}

    def encode(self, headers: Iterable[Any], huffman: bool = True) -> bytes:
        """Write a header block."""
        if self.header_table.resized:
            self._written.clear()
        blocks = []
        for varies, fields in itertools.groupby(headers, _varies):
            run = tuple(fields)
            blocks.append(super().encode(run, huffman) if varies else self._encode_run(run, huffman))
        return b"".join(blocks)

    def _encode_run(self, run: tuple[Any, ...], huffman: bool) -> bytes:
        block = self._written.get(run)
        if block is None:
            before = self._state()
            block = super().encode(run, huffman)
            if self._state() != before or len(self._written) >= self.MOST:
                self._written.clear()
            else:
                self._written[run] = block
        return block

    def _state(self) -> tuple[Any, ...]:
        return *self.header_table.dynamic_entries, self.header_table.resized


def _varies(field: Any) -> bool:
    return isinstance(field, HeaderTuple) and not field.indexable


class _BriefFrames(FrameBuffer):
    """Received frames whose ``repr()`` costs nothing.

    h2 asks each frame for its ``repr()``, log or no log, and hyperframe writes the whole payload in hexadecimal for it:
    a sixth of the time that a download takes.
    """

    def __next__(self) -> Frame:
        frame = super().__next__()
        frame.__class__ = BRIEF.get(type(frame), type(frame))
        return frame


CLOSED_BY_PEER = frozenset(
    {StreamClosedBy.RECV_END_STREAM, StreamClosedBy.SEND_END_STREAM, StreamClosedBy.RECV_RST_STREAM}
)  # the second: both ends have ended it, ours as the last

BRIEF = {kind: type(kind.__name__, (kind,), {"__repr__": object.__repr__}) for kind in FRAMES.values()}
