"""A server of gRPC's interop service on grpcio.

A program for the venv with grpcio: ``grpcio_server.py STUBS [CERTIFICATE KEY]`` prints its port, and ends with its
standard input.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

sys.path.insert(0, sys.argv[1])

import grpc
import testing_pb2 as messages
import testing_pb2_grpc as services

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 0)]
INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"


class TestService(services.TestServiceServicer):
    """What the interop cases expect of a server (gRPC doc/interop-test-descriptions.md)."""

    def EmptyCall(self, request: Any, context: Any) -> Any:  # the name is the service's
        return messages.Empty()

    def UnaryCall(self, request: Any, context: Any) -> Any:
        echo_metadata(context)
        answer_with_status(request, context)
        return messages.SimpleResponse(payload=payload(request.response_size))

    def StreamingOutputCall(self, request: Any, context: Any) -> Iterator[Any]:
        answer_with_status(request, context)
        for parameters in request.response_parameters:
            time.sleep(parameters.interval_us / 1e6)
            yield messages.StreamingOutputCallResponse(payload=payload(parameters.size))

    def StreamingInputCall(self, request_iterator: Iterator[Any], context: Any) -> Any:
        size = sum(len(each.payload.body) for each in request_iterator)
        return messages.StreamingInputCallResponse(aggregated_payload_size=size)

    def FullDuplexCall(self, request_iterator: Iterator[Any], context: Any) -> Iterator[Any]:
        echo_metadata(context)
        for request in request_iterator:
            yield from self.StreamingOutputCall(request, context)


def echo_metadata(context: Any) -> None:
    sent = dict(context.invocation_metadata())
    if INITIAL in sent:
        context.send_initial_metadata([(INITIAL, sent[INITIAL])])
    if TRAILING in sent:
        context.set_trailing_metadata([(TRAILING, sent[TRAILING])])


def answer_with_status(request: Any, context: Any) -> None:
    status = request.response_status
    if status.code:
        code = next(each for each in grpc.StatusCode if each.value[0] == status.code)
        context.abort(code, status.message)


def payload(size: int) -> Any:
    return messages.Payload(body=bytes(size))


def main() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(128), options=OPTIONS)
    services.add_TestServiceServicer_to_server(TestService(), server)
    if len(sys.argv) > 2:
        certificate, key = (Path(each).read_bytes() for each in sys.argv[2:4])
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)  # noqa: T201  # a program
    sys.stdin.read()
    server.stop(None)


if __name__ == "__main__":
    main()
