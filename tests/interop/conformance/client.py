"""The client under test: makes the calls that the conformance runner asks for, and tells how they ended.

A program: ``client.py DESCRIPTORS``, where DESCRIPTORS is a file that ``protoc --descriptor_set_out`` wrote.
Requests come on standard input and answers leave on standard output, each behind its length in four bytes.
"""

from __future__ import annotations

import base64
import binascii
import ssl
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from puremux.call import Call
from puremux.channel import Channel
from puremux.errors import Metadata, ProtocolError, RpcError
from puremux.status import StatusCode

PACKAGE = "connectrpc.conformance.v1."
PARALLEL = 8
LENGTH = struct.Struct(">I")
COMPRESSION = {0: None, 1: None, 2: "gzip", 5: "deflate"}
UNARY, CLIENT_STREAM, SERVER_STREAM, HALF_DUPLEX, FULL_DUPLEX = 1, 2, 3, 4, 5


def main() -> None:
    """Answer every request, several at a time."""
    suite = Suite(Path(sys.argv[1]))
    channels = Channels()
    writing = threading.Lock()

    def answer(request: Any) -> None:
        reply = suite.new("ClientCompatResponse", test_name=request.test_name)
        try:
            reply.response.CopyFrom(Invocation(suite, channels.get(request), request).run())
        except Exception as error:
            reply.error.message = repr(error)
        data = reply.SerializeToString()
        with writing:
            sys.stdout.buffer.write(LENGTH.pack(len(data)) + data)
            sys.stdout.buffer.flush()

    with ThreadPoolExecutor(PARALLEL) as pool:
        for data in frames(sys.stdin.buffer):
            pool.submit(answer, suite.parse("ClientCompatRequest", data))
    channels.close()


def frames(stream: BinaryIO) -> Iterator[bytes]:
    """The runner's messages, until it closes the pipe."""
    while head := stream.read(LENGTH.size):
        yield stream.read(LENGTH.unpack(head)[0])


class Suite:
    """The suite's message classes, made from its descriptors."""

    def __init__(self, descriptors: Path) -> None:
        self._pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes()).file:
            self._pool.Add(file)
        self._service = self._pool.FindServiceByName(f"{PACKAGE}ConformanceService")

    def new(self, message: str, /, **fields: Any) -> Any:
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(PACKAGE + message))(**fields)

    def parse(self, name: str, data: bytes) -> Any:
        message = self.new(name)
        message.ParseFromString(data)
        return message

    def response_class(self, method: str) -> Any:
        return message_factory.GetMessageClass(self._service.methods_by_name[method].output_type)


class Channels:
    """One channel for all requests that ask for the same connection, so that their calls share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channels: dict[object, Channel] = {}

    def get(self, request: Any) -> Channel:
        credentials = request.client_tls_creds
        key = (
            request.host,
            request.port,
            request.server_tls_cert,
            credentials.cert,
            credentials.key,
            request.message_receive_limit,
        )
        with self._lock:
            if key not in self._channels:
                self._channels[key] = self._new(request)
            return self._channels[key]

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()

    @staticmethod
    def _new(request: Any) -> Channel:
        limit = {"max_receive_message_length": request.message_receive_limit} if request.message_receive_limit else {}
        tls = tls_context(request) if request.server_tls_cert else None
        return Channel(f"{request.host}:{request.port}", tls=tls, insecure=tls is None, proxy="", **limit)


def tls_context(request: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=request.server_tls_cert.decode())
    if request.HasField("client_tls_creds"):
        with tempfile.NamedTemporaryFile() as pem:
            pem.write(request.client_tls_creds.cert + b"\n" + request.client_tls_creds.key)
            pem.flush()
            context.load_cert_chain(pem.name)
    return context


class Invocation:
    """One call, as the suite's testing_clients.md describes each kind."""

    def __init__(self, suite: Suite, channel: Channel, request: Any) -> None:
        self._suite = suite
        self._request = request
        self._result = suite.new("ClientResponseResult")
        self._response_class = suite.response_class(request.method)
        self._cancel = request.cancel.WhichOneof("cancel_timing") if request.HasField("cancel") else None
        self._messages = [each.value for each in request.request_messages]
        takes_one = request.stream_type in (UNARY, SERVER_STREAM)
        self._call: Call = channel.open(
            f"/{request.service}/{request.method}",
            request=self._messages[0] if takes_one else None,
            one_response=request.stream_type in (UNARY, CLIENT_STREAM),
            metadata=metadata_of(request.request_headers),
            timeout=request.timeout_ms / 1000 if request.HasField("timeout_ms") else None,
            compression=COMPRESSION[request.compression],
        )
        self._takes_one = takes_one

    def run(self) -> Any:
        try:
            if not self._takes_one:
                self._send_all()
            self._cancel_after_close()
            while self._receive():
                pass
        except RpcError as error:
            self._describe(error)
        if self._request.stream_type in (UNARY, CLIENT_STREAM) and self._result.HasField("error"):
            del self._result.payloads[:]
        self._result.response_headers.extend(headers_of(self._suite, self._call.initial_metadata()))
        self._result.response_trailers.extend(headers_of(self._suite, self._call.trailing_metadata()))
        return self._result

    def _send_all(self) -> None:
        for index, message in enumerate(self._messages):
            time.sleep(self._request.request_delay_ms / 1000)
            self._result.num_unsent_requests = len(self._messages) - index
            try:
                self._call.send(message)
            except ProtocolError:  # the call ended with OK before we were through
                return
            self._result.num_unsent_requests -= 1
            if self._request.stream_type == FULL_DUPLEX:
                self._receive()
        if self._cancel == "before_close_send":
            self._call.cancel()
        self._call.close_sending()

    def _cancel_after_close(self) -> None:
        if self._cancel == "after_close_send_ms":
            time.sleep(self._request.cancel.after_close_send_ms / 1000)
            self._call.cancel()

    def _receive(self) -> bool:
        data = self._call.receive()
        if data is None:
            return False
        try:
            payload = self._response_class.FromString(data).payload
        except DecodeError as error:
            raise RpcError(StatusCode.INTERNAL, f"cannot deserialize a response: {error}") from error
        self._result.payloads.add().ParseFromString(payload.SerializeToString())
        if (
            self._cancel == "after_num_responses"
            and len(self._result.payloads) == self._request.cancel.after_num_responses
        ):
            self._call.cancel()
        return True

    def _describe(self, error: RpcError) -> None:
        self._result.error.code = error.code().value
        self._result.error.message = error.details()
        for type_url, value in error.status_details():
            self._result.error.details.add(type_url=type_url, value=value)


def metadata_of(headers: Any) -> Metadata:
    """The suite's headers as metadata; its binary values are written in base64."""
    pairs: list[tuple[str, str | bytes]] = []
    for header in headers:
        name = header.name.lower()
        pairs += [(name, from_base64(value) if name.endswith("-bin") else value) for value in header.value]
    return pairs


def from_base64(value: str) -> bytes:
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        return value.encode()


def headers_of(suite: Suite, metadata: Metadata) -> list[Any]:
    """Metadata as the suite's headers, the values of each name together."""
    values: dict[str, list[str]] = {}
    for name, value in metadata:
        text = base64.b64encode(value).rstrip(b"=").decode() if isinstance(value, bytes) else value
        values.setdefault(name, []).append(text)
    return [suite.new("Header", name=name, value=texts) for name, texts in values.items()]


if __name__ == "__main__":
    main()
