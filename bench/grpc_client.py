"""One client of ``bench_grpc``: puremux, grpcio or grpclib, measured with the same bytes against the same server.

A program for the venv that has that client: ``grpc_client.py CLIENT PORT`` prints its figures as JSON.  Messages are
serialized beforehand, so that what is measured is gRPC and not protobuf.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

SERVICE = "/grpc.testing.TestService/"
UNARY_CALLS = 1000
STREAMS, ANSWERS, ANSWER_SIZE = 100, 20, 1024
CONNECTIONS = 40
MIB = 1024 * 1024

Figures = dict[str, float]


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def upload(size: int) -> bytes:
    """A StreamingInputCallRequest with a payload of so many bytes."""
    return field(1, field(2, bytes(size)))


def download(count: int, size: int) -> bytes:
    """A StreamingOutputCallRequest that asks for so many payloads of that size."""
    return field(2, b"\x08" + varint(size)) * count


@contextmanager
def measured(figures: Figures, name: str, per: float) -> Iterator[None]:
    """Note wall and CPU time of a block, each divided by ``per``."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    figures[f"{name} wall"] = (time.perf_counter() - wall) / per
    figures[f"{name} cpu"] = (time.process_time() - cpu) / per


def measure_threaded(open_channel: Callable[[], Any]) -> Figures:
    """puremux and grpcio, whose API is the same."""
    figures: Figures = {}
    channel = open_channel()
    unary = channel.unary_unary(f"{SERVICE}EmptyCall")
    for _ in range(50):
        unary(b"")
    with measured(figures, "unary", UNARY_CALLS):
        for _ in range(UNARY_CALLS):
            unary(b"")
    down = channel.unary_stream(f"{SERVICE}StreamingOutputCall")
    up = channel.stream_unary(f"{SERVICE}StreamingInputCall")
    for mib in (1, 64):
        chunk = MIB // 16 if mib == 1 else MIB
        for _ in range(2):  # the first time opens the windows
            with measured(figures, f"down {mib} MiB", mib):
                assert sum(map(len, down(download(mib * MIB // chunk, chunk)))) >= mib * MIB
            with measured(figures, f"up {mib} MiB", mib):
                up(iter([upload(chunk)] * (mib * MIB // chunk)))
    with measured(figures, "100 streams", STREAMS * ANSWERS):
        calls = [down(download(ANSWERS, ANSWER_SIZE)) for _ in range(STREAMS)]
        assert all(len(list(each)) == ANSWERS for each in calls)
    channel.close()
    with measured(figures, "connect", CONNECTIONS):
        for _ in range(CONNECTIONS):
            channel = open_channel()
            channel.unary_unary(f"{SERVICE}EmptyCall")(b"")
            channel.close()
    return figures


async def measure_grpclib(port: int) -> Figures:
    """grpclib, whose API is asyncio's."""
    from grpclib.client import Channel, StreamUnaryMethod, UnaryStreamMethod, UnaryUnaryMethod
    from grpclib.encoding.base import CodecBase

    class Raw(CodecBase):
        __content_subtype__ = "proto"

        def encode(self, message: Any, message_type: Any) -> bytes:
            return bytes(message)

        def decode(self, data: bytes, message_type: Any) -> bytes:
            return data

    def open_channel() -> Any:
        return Channel("127.0.0.1", port, codec=Raw())

    figures: Figures = {}
    channel = open_channel()
    unary = UnaryUnaryMethod(channel, f"{SERVICE}EmptyCall", bytes, bytes)
    for _ in range(50):
        await unary(b"")
    with measured(figures, "unary", UNARY_CALLS):
        for _ in range(UNARY_CALLS):
            await unary(b"")
    down: Callable[[bytes], Awaitable[Any]] = UnaryStreamMethod(channel, f"{SERVICE}StreamingOutputCall", bytes, bytes)
    up = StreamUnaryMethod(channel, f"{SERVICE}StreamingInputCall", bytes, bytes)
    for mib in (1, 64):
        chunk = MIB // 16 if mib == 1 else MIB
        for _ in range(2):
            with measured(figures, f"down {mib} MiB", mib):
                await down(download(mib * MIB // chunk, chunk))
            with measured(figures, f"up {mib} MiB", mib):
                await up([upload(chunk)] * (mib * MIB // chunk))
    with measured(figures, "100 streams", STREAMS * ANSWERS):
        answers = await asyncio.gather(*(down(download(ANSWERS, ANSWER_SIZE)) for _ in range(STREAMS)))
        assert all(len(each) == ANSWERS for each in answers)
    channel.close()
    with measured(figures, "connect", CONNECTIONS):
        for _ in range(CONNECTIONS):
            channel = open_channel()
            await UnaryUnaryMethod(channel, f"{SERVICE}EmptyCall", bytes, bytes)(b"")
            channel.close()
    return figures


def main() -> None:
    client, port = sys.argv[1], int(sys.argv[2])
    if client == "puremux":
        import puremux

        figures = measure_threaded(lambda: puremux.Channel(f"127.0.0.1:{port}", proxy=""))
    elif client == "grpcio":
        import grpc

        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        figures = measure_threaded(lambda: grpc.insecure_channel(f"127.0.0.1:{port}", options))
    else:
        figures = asyncio.run(measure_grpclib(port))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
