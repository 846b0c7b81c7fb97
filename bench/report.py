"""The benchmark's report, in Markdown: goals first, then every table that they come from."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.growth import Growth, Line
from bench.systems import BARE, GO, OCAGENT, OTLP, PUREMUX, TRACED, System

NAMES = {"puremux": "puremux, h2, hpack, protobuf", "ocagent": OCAGENT, "otlp": OTLP}
PEERS = ("ocagent", "otlp")
CPU = "cpu_us_per_span"


@dataclass
class Report:
    """All that one run has measured."""

    rounds: int
    spans: int
    alone: Sequence[System]
    traced: Sequence[System]
    starting: Sequence[System]
    first: Sequence[System]
    handing: Sequence[System]
    on_disk: dict[str, float]
    growth: Growth

    def text(self) -> str:
        """The whole report."""
        return "\n\n".join([self._head(), *self._sections()]) + "\n"

    def cpu_by_system(self) -> dict[str, float]:
        """For the chart: microseconds a span."""
        return {system.name: system.median(CPU) for system in [*self.alone, *self.traced]}

    def _head(self) -> str:
        return (
            f"Measured by `make bench` on {machine()}: {self.rounds} rounds in which the systems took turns, up to"
            f" {self.spans:,} spans each; medians, with the least and the most.  CPU is that of the client's process"
            " alone, all its threads, from the first span until the sink had the last."
        )

    def _sections(self) -> list[str]:
        attributes, by_attribute = self.growth.by_attributes()
        series, by_series = self.growth.by_series()
        line = "A line through these: {:.1f} µs, and {:.2f} µs for each {} (R² {:.4f}).".format
        return [
            "## What was to be reached",
            table(["goal", "measured", ""], self._goals(by_attribute, by_series)),
            "## Exporters alone, ready spans, batches of 500",
            table(SYSTEM_HEAD, self._systems(self.alone, PUREMUX)),
            "## With each library's tracer making the spans",
            table(SYSTEM_HEAD, self._systems(self.traced, TRACED)),
            "## Handing an ended span over, on the application's thread",
            ABOUT_HANDING,
            table(HANDING_HEAD, [self._handing(system) for system in self.handing]),
            "## Import, and a started exporter",
            table(["library", "time", "CPU", "memory", "on disk"], [self._start(system) for system in self.starting]),
            ABOUT_FIRST,
            table(["library", "time", "CPU"], [self._first(system) for system in self.first]),
            "## Growth",
            table(["spans a batch", "CPU µs a span"], self.growth.by_batch()),
            ABOUT_ATTRIBUTES,
            table(["attributes a span", "CPU µs a span"], attributes),
            line(by_attribute.start, by_attribute.slope, "attribute", by_attribute.fit),
            table(["time series of a view", "CPU an export, proven", "CPU µs a series"], series),
            line(by_series.start, by_series.slope, "series", by_series.fit),
            "## 100,000 spans a second offered",
            ABOUT_OFFERS,
            table(OFFER_HEAD, self.growth.by_queue()),
        ]

    # Goals

    def _goals(self, by_attribute: Line, by_series: Line) -> list[list[str]]:
        cpu = self.cpu_by_system()
        ours = cpu[PUREMUX]
        rows = [
            at_least("CPU a span, times less than opencensus-ext-ocagent", 10, cpu[OCAGENT] / ours),
            at_least("CPU a span, times less than OTLP gRPC", 5, cpu[OTLP] / ours),
            at_most("CPU a span with nothing compiled, times our own", 1.2, cpu[BARE] / ours),
            at_least("CPU a span, times less than Go's exporter with its tracer", 1, cpu[GO] / ours),
            at_least("linear in attributes: R²", 0.99, by_attribute.fit, 3),
            at_least("linear in time series: R²", 0.99, by_series.fit, 3),
        ]
        return [*rows, *self._goals_of_the_application(), *self._goals_of_the_start()]

    def _goals_of_the_application(self) -> list[list[str]]:
        ours = self.handing[0]
        rows = []
        for way, name in (("in_a_row", "in a row"), ("apart", "apart")):
            median, most = ours.median(f"{way} p50"), ours.median(f"{way} p99")
            rows.append(at_most(f"`export()` {name}: p50, µs", 2, median, 2))
            rows.append(at_most(f"`export()` {name}: p99, times p50", 10, most / median))
        return rows

    def _goals_of_the_start(self) -> list[list[str]]:
        started = {system.name: system for system in self.starting}
        rows = [at_most("on disk, MB", 5, self.on_disk["puremux"])]
        for figure, name in (("start_s", "time"), ("start_cpu_s", "CPU"), ("start_mib", "memory")):
            for peer in PEERS:
                share = started["puremux"].median(figure) / started[peer].median(figure)
                rows.append(at_most(f"{name} to import and start, share of {NAMES[peer]}'s", 0.5, share, 2))
        return rows

    # Rows

    def _systems(self, systems: Sequence[System], first: str) -> list[list[str]]:
        least = next(system.median(CPU) for system in systems if system.name == first)
        return [
            [
                system.name,
                system.spread(CPU),
                f"{system.median(CPU) / least:.1f}×",
                f"{system.median('spans_per_second'):,.0f}",
                f"{system.median('peak_memory_mib'):.0f} MiB",
            ]
            for system in systems
        ]

    def _handing(self, system: System) -> list[str]:
        figures = [f"{way} {figure}" for way in ("in_a_row", "apart") for figure in ("p50", "p99", "nothing")]
        return [CALLS[system.name], *(f"{system.median(figure):.1f} µs" for figure in figures)]

    def _start(self, system: System) -> list[str]:
        return [
            NAMES[system.name],
            f"{system.spread('start_s', 2)} s",
            f"{system.spread('start_cpu_s', 2)} s",
            f"{system.spread('start_mib')} MiB",
            f"{self.on_disk[system.name]:.1f} MB",
        ]

    def _first(self, system: System) -> list[str]:
        return [NAMES[system.name], *(f"{system.spread(figure, 2)} s" for figure in ("seconds", "cpu_seconds"))]


ABOUT_FIRST = (
    "Libraries put things off until they are needed; puremux loads h2 on its own thread, when it connects.  So here is"
    " also all of it, from the import until the first span is proven to have arrived; each library's tracer had been"
    " loaded before."
)
ABOUT_HANDING = (
    "In a row, the processor's caches hold what a call needs; half a millisecond apart, they hold little of it."
    "  *Measuring* is what a function that does nothing takes, and part of the other figures."
)
ABOUT_ATTRIBUTES = (
    "Attributes of one kind, texts of ten values for each key, so that only their number differs; in turns within one"
    " process."
)
ABOUT_OFFERS = (
    "Each an object of its own, for five seconds: more than can be encoded beside the making.  The queue is full most"
    " of the time, the oldest spans make room, and each is confirmed or counted as dropped."
)
OFFER_HEAD = ["queue", "offered a second", "confirmed a second", "dropped", "memory, MiB more"]
SYSTEM_HEAD = ["system", "CPU µs a span", "times the first", "spans/s", "peak memory"]
HANDING_HEAD = ["call", "in a row: p50", "p99", "measuring", "apart: p50", "p99", "measuring"]

CALLS = {
    "puremux": "puremux, `export`",
    "ocagent": "opencensus-ext-ocagent, `export` with AsyncTransport",
    "otlp": "OpenTelemetry, `BatchSpanProcessor.on_end`",
}


def at_least(goal: str, bound: float, figure: float, digits: int = 1) -> list[str]:
    """A goal that is met by much."""
    return [f"{goal}: at least {bound:g}", f"{figure:.{digits}f}", "met" if figure >= bound else "**not met**"]


def at_most(goal: str, bound: float, figure: float, digits: int = 1) -> list[str]:
    """A goal that is met by little."""
    return [f"{goal}: at most {bound:g}", f"{figure:.{digits}f}", "met" if figure <= bound else "**not met**"]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine() -> str:
    """Where the figures come from."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.processor())
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return (
        f"{os.cpu_count()} cores ({model}), {pages * size / 2**30:.0f} GiB, {platform.system()} {platform.release()},"
        f" CPython {platform.python_version()}"
    )
