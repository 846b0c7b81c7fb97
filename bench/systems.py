"""What is measured side by side: clients as processes of their own, which take turns at one sink."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.interop.harness.collector import Collector
from tests.interop.harness.process import ROOT, built

CLIENTS = ROOT / "bench" / "clients"
PEERS = ROOT / "tests" / "interop" / "pyexporters"
OURS = Path(sys.executable)
BATCH = 500
SETTLING = 1.0  # seconds for the sink to be done with what the last one sent: it shares caches with who comes next

PUREMUX = "puremux"
BARE = "puremux, nothing compiled"
OCAGENT = "opencensus-ext-ocagent"
OTLP = "OpenTelemetry OTLP gRPC"
TRACED = "puremux with opencensus's tracer"
GO = "Go's ocagent with its tracer"


@dataclass
class System:
    """A client that is run again and again."""

    name: str
    command: Sequence[str | Path]
    protocol: str = "opencensus"
    share: float = 1.0
    """Of the spans asked for; slow systems get fewer."""

    path: str = f"{ROOT}{os.pathsep}{CLIENTS}"
    """What it finds beside what its interpreter has installed."""

    rounds: list[dict[str, Any]] = field(default_factory=list)

    def run(self, collector: Collector, spans: int = 0) -> dict[str, Any]:
        """One round; what the client has told."""
        address = collector.address if self.protocol == "opencensus" else collector.otlp_address
        count = str(max(1000, int(spans * self.share) // BATCH * BATCH))
        words = [str(word).format(address=address, spans=count) for word in self.command]
        environment = {**os.environ, "PYTHONPATH": self.path}
        done = subprocess.run(
            words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            raise SystemExit(f"{self.name}: {' '.join(words)} failed:\n{done.stderr[-2000:]}")
        record: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        self.rounds.append(record)
        return record

    def median(self, figure: str) -> float:
        """Of all rounds."""
        return statistics.median(record[figure] for record in self.rounds)

    def spread(self, figure: str, digits: int = 1) -> str:
        """Median, least and most."""
        values = sorted(record[figure] for record in self.rounds)
        least, most = f"{values[0]:.{digits}f}", f"{values[-1]:.{digits}f}"
        return f"{statistics.median(values):.{digits}f} ({least}–{most})"


def take_turns(systems: Sequence[System], collector: Collector, rounds: int, spans: int = 0) -> None:
    """Measure them all, round by round, so that a noisy minute hits each of them."""
    for number in range(rounds):
        for system in systems:
            time.sleep(SETTLING)
            system.run(collector, spans)
            print(f"  round {number + 1} of {rounds}: {system.name}", file=sys.stderr, flush=True)


def pythons() -> dict[str, Path]:
    """The interpreter of each Python library, by its short name."""
    return {
        "puremux": OURS,
        "ocagent": built(".venvs/ocagent/bin/python"),
        "otlp": built(".venvs/otlp/bin/python"),
    }


def ready(python: Path, *words: str) -> list[str | Path]:
    """A client with an exporter alone."""
    return [python, "-W", "ignore", *words, "--address", "{address}", "--spans", "{spans}"]


def exporters() -> list[System]:
    """Exporters alone, on spans that were made before anything is measured."""
    python, ours = pythons(), str(CLIENTS / "puremux_ready.py")
    return [
        System(PUREMUX, ready(OURS, ours)),
        System(BARE, ready(OURS, str(CLIENTS / "without_extensions.py"), ours)),
        System(OCAGENT, ready(python["ocagent"], str(CLIENTS / "ocagent_ready.py")), share=0.2),
        System(OTLP, ready(python["otlp"], str(CLIENTS / "otlp_ready.py")), "otlp", share=0.4),
    ]


def tracers() -> list[System]:
    """Exporters with their own tracers."""
    python = pythons()
    ocagent = [*ready(python["ocagent"], str(PEERS / "ocagent_peer.py")), "--period", "1", "bench"]
    go = [built(".cache/peers/goexporter"), "--address", "{address}", "--spans", "{spans}", "bench"]
    return [
        System(TRACED, ready(OURS, str(CLIENTS / "puremux_tracer.py")), share=0.4),
        System(f"{OCAGENT} with its tracer", ocagent, share=0.2),
        System(
            f"{OTLP} with its tracer",
            [*ready(python["otlp"], str(PEERS / "otlp_peer.py")), "bench"],
            "otlp",
            share=0.4,
        ),
        System(GO, go),
    ]


def by_library(client: str, interpreters: dict[str, Path]) -> list[System]:
    """A client that takes the library's name and an address, and has each library as it is installed."""
    return [
        System(
            library,
            [python, "-W", "ignore", CLIENTS / client, library, "{address}"],
            "otlp" if library == "otlp" else "opencensus",
            path=str(CLIENTS),
        )
        for library, python in interpreters.items()
    ]


def ours(client: str, *words: str) -> System:
    """A client of puremux alone."""
    return System(f"{client} {' '.join(words)}", [*ready_address(OURS, client), *words])


def ready_address(python: Path, client: str) -> list[str | Path]:
    """A client that takes an address and options of its own."""
    return [python, "-W", "ignore", CLIENTS / client, "--address", "{address}"]
