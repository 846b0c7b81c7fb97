"""The real agent: an OpenTelemetry Collector with the OpenCensus receiver, from tests/interop/collector/."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from string import Template
from types import TracebackType

from .process import ROOT, Process, built, free_port, is_listening
from .prometheus import Sample, read_page
from .received import Point, Received, Span

__all__ = ["Collector"]

SOURCES = ROOT / "tests" / "interop" / "collector"
PORTS = ("opencensus", "otlp", "prometheus", "zpages", "full")


class Collector:
    """A Collector that is started at once, keeps its ports through restarts and ends with the ``with`` block.

    Args:
        config: Which one: ``"all"``, ``"files"``, ``"sink"`` or ``"moody"``; they lie beside the Collector's source.
        folder: Where its configuration, its log and what it received lie.
    """

    def __init__(self, config: str, folder: Path) -> None:
        self.ports = {name: free_port() for name in PORTS}
        self.folder = folder
        self._received = Received(folder / "received.jsonl")
        template = Template((SOURCES / f"{config}.yaml").read_text())
        (folder / "config.yaml").write_text(template.substitute(self.ports, folder=folder))
        self.process = self._start()

    def _start(self) -> Process:
        command = [str(built(".cache/peers/otelcol-oc")), "--config", "config.yaml"]
        return Process(command, self.folder, ready=lambda: is_listening(self.ports["opencensus"]))

    @property
    def address(self) -> str:
        """Where it takes OpenCensus."""
        return f"127.0.0.1:{self.ports['opencensus']}"

    @property
    def full_address(self) -> str:
        """With ``moody``: where every export fails, since the disk is full."""
        return f"127.0.0.1:{self.ports['full']}"

    @property
    def otlp_address(self) -> str:
        """Where it takes OTLP over gRPC."""
        return f"127.0.0.1:{self.ports['otlp']}"

    def start(self) -> None:
        """Start it again, on the same ports; what it received before is still there."""
        assert self.process.has_ended(), "it still runs"
        self.process = self._start()

    def stop(self) -> None:
        """SIGTERM: it closes its connections without a word."""
        self.process.stop()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Freeze it: connections stay open, nothing is read."""
        self.process.pause()

    def resume(self) -> None:
        """Let it go on."""
        self.process.resume()

    def spans(self) -> list[Span]:
        """Every span that it wrote to its file, in the order of arrival, doubled ones too."""
        return self._received.spans()

    def points(self) -> list[Point]:
        """Every point of every metric that it wrote to its file, in the order of arrival."""
        return self._received.points()

    def page(self) -> str:
        """With ``all``: the page that a Prometheus scrapes."""
        url = f"http://127.0.0.1:{self.ports['prometheus']}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return str(answer.read().decode())

    def samples(self) -> list[Sample]:
        """With ``all``: what stands on that page."""
        return read_page(self.page())

    def __enter__(self) -> Collector:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
