"""What a library costs before it does anything: ``starting.py puremux|ocagent|otlp HOST:PORT``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def resident_mib() -> float:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def start(library: str, address: str) -> object:
    if library == "puremux":
        import puremux

        return puremux.Exporter(address, service_name="bench")
    if library == "ocagent":
        from opencensus.ext.ocagent.trace_exporter import TraceExporter

        return TraceExporter("bench", endpoint=address)
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=address, insecure=True)


def main() -> None:
    library, address = sys.argv[1:]
    memory, begin, cpu = resident_mib(), time.perf_counter(), time.process_time()
    exporter = start(library, address)
    record = {
        "start_s": time.perf_counter() - begin,
        "start_cpu_s": time.process_time() - cpu,
        "start_mib": resident_mib() - memory,
    }
    print(json.dumps(record), flush=True)
    stop = getattr(exporter, "stop", None) or getattr(exporter, "shutdown", None)
    if stop is not None:
        stop()


if __name__ == "__main__":
    main()
