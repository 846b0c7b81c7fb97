"""One call's states as tables: HTTP/2 facts of one stream in, messages and a status out.

Floor 2, protocol: no I/O.  Imports events, framing, metadata, status and errors.
Spec: gRPC PROTOCOL-HTTP2.md, "Requests", "Responses" and "Errors"; doc/http-grpc-status-mapping.md.

A call has two sides that move on their own: what we send and what we receive.  Each side has its table; a step that
the table lacks is an error.  The client's and the server's calls share the tables and differ in what headers mean.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from h2.errors import ErrorCodes

from ..errors import LocalProtocolError, MessageError, RemoteProtocolError
from ..status import StatusCode, code_for_http_status, code_for_reset, code_from_wire
from .events import CallEnded, Event, HalfClosed, HeadersReceived, MessageReceived, RequestReceived
from .framing import MessageReader
from .metadata import (
    HeaderList,
    decode_message,
    decode_metadata,
    decode_timeout,
    header,
    is_grpc_content_type,
)

__all__ = ["RECEIVING", "SENDING", "ClientCall", "Receiving", "Sending", "ServerCall", "Step"]


class Step(enum.Enum):
    """What can happen on one side of a call."""

    HEADERS = "headers"
    MESSAGE = "message"
    END = "end of stream"
    TRAILERS = "trailers"
    STOP = "reset, or connection lost"


class Sending(enum.Enum):
    """How far our side of a call is."""

    IDLE = "nothing sent"
    OPEN = "headers sent"
    ENDED = "half-closed"


class Receiving(enum.Enum):
    """How far the peer's side of a call is."""

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
    """

    def __init__(self, stream_id: int, max_length: int | None) -> None:
        self.stream_id = stream_id
        self.sending = Sending.IDLE
        self.receiving = Receiving.IDLE
        self.reset_code: int | None = None
        """The code to reset the HTTP/2 stream with, once this end has given the call up."""
        self._max_length = max_length
        self._reader = MessageReader(max_length)

    @property
    def has_ended(self) -> bool:
        return self.receiving is Receiving.ENDED

    def send(self, step: Step) -> None:
        """Note what our side sends next.

        Raises:
            LocalProtocolError: the call does not allow it now.
        """
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
        try:
            return [MessageReceived(self.stream_id, payload) for payload in self._reader.receive_data(data)]
        except MessageError as error:
            return self.give_up(ErrorCodes.CANCEL, error.code, error.message)

    def receive_reset(self, error_code: int) -> list[Event]:
        """Take the peer's RST_STREAM."""
        refused = error_code == ErrorCodes.REFUSED_STREAM
        details = f"the peer reset the stream with {_error_name(error_code)}"
        return self.stop(code_for_reset(error_code), details, unprocessed=refused)

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

    def _end(self, step: Step, ended: CallEnded) -> list[Event]:
        self._take(step)
        return [ended]

    def _take(self, step: Step) -> None:
        try:
            self.receiving = RECEIVING[self.receiving, step]
        except KeyError:
            raise RemoteProtocolError(f"{step.value} in state: {self.receiving.value}") from None


class ClientCall(_Call):
    """The client's end of a call: what the server sends becomes metadata, messages and a status."""

    def __init__(self, stream_id: int, max_length: int | None) -> None:
        super().__init__(stream_id, max_length)
        self._http_status = 200

    def receive_headers(self, headers: HeaderList, end_stream: bool) -> list[Event]:
        """Take HEADERS: initial metadata, trailers, both in one, or an answer that is not gRPC."""
        if self.has_ended:
            return []
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
        if not self._reader.is_between_messages:
            return self.stop(StatusCode.INTERNAL, "the server ended the stream in the middle of a message")
        return self.stop(code_for_http_status(self._http_status), "the server ended the stream without a grpc-status")

    def _receive_answer(self, headers: HeaderList, end_stream: bool) -> list[Event]:
        _check_names(headers)
        self._http_status = _http_status(headers)
        if end_stream and header(headers, b"grpc-status") is not None:
            return self._end(Step.TRAILERS, self._status_in(headers))
        content_type = header(headers, b"content-type")
        if self._http_status != 200 or not is_grpc_content_type(content_type):
            return self._receive_plain_http(headers, content_type)
        if end_stream:
            return self.stop(StatusCode.UNKNOWN, "the server ended the stream without a grpc-status")
        encoding = (header(headers, b"grpc-encoding") or b"identity").decode("latin-1")
        self._reader = MessageReader(self._max_length, encoding)
        metadata = decode_metadata(headers)
        self._take(Step.HEADERS)
        return [HeadersReceived(self.stream_id, metadata)]

    def _receive_plain_http(self, headers: HeaderList, content_type: bytes | None) -> list[Event]:
        if header(headers, b"grpc-status") is not None:  # the given status wins over any mapping
            ended = self._status_in(headers)
            if ended.code is not StatusCode.OK:
                self.reset_code = int(ErrorCodes.CANCEL)
                return self._end(Step.TRAILERS, ended)
        shown = "no content-type" if content_type is None else f"content-type {content_type.decode('latin-1')!r}"
        return self.give_up(
            ErrorCodes.CANCEL,
            code_for_http_status(self._http_status),
            f"the server's answer is not gRPC: HTTP status {self._http_status}, {shown}",
        )

    def _receive_trailers(self, headers: HeaderList) -> list[Event]:
        _check_names(headers)
        if any(name.startswith(b":") for name, _ in headers):
            raise RemoteProtocolError("the trailers hold a pseudo-header field (RFC 9113 §8.1)")
        if header(headers, b"grpc-status") is None:
            return self.receive_end()
        ended = self._status_in(headers)
        if ended.code is StatusCode.OK and not self._reader.is_between_messages:
            return self.stop(StatusCode.INTERNAL, "the status OK came in the middle of a message")
        return self._end(Step.TRAILERS, ended)

    def _status_in(self, headers: HeaderList) -> CallEnded:
        value = (header(headers, b"grpc-status") or b"").decode("latin-1")
        code = code_from_wire(value)
        details = decode_message(header(headers, b"grpc-message") or b"")
        if code is StatusCode.UNKNOWN and value != "2" and not details:
            details = f"the server sent the unknown grpc-status {value!r}"
        return CallEnded(self.stream_id, code, details, decode_metadata(headers))


class ServerCall(_Call):
    """The server's end of a call: what the client sends becomes a request, messages and a half-close."""

    def receive_headers(self, headers: HeaderList, end_stream: bool) -> list[Event]:
        """Take HEADERS: the request.  A client has no trailers to send; they are ignored."""
        if self.receiving is not Receiving.IDLE:
            return self.receive_end() if end_stream else []
        try:
            request = self._request_in(headers)
        except RemoteProtocolError as error:
            return self.give_up(ErrorCodes.PROTOCOL_ERROR, StatusCode.INTERNAL, error.message)
        self._take(Step.HEADERS)
        return [request, *(self.receive_end() if end_stream else [])]

    def receive_end(self) -> list[Event]:
        """Take END_STREAM: the client has sent its last message."""
        if self.receiving is not Receiving.OPEN:
            return []
        if not self._reader.is_between_messages:
            return self.give_up(
                ErrorCodes.PROTOCOL_ERROR, StatusCode.INTERNAL, "the client half-closed in the middle of a message"
            )
        self._take(Step.END)
        return [HalfClosed(self.stream_id)]

    def _request_in(self, headers: HeaderList) -> RequestReceived:
        _check_names(headers)
        path = header(headers, b":path")
        if header(headers, b":method") != b"POST" or path is None:
            raise RemoteProtocolError("a gRPC request is a POST with a :path")
        if not is_grpc_content_type(header(headers, b"content-type")):
            raise RemoteProtocolError("a gRPC request has the content-type application/grpc")
        timeout = header(headers, b"grpc-timeout")
        encoding = (header(headers, b"grpc-encoding") or b"identity").decode("latin-1")
        self._reader = MessageReader(self._max_length, encoding)
        return RequestReceived(
            self.stream_id,
            path.decode("latin-1"),
            decode_metadata(headers),
            None if timeout is None else decode_timeout(timeout.decode("latin-1")),
            (header(headers, b":authority") or b"").decode("latin-1"),
        )


def _check_names(headers: HeaderList) -> None:
    """Field names are lower case, and none belongs to one connection only (RFC 9113 §8.2)."""
    for name, _ in headers:
        if name != name.lower() or not name:
            raise RemoteProtocolError(f"the header name {name!r} is not lower case (RFC 9113 §8.2.1)")
        if name in (b"connection", b"transfer-encoding", b"keep-alive", b"proxy-connection", b"upgrade"):
            raise RemoteProtocolError(f"the header {name.decode()!r} does not belong in HTTP/2 (RFC 9113 §8.2.2)")


def _http_status(headers: HeaderList) -> int:
    values = [value for name, value in headers if name == b":status"]
    if len(values) != 1 or len(values[0]) != 3 or not values[0].isdigit():
        raise RemoteProtocolError("the answer does not have one :status of three digits (RFC 9113 §8.3.2)")
    return int(values[0])


def _error_name(error_code: int) -> str:
    try:
        return ErrorCodes(error_code).name
    except ValueError:
        return f"the unknown code {error_code}"
