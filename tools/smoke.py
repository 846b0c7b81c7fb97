"""A small job for an installed puremux.

Usage: python smoke.py JOB [--no-extensions] [--certificates FOLDER] [--spans COUNT]

==================  ============================================================================================
``spans``           spans go through the exporter to the embedded agent, 1,000 of them, and are all there
``tls``             the same through TLS; the folder holds ``server.pem`` and the authority ``ca.pem``
``both``            the one and the other, for interpreters that start slowly
``demo``            the demo runs for two seconds and finds that nothing was lost
``memory``          calls between a client and a server in memory, 1,000 of them, each with an encoded span
``subinterpreter``  ``spans`` in another interpreter within this one; Python 3.13's has no daemon threads
``cost``            how long ``puremux.Exporter`` takes to import, and what the base takes on the disk
==================  ============================================================================================

``spans`` needs the wheel and what the wheel needs, no more; ``memory`` neither sockets nor threads.
With --no-extensions nothing that is compiled can be imported from outside the standard library.
The last line printed is the answer.
"""

from __future__ import annotations

import argparse
import importlib.machinery
import json
import sys
import sysconfig
import tempfile
import time
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

BOUND = 120.0  # seconds for any one wait
BASE = ("puremux", "h2", "hpack", "hyperframe", "protobuf")


class NoExtensions(MetaPathFinder):
    """Refuses compiled modules that lie in site-packages, as a locked-down image does."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        loader = spec and spec.loader
        if isinstance(loader, importlib.machinery.ExtensionFileLoader) and _is_installed(loader.path):
            raise ImportError(f"{name} is compiled, and nothing compiled is allowed here", name=name)


def _is_installed(path: str) -> bool:
    packages = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    return any(Path(folder) in Path(path).parents for folder in packages)


def main() -> None:
    """Run the job; an assertion that fails is the answer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("--no-extensions", action="store_true")
    parser.add_argument("--certificates", type=Path)
    parser.add_argument("--spans", type=int, default=1000, metavar="COUNT")
    options = parser.parse_args()
    if options.no_extensions:
        sys.meta_path.insert(0, NoExtensions())
    answer = JOBS[options.job](options)
    import puremux

    here = Path(__file__).resolve().parent.parent
    assert Path(puremux.__file__).resolve().parent.parent != here, f"this is the checkout's: {puremux.__file__}"
    core = _protobuf()
    assert not (options.no_extensions and core == "upb"), "protobuf's C core was loaded in spite of all"
    print(answer or f"ok, protobuf's {core}")


def _protobuf() -> str:
    from google.protobuf.internal import api_implementation

    return str(api_implementation.Type())


def demo(options: argparse.Namespace) -> None:
    """Run the demo."""
    from puremux.cli import main as puremux_command

    ended = puremux_command(["demo", "--duration", "2"])
    assert ended == 0, f"puremux demo ended with {ended}"


def spans(options: argparse.Namespace) -> None:
    """Export spans to an agent in plaintext."""
    _export(options.spans, "127.0.0.1", None, None)


def tls(options: argparse.Namespace) -> None:
    """Export spans to an agent through TLS, with host name, trust and ALPN checked."""
    import ssl

    from puremux.transport.tls import server_context

    client = ssl.create_default_context(cafile=str(options.certificates / "ca.pem"))
    _export(options.spans, "localhost", server_context(str(options.certificates / "server.pem")), client)


def both(options: argparse.Namespace) -> None:
    """Export in plaintext, then through TLS."""
    spans(options)
    tls(options)


def _export(count: int, host: str, server_tls: Any, client_tls: Any) -> None:
    """Send so many spans; the bounds are for the slowest interpreters on a busy machine."""
    import puremux
    from puremux.agent import Agent
    from puremux.exporter import Pace

    patient = Pace(confirm_within=BOUND, probe_within=BOUND)

    with tempfile.TemporaryDirectory() as folder:
        arrived = Path(folder, "spans.jsonl")
        with Agent("127.0.0.1:0", spans=str(arrived), tls=server_tls) as agent:
            address = f"{host}:{agent.address.rpartition(':')[2]}"
            with puremux.Exporter(address, tls=client_tls, connect_timeout=BOUND, pace=patient) as exporter:
                exporter.export([_span(number) for number in range(count)])
                assert exporter.flush(BOUND), exporter.stats()
        names = sorted(json.loads(line)["name"] for line in arrived.read_text("utf-8").splitlines())
    assert names == [f"span {number:04}" for number in range(count)]


def _span(number: int) -> SimpleNamespace:
    """What opencensus's SpanData looks like; the library itself is not needed."""
    return SimpleNamespace(
        name=f"span {number:04}",
        context=SimpleNamespace(trace_id=f"{1:032x}", tracestate=None),
        span_id=f"{number + 1:016x}",
        parent_span_id=None,
        attributes={"number": number, "share": number / 1000, "even": number % 2 == 0, "text": "grüße"},
        start_time="2026-01-01T00:00:00.000000Z",
        end_time="2026-01-01T00:00:01.000000Z",
        child_span_count=0,
        stack_trace=None,
        annotations=[],
        message_events=[],
        links=[],
        status=None,
        same_process_as_parent_span=None,
        span_kind=0,
    )


def memory(options: argparse.Namespace) -> None:
    """Join a client and a server in memory: what one has to send is what the other receives."""
    from puremux.exporter.spans import SpanEncoder
    from puremux.exporter.spans_pb import span_message
    from puremux.proto.trace_service_pb2 import ExportTraceServiceRequest
    from puremux.protocol.connection import Connection

    encoder = SpanEncoder()
    client, server = Connection(client_side=True), Connection(client_side=False)
    client.initiate()
    server.initiate()
    client.receive_data(server.data_to_send(), now=0.0)
    for number in range(options.spans):
        span = _span(number)
        payload = encoder.field(span)
        answer = _echo(client, server, payload, float(number))
        assert answer == payload
        assert list(ExportTraceServiceRequest.FromString(answer).spans) == [span_message(span)]


def _echo(client: Any, server: Any, payload: bytes, now: float) -> bytes:
    """Make one call, which the server answers with its own message."""
    from puremux.protocol.events import CallEnded, MessageReceived, RequestReceived
    from puremux.protocol.metadata import request_headers
    from puremux.status import StatusCode

    stream_id = client.open(request_headers("/smoke.Smoke/Echo", authority="smoke", scheme="http"))
    client.send_message(stream_id, payload, end=True)
    for event in server.receive_data(client.data_to_send(), now):
        if isinstance(event, RequestReceived):
            server.send_headers(event.stream_id)
        elif isinstance(event, MessageReceived):
            server.message_taken(event.stream_id)
            server.send_message(event.stream_id, event.payload)
            server.send_trailers(event.stream_id, StatusCode.OK)
    events = client.receive_data(server.data_to_send(), now)
    (ended,) = [event for event in events if isinstance(event, CallEnded)]
    (message,) = [event for event in events if isinstance(event, MessageReceived)]
    assert ended.code is StatusCode.OK, ended
    return bytes(message.payload)


def subinterpreter(options: argparse.Namespace) -> None:
    """Run ``spans`` within another interpreter of this process."""
    program = f"import runpy, sys; sys.argv[1:] = ['spans']; runpy.run_path({__file__!r}, run_name='__main__')"
    interpreters: Any
    try:
        import _interpreters as interpreters

        made = interpreters.create()
    except ImportError:
        import _xxsubinterpreters as interpreters  # Python 3.12's name for it

        # With a lock of its own, `import ssl` alone makes Python 3.12.1 abort when it ends.
        made = interpreters.create(isolated=False)
    failure = interpreters.run_string(made, program)
    assert failure is None, failure
    interpreters.destroy(made)


def cost(options: argparse.Namespace) -> str:
    """Import time, and size on the disk with the bytecode that is there."""
    from importlib.metadata import files

    began = time.process_time()  # which a busy machine leaves alone
    import puremux

    assert puremux.Exporter
    took = time.process_time() - began
    found = [file for name in BASE for file in files(name) or ()]
    size = sum(Path(str(file.locate())).stat().st_size for file in found if Path(str(file.locate())).exists())
    return f"import {took * 1000:.0f} ms of CPU, installed {size / 1e6:.1f} MB"


JOBS: dict[str, Callable[[argparse.Namespace], Any]] = {
    job.__name__: job for job in (spans, tls, both, demo, memory, subinterpreter, cost)
}


if __name__ == "__main__":
    main()
