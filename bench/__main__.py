"""``make bench``: puremux beside its peers, the same spans, the same sink, one run, one table.

    python -m bench [--rounds N] [--spans N] [--quick] [--write]

The sink is the OpenTelemetry Collector with the OpenCensus receiver, in another process, discarding what it gets.  What
is measured is the client's process alone.  The machine may be noisy: read the ratios, which come from rounds in which
the systems take turns.  ``--write`` puts the table and the chart into docs/reference/.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.interop.harness.collector import Collector
from tests.interop.harness.process import ROOT, built

CLIENTS = ROOT / "bench" / "clients"
PEERS = ROOT / "tests" / "interop" / "pyexporters"
OURS = Path(sys.executable)
PURE = {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}  # h2, hpack and puremux have no extensions at all


@dataclass
class System:
    """One row of the table."""

    name: str
    command: list[str]
    protocol: str = "opencensus"
    share: float = 1.0
    """Of the spans asked for; slow systems get fewer."""

    environment: dict[str, str] = field(default_factory=dict)
    reads_stdin: bool = False
    rounds: list[dict[str, Any]] = field(default_factory=list)

    def run(self, collector: Collector, spans: int) -> dict[str, Any]:
        """One round."""
        address = collector.address if self.protocol == "opencensus" else collector.otlp_address
        count = str(max(1000, int(spans * self.share) // 500 * 500))
        words = [word.format(address=address, spans=count) for word in self.command]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{CLIENTS}", **self.environment}
        done = subprocess.run(
            words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False
        )
        if done.returncode:
            raise SystemExit(f"{self.name}: {' '.join(words)} failed:\n{done.stderr[-2000:]}")
        record: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        self.rounds.append(record)
        return record

    def median(self, figure: str) -> float:
        return statistics.median(record[figure] for record in self.rounds)

    def spread(self, figure: str) -> str:
        values = sorted(record[figure] for record in self.rounds)
        return f"{statistics.median(values):.1f} ({values[0]:.1f}–{values[-1]:.1f})"


def ready(python: str, script: str) -> list[str]:
    """A client with an exporter alone."""
    return [python, str(CLIENTS / script), "--address", "{address}", "--spans", "{spans}"]


def peer(python: str, script: str) -> list[str]:
    """A peer with its own tracer."""
    return [python, "-W", "ignore", str(PEERS / script), "--address", "{address}", "--spans", "{spans}", "bench"]


def systems() -> tuple[list[System], list[System]]:
    """Exporters alone, and exporters with their tracers."""
    ocagent, otlp = str(built(".venvs/ocagent/bin/python")), str(built(".venvs/otlp/bin/python"))
    go = str(built(".cache/peers/goexporter"))
    alone = [
        System("puremux", ready(str(OURS), "puremux_ready.py")),
        System("puremux, no C extension at all", ready(str(OURS), "puremux_ready.py"), environment=PURE),
        System("opencensus-ext-ocagent", ready(ocagent, "ocagent_ready.py"), share=0.2),
        System("OpenTelemetry OTLP gRPC", ready(otlp, "otlp_ready.py"), "otlp", share=0.4),
    ]
    traced = [
        System("puremux with opencensus's tracer", ready(str(OURS), "puremux_tracer.py"), share=0.4),
        System("opencensus-ext-ocagent with its tracer", peer(ocagent, "ocagent_peer.py"), share=0.2),
        System("OpenTelemetry OTLP gRPC with its tracer", peer(otlp, "otlp_peer.py"), "otlp", share=0.4),
        System("Go's ocagent with its tracer", [go, "--address", "{address}", "--spans", "{spans}", "bench"]),
    ]
    return alone, traced


def starting(collector: Collector, rounds: int) -> list[list[str]]:
    """What importing and making an exporter costs."""
    rows = []
    pythons = {"puremux": OURS, "ocagent": built(".venvs/ocagent/bin/python"), "otlp": built(".venvs/otlp/bin/python")}
    for library, python in pythons.items():
        address = collector.otlp_address if library == "otlp" else collector.address
        system = System(library, [str(python), "-W", "ignore", str(CLIENTS / "starting.py"), library, address])
        for _ in range(rounds):
            system.run(collector, 1000)
        rows.append([library, f"{system.median('start_s'):.2f} s", f"{system.median('start_mib'):.1f} MiB"])
    return rows


def installed_sizes() -> list[list[str]]:
    """Megabytes on disk of each library with what it needs, pip and setuptools left out."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [str(OURS), "-m", "pip", "install", "--quiet", "--target", folder, str(ROOT)]
        subprocess.run(pip, check=True, stdout=subprocess.DEVNULL)
        rows = [["puremux, h2, hpack, protobuf", _megabytes(Path(folder))]]
    for name in ("ocagent", "otlp"):
        packages = next((ROOT / ".venvs" / name / "lib").glob("python3*/site-packages"))
        rows.append([name, _megabytes(packages)])
    return rows


def _megabytes(folder: Path) -> str:
    skipped = ("pip", "setuptools", "_distutils_hack", "pkg_resources")
    files = (
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(skipped) and path.suffix != ".pyc"
    )
    return f"{sum(path.stat().st_size for path in files) / 1e6:.1f} MB"


def measure(rows: list[System], collector: Collector, rounds: int, spans: int) -> None:
    """Let the systems take turns."""
    for number in range(rounds):
        for system in rows:
            record = system.run(collector, spans)
            print(f"  round {number + 1}: {system.name}: {record['cpu_us_per_span']:.1f} µs/span", file=sys.stderr)


def table(rows: list[System]) -> list[list[str]]:
    """Figures of the systems, and how many times what the first one takes each of them takes."""
    least = rows[0].median("cpu_us_per_span")
    return [
        [
            system.name,
            system.spread("cpu_us_per_span"),
            f"{system.median('cpu_us_per_span') / least:.1f}×",
            f"{system.median('spans_per_second'):,.0f}",
            f"{system.median('peak_memory_mib'):.0f} MiB",
        ]
        for system in rows
    ]


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine() -> str:
    """Where the figures come from."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    return (
        f"{os.cpu_count()} cores, {model}, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--spans", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="one round, few spans: does it run?")
    parser.add_argument("--write", action="store_true", help="write docs/reference/benchmarks.md and its chart")
    asked = parser.parse_args()
    rounds, spans = (1, 5_000) if asked.quick else (asked.rounds, asked.spans)
    alone, traced = systems()
    with tempfile.TemporaryDirectory() as folder, Collector("sink", Path(folder)) as collector:
        measure([*alone, *traced], collector, rounds, spans)
        started = starting(collector, rounds)
    head = ["system", "CPU µs a span: median (least–most)", "ratio", "spans/s", "peak memory"]
    parts = [
        f"Measured by `make bench` on {machine()}; {rounds} rounds, the systems taking turns.",
        "## Exporters alone, ready spans, batches of 500",
        markdown(head, table(alone)),
        "## With each library's tracer making the spans",
        markdown(head, table(traced)),
        "## Import, and a started exporter",
        markdown(["library", "time", "memory"], started),
        "## On disk",
        markdown(["installed", "size"], installed_sizes()),
    ]
    text = "\n\n".join(parts) + "\n"
    print(text)
    if asked.write:
        from bench.chart import draw

        folder = ROOT / "docs" / "reference"
        (folder / "benchmarks.md").write_text(f"# Benchmarks\n\n{text}\n![CPU time a span](benchmarks.svg)\n")
        draw({system.name: system.median("cpu_us_per_span") for system in [*alone, *traced]}, folder / "benchmarks.svg")


if __name__ == "__main__":
    main()
