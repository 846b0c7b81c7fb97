"""The four shapes of a gRPC method, as things to call, in grpcio's shape.

Floor 3, I/O: imports call, transport, errors and status.
Source: grpc.UnaryUnaryMultiCallable and its three siblings, grpc.Future and grpc.Call, so that stubs made by protoc's
gRPC plugin, and hands that know grpcio, find what they expect.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Callable, NamedTuple, Protocol

from .call import Call
from .callbase import as_bytes
from .errors import FutureCancelledError, FutureTimeoutError, Metadata, PuremuxError, RpcError
from .status import StatusCode
from .transport.threads import start_thread

__all__ = [
    "Deserializer",
    "Serializer",
    "StreamStreamMultiCallable",
    "StreamUnaryMultiCallable",
    "StreamingCall",
    "UnaryCall",
    "UnaryStreamMultiCallable",
    "UnaryUnaryMultiCallable",
]

Serializer = Callable[[Any], bytes]
Deserializer = Callable[[bytes], Any]

INLINE_REQUESTS = 8  # so few requests in a list need no thread to send them


class Opener(Protocol):
    """What a multi-callable needs of its channel."""

    def open(
        self,
        path: str,
        *,
        request: bytes | None,
        one_response: bool,
        metadata: Metadata,
        timeout: float | None,
        wait_for_ready: bool,
        compression: Any,
    ) -> Call:
        """Open a call."""


class _Options(NamedTuple):
    """What a caller says of one call, as grpcio's callers say it."""

    timeout: float | None
    metadata: Metadata | None
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class _MultiCallable:
    """One method of a service, and how its messages become bytes and back.

    Calling it takes:

    - ``timeout``: seconds until DEADLINE_EXCEEDED, connecting included; None for no deadline;
    - ``metadata``: pairs of lower-case key and value, ``bytes`` for keys that end in ``-bin``;
    - ``credentials``: None; call credentials go into the metadata;
    - ``wait_for_ready``: wait through failed connections instead of ending as UNAVAILABLE;
    - ``compression``: ``gzip``, ``deflate``, ``identity``, or a ``grpc.Compression``.

    A call raises RpcError with the status it ended with; ValueError or TypeError for arguments that cannot be sent.
    """

    def __init__(
        self, channel: Opener, method: str, serializer: Serializer | None, deserializer: Deserializer | None
    ) -> None:
        self._channel = channel
        self._path = method
        self._serializer = serializer
        self._deserialize = deserializer or as_bytes

    one_response = False

    def _open(self, options: _Options, request: bytes | None = None) -> Call:
        if options.credentials is not None:
            raise ValueError("call credentials are not supported; put what they would add into metadata")
        return self._channel.open(
            self._path,
            request=request,
            one_response=self.one_response,
            metadata=() if options.metadata is None else options.metadata,
            timeout=options.timeout,
            wait_for_ready=bool(options.wait_for_ready),
            compression=options.compression,
        )

    def _open_with(self, request: Any, options: _Options) -> Call:
        try:
            payload = self._serialize(request)
        except Exception as error:  # the application's own serializer
            raise RpcError(StatusCode.INTERNAL, f"cannot serialize the request: {error!r}") from error
        return self._open(options, payload)

    def _serialize(self, message: Any) -> bytes:
        return as_bytes(message if self._serializer is None else self._serializer(message))

    def _open_and_send(self, requests: Iterable[Any], options: _Options) -> Call:
        """Send an iterable's requests, on a thread of its own unless they are few and at hand."""
        iterator = iter(requests)  # what cannot be iterated over is refused before there is a call
        call = self._open(options)
        if isinstance(requests, (list, tuple)) and len(requests) <= INLINE_REQUESTS:
            self._feed(call, iterator, wait=False)
            return call
        if start_thread(self._feed, f"puremux {self._path}", call, iterator, True) is None:
            call.fail(StatusCode.INTERNAL, "no thread could be started to send the requests")
        return call

    def _feed(self, call: Call, requests: Iterator[Any], wait: bool) -> None:
        while call.is_active():
            try:
                request = next(requests)
            except StopIteration:
                call.close_sending()
                return
            except BaseException as error:  # the application's own iterator; SystemExit must not leave the call alone
                call.fail(StatusCode.UNKNOWN, f"the iterator of requests raised {error!r}")
                if wait or isinstance(error, Exception):  # a thread of ours has nobody to tell
                    return
                raise
            payload = _converted(call, self._serialize, request, "serialize a request")
            if payload is None or not _send(call, payload, wait):
                return


class UnaryUnaryMultiCallable(_MultiCallable):
    """A method that takes one message and answers with one."""

    one_response = True

    def __call__(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> Any:
        """Make the call and wait for its answer (grpc.UnaryUnaryMultiCallable).  Raises RpcError."""
        return self.future(request, timeout, metadata, credentials, wait_for_ready, compression).wait()

    def with_call(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> tuple[Any, UnaryCall]:
        """Make the call; return its answer and the ended call (grpc.UnaryUnaryMultiCallable).  Raises RpcError."""
        call = self.future(request, timeout, metadata, credentials, wait_for_ready, compression)
        return call.wait(), call

    def future(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> UnaryCall:
        """Make the call without waiting (grpc.UnaryUnaryMultiCallable)."""
        options = _Options(timeout, metadata, credentials, wait_for_ready, compression)
        return UnaryCall(self._open_with(request, options), self._deserialize)


class StreamUnaryMultiCallable(_MultiCallable):
    """A method that takes many messages and answers with one."""

    one_response = True

    def __call__(
        self,
        request_iterator: Iterable[Any],
        timeout: float | None = None,
        metadata: Metadata | None = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> Any:
        """Make the call and wait for its answer (grpc.StreamUnaryMultiCallable).  Raises RpcError."""
        return self.future(request_iterator, timeout, metadata, credentials, wait_for_ready, compression).wait()

    def with_call(
        self,
        request_iterator: Iterable[Any],
        timeout: float | None = None,
        metadata: Metadata | None = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> tuple[Any, UnaryCall]:
        """Make the call; return its answer and the ended call (grpc.StreamUnaryMultiCallable).  Raises RpcError."""
        call = self.future(request_iterator, timeout, metadata, credentials, wait_for_ready, compression)
        return call.wait(), call

    def future(
        self,
        request_iterator: Iterable[Any],
        timeout: float | None = None,
        metadata: Metadata | None = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> UnaryCall:
        """Make the call without waiting (grpc.StreamUnaryMultiCallable)."""
        options = _Options(timeout, metadata, credentials, wait_for_ready, compression)
        return UnaryCall(self._open_and_send(request_iterator, options), self._deserialize)


class UnaryStreamMultiCallable(_MultiCallable):
    """A method that takes one message and answers with many."""

    def __call__(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> StreamingCall:
        """Make the call; iterate over what it returns (grpc.UnaryStreamMultiCallable)."""
        options = _Options(timeout, metadata, credentials, wait_for_ready, compression)
        return StreamingCall(self._open_with(request, options), self._deserialize)


class StreamStreamMultiCallable(_MultiCallable):
    """A method that takes many messages and answers with many."""

    def __call__(
        self,
        request_iterator: Iterable[Any],
        timeout: float | None = None,
        metadata: Metadata | None = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> StreamingCall:
        """Make the call; iterate over what it returns (grpc.StreamStreamMultiCallable)."""
        options = _Options(timeout, metadata, credentials, wait_for_ready, compression)
        return StreamingCall(self._open_and_send(request_iterator, options), self._deserialize)


class _CallView:
    """What a call with a deserializer shows of the call beneath (grpc.Call)."""

    def __init__(self, call: Call, deserialize: Deserializer) -> None:
        self._call = call
        self._deserialize = deserialize
        self._cancelled = False

    def __del__(self) -> None:
        call = getattr(self, "_call", None)  # absent when __init__ has failed
        if call is not None:
            call.abandon()

    def cancel(self) -> bool:
        """End the call as CANCELLED; False when it was over (grpc.RpcContext; RFC 9113 §7, CANCEL)."""
        was_active = self._call.cancel()
        self._cancelled = self._cancelled or was_active
        return was_active

    def cancelled(self) -> bool:
        """True when :meth:`cancel` ended the call (grpc.Future)."""
        return self._cancelled

    def is_active(self) -> bool:
        """True until the call is over (grpc.RpcContext)."""
        return self._call.is_active()

    def done(self) -> bool:
        """True once the call is over (grpc.Future)."""
        return not self._call.is_active()

    def running(self) -> bool:
        """True until the call is over (grpc.Future)."""
        return self._call.is_active()

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, or None without one (grpc.RpcContext)."""
        return self._call.time_remaining()

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Call ``callback()`` when the call is over; False, and no call, when it is already (grpc.RpcContext)."""
        return self._call.add_callback(callback)

    def initial_metadata(self) -> Metadata:
        """Wait for what the server sends before its messages (PROTOCOL-HTTP2.md, Response-Headers)."""
        return self._call.initial_metadata()

    def trailing_metadata(self) -> Metadata:
        """Wait for the end, and return the metadata that came with the status (PROTOCOL-HTTP2.md, Trailers)."""
        return self._call.trailing_metadata()

    def code(self) -> StatusCode:
        """Wait for the end, and return the status code (grpc.Call; gRPC doc/statuscodes.md)."""
        return self._call.code()

    def details(self) -> str:
        """Wait for the end, and return the status message (grpc.Call; PROTOCOL-HTTP2.md, Status-Message)."""
        return self._call.details()


class StreamingCall(_CallView):
    """A call that answers with many messages: iterate over it."""

    def __iter__(self) -> StreamingCall:
        """The call itself (in gRPC's Python API, calls are iterators)."""
        return self

    def __next__(self) -> Any:
        """Wait for the next message.

        Raises:
            RpcError: the call ended with a status other than OK.
            StopIteration: the server has sent its last message.
        Source: grpcio's call objects, which are iterators; gRPC PROTOCOL-HTTP2.md, "Responses".
        """
        payload = self._call.receive()
        if payload is None:
            raise StopIteration
        message = _converted(self._call, self._deserialize, payload, "deserialize a response")
        if message is None:
            raise _error(self._call)
        return message

    next = __next__


class UnaryCall(_CallView):
    """A call that answers with one message: a future (grpc.Future), and a call (grpc.Call)."""

    def __init__(self, call: Call, deserialize: Deserializer) -> None:
        super().__init__(call, deserialize)
        self._lock = threading.RLock()  # a signal's handler, or the deserializer, may ask for the same answer
        self._payload: bytes | None = None
        self._response: Any = None
        self._has_response = False

    def wait(self) -> Any:
        """Wait for the answer, however the deadline allows.

        Raises:
            RpcError: the call ended with a status other than OK, or its answer was not one message.
        Source: gRPC doc/statuscodes.md.
        """
        self._call.wait_for_end()
        with self._lock:
            if not self._has_response:
                if self._payload is None:
                    self._payload = self._call.receive()
                if self._payload is None:
                    raise _error(self._call)
                response = _converted(self._call, self._deserialize, self._payload, "deserialize the response")
                self._response, self._has_response, self._payload = response, True, None
            if self._response is None:
                raise _error(self._call)
            return self._response

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the answer.

        Args:
            timeout: seconds to wait here; the call itself goes on.
        Raises:
            FutureTimeoutError: no answer came in that time.
            FutureCancelledError: :meth:`cancel` ended the call.
            RpcError: the call ended with a status other than OK.
        Source: grpcio's ``grpc.Future``.
        """
        self._wait_done(timeout)
        return self.wait()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the end; return the call's RpcError, or None (grpc.Future).  Raises as :meth:`result`."""
        self._wait_done(timeout)
        try:
            self.wait()
        except RpcError as error:
            return error
        return None

    def traceback(self, timeout: float | None = None) -> TracebackType | None:
        """Wait for the end; return the error's traceback, if any (grpc.Future).  Raises as :meth:`result`."""
        error = self.exception(timeout)
        return None if error is None else error.__traceback__

    def add_done_callback(self, callback: Callable[[UnaryCall], None]) -> None:
        """Call ``callback(self)`` when the call is over, at once if it is (grpc.Future)."""
        if not self._call.add_callback(lambda: callback(self)):
            callback(self)

    def _wait_done(self, timeout: float | None) -> None:
        if not self._call.wait_until_over(timeout):
            raise FutureTimeoutError(f"the call had no answer within {timeout:g} s")
        if self._cancelled:
            raise FutureCancelledError("the call was cancelled")


def _converted(call: Call, convert: Callable[[Any], Any], message: Any, what: str) -> Any:
    """The converted message; None, and the call ended as INTERNAL, when the application's converter fails."""
    try:
        converted = convert(message)
    except Exception as error:  # noqa: BLE001  # the application's own converter
        call.fail(StatusCode.INTERNAL, f"cannot {what}: {error!r}")
        return None
    if converted is None:
        call.fail(StatusCode.INTERNAL, f"cannot {what}: the converter returned None")
    return converted


def _send(call: Call, payload: bytes, wait: bool) -> bool:
    """Whether the call still takes messages; how it ended shows when its answer is asked for."""
    try:
        call.send(payload, wait=wait)
    except PuremuxError:
        return False
    return call.is_active()


def _error(call: Call) -> RpcError:
    return call.error() or RpcError(StatusCode.INTERNAL, "the call ended without an answer")
