"""A gRPC call made of bytes, to an agent's trace service.  Usage: python examples/plain_call.py [ADDRESS]"""

from __future__ import annotations

import sys

import puremux
from puremux.proto import trace_service_pb2


def request() -> bytes:
    """One span of a service called breakfast, as the agent wants it first on a stream: with its Node."""
    message = trace_service_pb2.ExportTraceServiceRequest()
    message.node.service_info.name = "breakfast"
    span = message.spans.add(trace_id=bytes(range(1, 17)), span_id=bytes(range(1, 9)))
    span.name.value = "coffee"
    return message.SerializeToString()


def main(address: str = "localhost:55678") -> None:
    with puremux.Channel(address) as channel:
        call = channel.open(trace_service_pb2.TRACE_SERVICE_EXPORT_PATH, timeout=10)
        call.send(request())
        call.close_sending()
        for answer in call:
            print("the agent answered", answer)
        print(call.code().name, call.details())


if __name__ == "__main__":
    main(*sys.argv[1:])
