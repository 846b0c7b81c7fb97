"""One call's states as tables: HTTP/2 facts of one stream in, messages and a status out.

Floor 2, protocol: no I/O.  Imports events, framing, metadata, status and errors.
Spec: gRPC PROTOCOL-HTTP2.md, "Requests", "Responses" and "Errors"; doc/http-grpc-status-mapping.md.

A call has two sides that move on their own: what we send and what we receive.  Each side has its table; a step that
the table lacks is an error.  The client's and the server's calls share the tables and differ in what headers mean.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping

from h2.errors import ErrorCodes

from ..errors import LocalProtocolError, MessageError, RemoteProtocolError
from ..status import StatusCode, code_for_http_status, code_for_reset, code_from_wire
from .events import CallEnded, Event, HalfClosed, HeadersReceived, MessageReceived, RequestReceived
from .framing import ACCEPT_ENCODING, MessageReader
from .metadata import (
    HeaderList,
    check_fields,
    decode_message,
    decode_metadata,
    decode_timeout,
    header,
    is_grpc_content_type,
    list_size,
    response_headers,
    trailers,
)

__all__ = ["RECEIVING", "SENDING", "ClientCall", "Receiving", "Sending", "ServerCall", "Step"]

RESPONSE_PSEUDO = frozenset({b":status"})
REQUEST_PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})

MAX_HEADER_LIST = 65_536


class Step(enum.Enum):
    """What can happen on one side of a call (PROTOCOL-HTTP2.md, "Requests" and "Responses"; RFC 9113 §5.1)."""

    HEADERS = "headers"
    MESSAGE = "message"
    END = "end of stream"
    TRAILERS = "trailers"
    STOP = "reset, or connection lost"


class Sending(enum.Enum):
    """How far our side of a call is (RFC 9113 §5.1)."""

    IDLE = "nothing sent"
    OPEN = "headers sent"
    ENDED = "half-closed"


class Receiving(enum.Enum):
    """How far the peer's side of a call is (RFC 9113 §5.1)."""

    IDLE = "nothing received"
    OPEN = "headers received"
    HALF_CLOSED = "the peer has sent its last message"
    ENDED = "the call is over"


SENDING: Mapping[tuple[Sending, Step], Sending] = {
    (Sending.IDLE, Step.HEADERS): Sending.OPEN,
    (Sending.IDLE, Step.TRAILERS): Sending.ENDED,  # a server's trailers-only answer
    (Sending.IDLE, Step.STOP): Sending.ENDED,
    (Sending.OPEN, Step.MESSAGE): Sending.OPEN,
    (Sending.OPEN, Step.END): Sending.ENDED,
    (Sending.OPEN, Step.TRAILERS): Sending.ENDED,
    (Sending.OPEN, Step.STOP): Sending.ENDED,
    (Sending.ENDED, Step.STOP): Sending.ENDED,
}

RECEIVING: Mapping[tuple[Receiving, Step], Receiving] = {
    (Receiving.IDLE, Step.HEADERS): Receiving.OPEN,
    (Receiving.IDLE, Step.TRAILERS): Receiving.ENDED,  # a trailers-only answer
    (Receiving.IDLE, Step.STOP): Receiving.ENDED,
    (Receiving.OPEN, Step.MESSAGE): Receiving.OPEN,
    (Receiving.OPEN, Step.END): Receiving.HALF_CLOSED,
    (Receiving.OPEN, Step.TRAILERS): Receiving.ENDED,
    (Receiving.OPEN, Step.STOP): Receiving.ENDED,
    (Receiving.HALF_CLOSED, Step.STOP): Receiving.ENDED,
}


class _Call:
    """What both ends of a call share: the two tables and the messages.

    Args:
        stream_id: HTTP/2 stream of the call.
        max_length: the largest message taken, in bytes, or None.
        max_header_list: bytes of headers taken, counted as RFC 9113 §10.5.1 does: 32 more for each field.
    """

    _foreign_step: Step | None = None  # what only the other role sends

    def __init__(self, stream_id: int, max_length: int | None, max_header_list: int = MAX_HEADER_LIST) -> None:
        self.stream_id = stream_id
        self.sending = Sending.IDLE
        self.receiving = Receiving.IDLE
        self.answer: HeaderList | None = None
        """Headers to end the HTTP/2 stream with, where this end refuses the call and says why."""
        self.reset_code = int(ErrorCodes.NO_ERROR)
        """What to reset the HTTP/2 stream with, where the call has ended and the stream has not."""
        self.cost = 0.0
        """What the peer has spent on the call's headers; given back when the call was of use."""
        self._max_length = max_length
        self._max_header_list = max_header_list
        self._reader = MessageReader(max_length)
        self._postponed: Callable[[], list[Event]] | None = None

    @property
    def has_ended(self) -> bool:
        return self.receiving is Receiving.ENDED

    def send(self, step: Step) -> None:
        """Note what our side sends next.

        Raises:
            LocalProtocolError: the call does not allow it now.
        """
        if step is self._foreign_step:
            raise LocalProtocolError(f"the other role sends {step.value}")
        try:
            self.sending = SENDING[self.sending, step]
        except KeyError:
            raise LocalProtocolError(
                f"cannot send {step.value} on a call whose side is: {self.sending.value}"
            ) from None

    def receive_data(self, data: bytes) -> list[Event]:
        """Take the payload of a DATA frame."""
        if self.has_ended:
            return []
        if self.receiving is not Receiving.OPEN:
            return self.give_up(
                ErrorCodes.PROTOCOL_ERROR, StatusCode.INTERNAL, "messages came before the headers of the call"
            )
        return self._read(self._reader.receive_data(data))

    def message_taken(self) -> list[Event]:
        """Note that the application took a message; go on where unread ones had made us pause."""
        if self.has_ended:
            return []
        events = self._read(self._reader.message_taken())
        if self._postponed is not None and not self._reader.has_paused:
            take_end, self._postponed = self._postponed, None
            events += take_end()
        return events

    @property
    def buffered(self) -> int:
        """Bytes that have come and are in no message yet."""
        return self._reader.buffered

    def _read(self, messages: Iterator[bytes]) -> list[Event]:
        events: list[Event] = []
        try:
            for payload in messages:
                events.append(MessageReceived(self.stream_id, payload))  # noqa: PERF401  # what came before an error stays
        except MessageError as error:
            events += self.give_up(ErrorCodes.CANCEL, error.code, error.message)
        return events

    def _postpone(self, take_end: Callable[[], list[Event]]) -> list[Event]:
        """Take the peer's end later: messages that came before it wait for the application."""
        self._postponed = take_end
        return []

    def receive_reset(self, error_code: int) -> list[Event]:
        """Take the peer's RST_STREAM."""
        refused = error_code == ErrorCodes.REFUSED_STREAM and self.receiving is Receiving.IDLE
        details = f"the peer reset the stream with {_error_name(error_code)}"
        return self.stop(code_for_reset(error_code), details, unprocessed=refused)

    def receive_fault(self, error_code: int) -> list[Event]:
        """Take the verdict of our own HTTP/2, which has reset the stream already."""
        return self.stop(StatusCode.INTERNAL, f"the peer broke HTTP/2 on the stream: {_error_name(error_code)}")

    def receive_malformed(self, reason: str) -> list[Event]:
        """Take what breaks the rules of HTTP/2 for a message (RFC 9113 §8.1.1); only this stream has to end."""
        if self.has_ended:
            return []
        self.reset_code = int(ErrorCodes.PROTOCOL_ERROR)
        return self.stop(StatusCode.INTERNAL, f"the peer broke HTTP/2 on the stream: {reason}")

    def receive_informational(self, headers: HeaderList) -> list[Event]:
        """Take headers that come before the answer, such as those of status 103; they mean nothing to gRPC."""
        try:
            check_fields(headers, RESPONSE_PSEUDO)
            if _http_status(headers) == 101:
                raise RemoteProtocolError("HTTP/2 knows no status 101 (RFC 9113 §8.6)")
        except RemoteProtocolError as error:
            return self.receive_malformed(error.message)
        return []

    def stop(self, code: StatusCode, details: str, *, unprocessed: bool = False) -> list[Event]:
        """End the call for a reason that lies outside its stream, or that the peer gave."""
        if self.has_ended:
            return []
        self.send(Step.STOP)
        return self._end(Step.STOP, CallEnded(self.stream_id, code, details, unprocessed=unprocessed))

    def give_up(self, error_code: int, code: StatusCode, details: str) -> list[Event]:
        """End the call for what the peer sent on it; its stream is to be reset with ``error_code``."""
        self.reset_code = int(error_code)
        return self.stop(code, details)

    def _headers_are_too_large(self, headers: HeaderList) -> bool:
        return list_size(headers) > self._max_header_list

    def _end(self, step: Step, ended: CallEnded) -> list[Event]:
        self._take(step)
        return [ended]

    def _take(self, step: Step) -> None:
        try:
            self.receiving = RECEIVING[self.receiving, step]
        except KeyError:
            raise RemoteProtocolError(f"{step.value} in state: {self.receiving.value}") from None


class ClientCall(_Call):
    """The client's end of a call: what the server sends becomes metadata, messages and a status.

    Source: gRPC PROTOCOL-HTTP2.md, "Responses".
    """

    _foreign_step = Step.TRAILERS
    _http_status = 200

    @property
    def is_answered(self) -> bool:
        """True when the server's answer is here to its end, and the application has yet to read so far."""
        return self._postponed is not None

    def receive_headers(self, headers: HeaderList, end_stream: bool) -> list[Event]:
        """Take HEADERS: initial metadata, trailers, both in one, or an answer that is not gRPC."""
        if self.has_ended:
            return []
        if self._headers_are_too_large(headers):
            sentence = f"the server sent more than {self._max_header_list} bytes of metadata"
            return self.give_up(ErrorCodes.CANCEL, StatusCode.RESOURCE_EXHAUSTED, sentence)
        if self._reader.has_paused:
            return self._postpone(lambda: self.receive_headers(headers, end_stream))
        try:
            if self.receiving is Receiving.OPEN:
                return self._receive_trailers(headers)
            return self._receive_answer(headers, end_stream)
        except RemoteProtocolError as error:
            return self.give_up(ErrorCodes.PROTOCOL_ERROR, StatusCode.INTERNAL, error.message)

    def receive_end(self) -> list[Event]:
        """Take END_STREAM on DATA: the server left the status out."""
        if self.has_ended:
            return []
        if self._reader.has_paused:
            return self._postpone(self.receive_end)
        if not self._reader.is_between_messages:
            return self.stop(StatusCode.INTERNAL, "the server ended the stream in the middle of a message")
        return self.stop(code_for_http_status(self._http_status), "the server ended the stream without a grpc-status")

    def _receive_answer(self, headers: HeaderList, end_stream: bool) -> list[Event]:
        check_fields(headers, RESPONSE_PSEUDO)
        self._http_status = _http_status(headers)
        if end_stream and header(headers, b"grpc-status") is not None:
            return self._end(Step.TRAILERS, self._status_in(headers))
        content_type = header(headers, b"content-type")
        if self._http_status != 200 or not is_grpc_content_type(content_type):
            return self._receive_plain_http(headers, content_type)
        if end_stream:
            return self.receive_end()
        metadata = decode_metadata(headers)
        self._reader = MessageReader(self._max_length, _encoding(headers))
        self._take(Step.HEADERS)
        return [HeadersReceived(self.stream_id, metadata)]

    def _receive_plain_http(self, headers: HeaderList, content_type: bytes | None) -> list[Event]:
        if header(headers, b"grpc-status") is not None:  # the given status wins over any mapping
            ended = self._status_in(headers)
            if ended.code is not StatusCode.OK:
                self.reset_code = int(ErrorCodes.CANCEL)
                return self._end(Step.TRAILERS, ended)
        shown = "no content-type" if content_type is None else f"content-type {_shown(content_type)}"
        return self.give_up(
            ErrorCodes.CANCEL,
            code_for_http_status(self._http_status),
            f"the server's answer is not gRPC: HTTP status {self._http_status}, {shown}",
        )

    def _receive_trailers(self, headers: HeaderList) -> list[Event]:
        check_fields(headers, ())
        if header(headers, b"grpc-status") is None:
            return self.receive_end()
        ended = self._status_in(headers)
        if ended.code is StatusCode.OK and not self._reader.is_between_messages:
            return self.stop(StatusCode.INTERNAL, "the status OK came in the middle of a message")
        return self._end(Step.TRAILERS, ended)

    def _status_in(self, headers: HeaderList) -> CallEnded:
        values = {value for name, value in headers if name == b"grpc-status"}
        code = code_from_wire(values.pop().decode("latin-1")) if len(values) == 1 else StatusCode.UNKNOWN
        details = decode_message(header(headers, b"grpc-message") or b"")
        value = header(headers, b"grpc-status") or b""
        if values:
            details = "the server sent several values of grpc-status"
        elif code is StatusCode.UNKNOWN and value != b"2" and not details:
            details = f"the server sent the unknown grpc-status {_shown(value)}"
        return CallEnded(self.stream_id, code, details, decode_metadata(headers))


class ServerCall(_Call):
    """The server's end of a call: what the client sends becomes a request, messages and a half-close.

    What cannot be served is answered with a status, as a client understands that better than a reset; the application
    hears only of requests that are well-formed.

    Source: gRPC PROTOCOL-HTTP2.md, "Requests".
    """

    _foreign_step = Step.END
    is_answered = False

    def receive_headers(self, headers: HeaderList, end_stream: bool) -> list[Event]:
        """Take HEADERS: the request.  A client has no trailers to send; they are ignored if they are well-formed."""
        if self.receiving is not Receiving.IDLE:
            return self._receive_trailers(headers)
        request = self._read_request(headers)
        if request is None:
            self.stop(StatusCode.INTERNAL, "")  # told to nobody: the application has not heard of the call
            return []
        self._take(Step.HEADERS)
        return [request, *(self.receive_end() if end_stream else [])]

    def _receive_trailers(self, headers: HeaderList) -> list[Event]:
        try:
            check_fields(headers, ())
        except RemoteProtocolError as error:
            return self.receive_malformed(error.message)
        return self.receive_end()

    def receive_data(self, data: bytes) -> list[Event]:
        """Take the payload of a DATA frame; once our status is on its way nobody waits for it any more."""
        return [] if self.sending is Sending.ENDED else super().receive_data(data)

    def receive_end(self) -> list[Event]:
        """Take END_STREAM: the client has sent its last message."""
        if self.receiving is not Receiving.OPEN or self.sending is Sending.ENDED:
            return []
        if self._reader.has_paused:
            return self._postpone(self.receive_end)
        if not self._reader.is_between_messages:
            sentence = "the client half-closed in the middle of a message"
            return self.give_up(ErrorCodes.NO_ERROR, StatusCode.INTERNAL, sentence)
        self._take(Step.END)
        return [HalfClosed(self.stream_id)]

    def give_up(self, error_code: int, code: StatusCode, details: str) -> list[Event]:
        """End the call for what the client sent on it, and tell it by a status."""
        self.answer = self._status(code, details)
        return super().give_up(ErrorCodes.NO_ERROR, code, details)

    def _status(self, code: StatusCode, details: str) -> HeaderList:
        return [*(response_headers() if self.sending is Sending.IDLE else []), *trailers(code, details)]

    def _read_request(self, headers: HeaderList) -> RequestReceived | None:
        """The request, or None when ``answer`` or ``reset_code`` says why there is none."""
        path = header(headers, b":path")
        try:
            check_fields(headers, REQUEST_PSEUDO)
            if not path or any(header(headers, name) is None for name in (b":method", b":scheme")):
                raise RemoteProtocolError("the request lacks a pseudo-header (RFC 9113 §8.3.1)")
            if header(headers, b"te") not in (None, b"trailers"):
                raise RemoteProtocolError("the request's te is not trailers (RFC 9113 §8.2.2)")
        except RemoteProtocolError:
            self.reset_code = int(ErrorCodes.PROTOCOL_ERROR)
            return None
        self.answer = self._refusal_of(headers)
        if self.answer is not None:
            return None
        try:
            metadata, timeout = decode_metadata(headers), _timeout(headers)
        except RemoteProtocolError as error:
            self.answer = self._status(StatusCode.INTERNAL, error.message)
            return None
        self._reader = MessageReader(self._max_length, _encoding(headers))
        authority = (header(headers, b":authority") or b"").decode("latin-1")
        return RequestReceived(self.stream_id, path.decode("latin-1"), metadata, timeout, authority)

    def _refusal_of(self, headers: HeaderList) -> HeaderList | None:
        """The answer to a request that is HTTP/2, but not gRPC as this end speaks it."""
        if header(headers, b":method") != b"POST":
            return [(b":status", b"405"), (b"allow", b"POST")]
        if not is_grpc_content_type(header(headers, b"content-type")):
            return [(b":status", b"415")]
        if self._headers_are_too_large(headers):
            sentence = f"the request has more than {self._max_header_list} bytes of metadata"
            return self._status(StatusCode.RESOURCE_EXHAUSTED, sentence)
        encoding = _encoding(headers)
        if encoding not in ACCEPT_ENCODING.split(","):
            sentence = f"messages compressed with {encoding!r} cannot be read; {ACCEPT_ENCODING} can"
            accepted = (b"grpc-accept-encoding", ACCEPT_ENCODING.encode("ascii"))
            return [*response_headers(), accepted, *trailers(StatusCode.UNIMPLEMENTED, sentence)]
        return None


def _encoding(headers: HeaderList) -> str:
    return (header(headers, b"grpc-encoding") or b"identity")[:64].decode("latin-1")


def _timeout(headers: HeaderList) -> float | None:
    value = header(headers, b"grpc-timeout")
    return None if value is None else decode_timeout(value[:64].decode("latin-1"))


def _http_status(headers: HeaderList) -> int:
    value = header(headers, b":status") or b""
    if len(value) != 3 or not value.isdigit() or value[:1] == b"0":
        raise RemoteProtocolError("the answer does not have a :status of three digits (RFC 9113 §8.3.2)")
    return int(value)


def _shown(value: bytes) -> str:
    """A peer's value for a sentence, which it must not fill with 64 KiB."""
    return repr(value[:64].decode("latin-1"))


def _error_name(error_code: int) -> str:
    try:
        return ErrorCodes(error_code).name
    except ValueError:
        return f"the unknown code {error_code}"
