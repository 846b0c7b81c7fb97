"""A span's way to an agent, byte by byte.  Usage: python examples/see_the_wire.py [ADDRESS]"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import puremux
from puremux.proto import trace_service_pb2
from puremux.wire import Decoder, Recorder
from puremux.wire.sources import Recording
from puremux.wire.text import Printer


def record(address: str, session: Path) -> None:
    """Send one span, and keep all that goes over the wire meanwhile."""
    request = trace_service_pb2.ExportTraceServiceRequest()
    request.spans.add(trace_id=bytes(range(1, 17)), span_id=bytes(range(1, 9))).name.value = "coffee"
    with Recorder(session) as recorder, puremux.Exporter(address, service_name="breakfast", tap=recorder) as exporter:
        exporter.export_trace_request(request)


def show(session: Path) -> None:
    """As ``puremux wire`` does."""
    decoder, printer = Decoder(), Printer(sys.stdout)
    for piece in Recording(session):
        for record in decoder.read(piece):
            printer.show(record)
    for record in decoder.finish():
        printer.show(record)


def main(address: str = "localhost:55678") -> None:
    with tempfile.TemporaryDirectory() as folder:
        session = Path(folder) / "session.jsonl"
        record(address, session)
        show(session)


if __name__ == "__main__":
    main(*sys.argv[1:])
