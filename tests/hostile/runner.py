"""The client's side, in a process of its own: makes the calls it is told to and reports what came of them.

Run by ``play``: ``python runner.py puremux|grpcio``.  Standard input brings, a line each, a row as JSON and then a word
that says the server has become good; standard output answers each with a report as JSON.  Standard error stays empty.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Callable

PATH = "/test.Echo/Call"
FOLLOW_UP_TIMEOUT = 15.0  # seconds; longer than the back-off that a hostile server can earn

Report = dict[str, Any]
Row = Mapping[str, Any]


# What differs between the clients


def puremux_channel(library: Any, target: str, authority_file: str | None, options: Mapping[str, Any]) -> Any:
    import ssl

    if authority_file is None:
        return library.Channel(target, insecure=True, **options)
    return library.Channel(target, tls=ssl.create_default_context(cafile=authority_file), **options)


def grpcio_channel(library: Any, target: str, authority_file: str | None, options: Mapping[str, Any]) -> Any:
    if authority_file is None:
        return library.insecure_channel(target)
    return library.secure_channel(target, library.ssl_channel_credentials(Path(authority_file).read_bytes()))


CLIENTS: Mapping[str, tuple[str, Callable[..., Any]]] = {
    "puremux": ("puremux", puremux_channel),
    "grpcio": ("grpc", grpcio_channel),
}


# What a client can ask for


class Tally:
    """Messages that came, as their number, their bytes and a checksum of them all."""

    def __init__(self) -> None:
        self.count = self.length = self.checksum = 0

    def take(self, message: bytes) -> None:
        self.count += 1
        self.length += len(message)
        self.checksum = zlib.crc32(message, self.checksum)

    def as_list(self) -> list[int]:
        return [self.count, self.length, self.checksum]


def unary(channel: Any, row: Row, tally: Tally, report: Report) -> None:
    """One message each way."""
    message, call = channel.unary_unary(PATH, None, None).with_call(bytes(row["size"]), **_limits(row))
    report["trailing"] = len(call.trailing_metadata())
    tally.take(message)


def download(channel: Any, row: Row, tally: Tally, report: Report) -> None:
    """One message to the server, many back, all of them read."""
    for message in channel.unary_stream(PATH, None, None)(bytes(row["size"]), **_limits(row)):
        tally.take(message)


def unread(channel: Any, row: Row, tally: Tally, report: Report) -> None:
    """A download of which nothing is read for a while; then it is cancelled."""
    call = channel.unary_stream(PATH, None, None)(bytes(row["size"]), **_limits(row))
    time.sleep(2.0)
    call.cancel()
    for message in call:
        tally.take(message)


def upload(channel: Any, row: Row, tally: Tally, report: Report) -> None:
    """Messages without end to the server, as fast as the client takes them; one back."""

    def messages() -> Iterator[bytes]:
        payload = bytes(row["size"])
        while True:
            report["sent"] = report.get("sent", 0) + 1
            yield payload

    tally.take(channel.stream_unary(PATH, None, None)(messages(), **_limits(row)))


def chat(channel: Any, row: Row, tally: Tally, report: Report) -> None:
    """Three messages to the server, then the half-close; all that come back are read."""
    messages = [bytes([i]) * row["size"] for i in range(3)]
    for message in channel.stream_stream(PATH, None, None)(iter(messages), **_limits(row)):
        tally.take(message)


def open_ended(channel: Any, row: Row, tally: Tally, report: Report) -> None:
    """One message to the server and no half-close; all that come back are read."""
    over = threading.Event()

    def messages() -> Iterator[bytes]:
        yield bytes(row["size"])
        over.wait(row["timeout"] + 5.0)

    try:
        for message in channel.stream_stream(PATH, None, None)(messages(), **_limits(row)):
            tally.take(message)
    finally:
        over.set()


def cancelled(channel: Any, row: Row, tally: Tally, report: Report) -> None:
    """Twenty downloads, each cancelled after its first message; then one call like any other."""
    for _ in range(20):
        call = channel.unary_stream(PATH, None, None)(b"cancelled", **_limits(row))
        next(call)
        call.cancel()
    unary(channel, row, tally, report)


def together(channel: Any, row: Row, tally: Tally, report: Report) -> None:
    """Ten unary calls at once."""
    method = channel.unary_unary(PATH, None, None)
    for future in [method.future(bytes(row["size"]), **_limits(row)) for _ in range(10)]:
        tally.take(future.result())


def one_by_one(channel: Any, row: Row, tally: Tally, report: Report) -> None:
    """Ten unary calls, one after the other."""
    for _ in range(10):
        unary(channel, row, tally, report)


SHAPES = {
    shape.__name__: shape
    for shape in (unary, download, unread, upload, chat, open_ended, cancelled, together, one_by_one)
}


def _limits(row: Row) -> dict[str, Any]:
    return {"timeout": row["timeout"], "wait_for_ready": row["wait_for_ready"]}


# Measuring


def attempt(library: Any, call: Callable[[Report], None]) -> Report:
    """Make a call; report how it ended and what it cost."""
    report: Report = {"status": "OK", "details": "", "error": None}
    gc.collect()
    baseline = _begin_peak()
    began, cpu = time.monotonic(), time.process_time()
    try:
        call(report)
    except library.RpcError as error:
        report["status"], report["details"] = error.code().name, error.details()
    except Exception as error:
        report["error"] = repr(error)
    report["seconds"] = time.monotonic() - began
    time.sleep(report.pop("rest", 0.0))
    report["cpu"] = time.process_time() - cpu
    report["growth"] = _peak() - baseline
    return report


def _begin_peak() -> int:
    """Make the kernel forget the highest memory use so far; return the one of now, in bytes."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # not Linux: the peak then counts from the start of the process
        pass
    return _peak()


def _peak() -> int:
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def play(library: Any, open_channel: Callable[..., Any], row: Row) -> Iterator[Report]:
    """The call with the hostile server, then the one with the good server on the same channel."""
    before = _open_files()
    channel = open_channel(library, row["target"], row["authority_file"], row["options"])
    try:
        tally = Tally()
        report = attempt(library, lambda report: _call(channel, row, tally, report))
        yield {**report, "tally": tally.as_list()}
        report = attempt(library, lambda report: _follow_up(library, channel, row))
    finally:
        channel.close()
    yield {**report, "left": _left_open(before)}


def _open_files() -> set[str]:
    try:
        return {each.name for each in Path("/proc/self/fd").iterdir()}
    except OSError:  # not Linux
        return set()


def _left_open(before: set[str]) -> list[str]:
    """Descriptors that are still open a while after the channel is closed."""
    until = time.monotonic() + 2.0
    while time.monotonic() < until:
        gc.collect()
        left = _open_files() - before
        if not left:
            return []
        time.sleep(0.01)
    return sorted(left)


def _call(channel: Any, row: Row, tally: Tally, report: Report) -> None:
    report["rest"] = row["rest"]
    SHAPES[row["shape"]](channel, row, tally, report)


def _follow_up(library: Any, channel: Any, row: Row) -> None:
    payload = bytes(range(256)) * (row["follow_up_size"] // 256 + 1)
    method = channel.unary_unary(PATH, None, None)
    try:
        answer = method(payload, timeout=FOLLOW_UP_TIMEOUT, wait_for_ready=True)
    except library.RpcError as error:
        # The hostile connection may be closed in the moment that the call goes out on it: nobody can make such a call
        # again but the application.
        if error.code().name != "UNAVAILABLE":
            raise
        answer = method(payload, timeout=FOLLOW_UP_TIMEOUT, wait_for_ready=True)
    if answer != payload:
        raise ValueError(f"the good server's answer of {len(answer)} bytes is not what was sent")


def main(client: str) -> None:
    module, open_channel = CLIENTS[client]
    library = importlib.import_module(module)
    for line in sys.stdin:
        row = json.loads(line)
        for report in play(library, open_channel, row):
            print(json.dumps(report), flush=True)
            if not sys.stdin.readline():
                return


if __name__ == "__main__":
    main(sys.argv[1])
