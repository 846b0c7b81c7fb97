"""The documentation's end-to-end program: random work, observed with OpenCensus.

Floor 5, demo: imports opencensus, which is not among puremux's own needs, so this module is imported late.
Source: opencensus.io, "OpenCensus Agent", End to end Example: its measures, tags, views, span name and sleeps.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from opencensus.metrics.transport import get_exporter_thread
from opencensus.stats.aggregation import CountAggregation, DistributionAggregation
from opencensus.stats.measure import MeasureFloat, MeasureInt
from opencensus.stats.stats import stats
from opencensus.stats.view import View
from opencensus.tags.tag_key import TagKey
from opencensus.tags.tag_map import TagMap
from opencensus.tags.tag_value import TagValue
from opencensus.trace.samplers import AlwaysOnSampler
from opencensus.trace.tracer import Tracer

__all__ = ["BRISK", "EVERY_TRACE", "REAL_TIME", "VIEWS", "Program", "SpanLog", "Tempo"]

CLIENT = TagKey("client")
METHOD = TagKey("method")
TAGS = TagMap([(METHOD, TagValue("repl")), (CLIENT, TagValue("cli"))])

LATENCY = MeasureFloat("latency", "The latency in milliseconds", "ms")
LINE_LENGTHS = MeasureInt("line_lengths", "The length of each line", "By")

# The documentation begins both with 0, which every OpenCensus library drops: nothing is below.
LATENCY_BOUNDS = [10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10000, 15000]
LENGTH_BOUNDS = [10, 20, 50, 100, 150, 200, 500, 800]

VIEWS = [
    View(name, description, [CLIENT, METHOD], measure, aggregation)
    for name, description, measure, aggregation in [
        (
            "opdemo/latency",
            "The various latencies of the methods",
            LATENCY,
            DistributionAggregation(LATENCY_BOUNDS),
        ),
        ("opdemo/process_counts", "The various counts", LATENCY, CountAggregation()),
        (
            "opdemo/line_lengths",
            "The lengths of the various lines in",
            LINE_LENGTHS,
            DistributionAggregation(LENGTH_BOUNDS),
        ),
        ("opdemo/line_counts", "The counts of the lines in", LINE_LENGTHS, CountAggregation()),
    ]
]

EVERY_TRACE = AlwaysOnSampler()  # the documentation's, unless somebody changes it in traceconfigz

LONGEST_SLEEP_MS = (17000, 8006, 916, 86, 1172)  # by the clock's seconds, modulo 5

WAIT = 10.0  # seconds for a thread that has been told to end; milliseconds do


@dataclass(frozen=True)
class Tempo:
    """How fast the demo goes."""

    scale: float
    """What the documentation's sleeps are multiplied by."""

    reporting_period: float
    """Seconds between two reports of the views."""

    reconnection_period: float
    """Seconds between two attempts to reach an agent that is away."""


REAL_TIME = Tempo(scale=1.0, reporting_period=7.0, reconnection_period=5.0)
BRISK = Tempo(scale=0.02, reporting_period=2.0, reconnection_period=1.0)


class Target(Protocol):
    """What the program needs of an exporter."""

    def export(self, span_datas: Iterable[Any]) -> None:
        """Take ended spans."""

    def export_metrics(self, metrics: Iterable[Any]) -> None:
        """Take metrics."""


class SpanLog:
    """An OpenCensus exporter that counts the spans, writes each as a line of JSON, and hands them on.

    Args:
        target: the exporter behind.
        log: where the lines go, or None.
    """

    def __init__(self, target: Target, log: TextIO | None) -> None:
        self.ended = 0
        self._target = target
        self._log = log

    def export(self, span_datas: Iterable[Any]) -> None:
        """Take ended spans, on the thread that ended them."""
        spans = list(span_datas)
        if self._log is not None:
            self._log.writelines(json.dumps(_as_json(span)) + "\n" for span in spans)
            self._log.flush()
        self.ended += len(spans)
        self._target.export(spans)

    emit = export


def _as_json(span: Any) -> dict[str, Any]:
    return {
        "trace_id": span.context.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "name": span.name,
        "start_time": span.start_time,
        "end_time": span.end_time,
        "attributes": dict(span.attributes),
    }


class Program:
    """The documentation's loop, on a thread of its own.

    Args:
        exporter: gets the spans and the views.
        sampler: decides which spans are recorded.
        done: ends the loop when it is set, and is set when the loop ends by itself.
        seed: for the same sleeps and lines in each run; None to have the clock decide, as the documentation does.
        most_spans: ends the loop after so many; None for no end.
        log: where each ended span is written as a line of JSON.
    """

    def __init__(
        self,
        exporter: Target,
        tempo: Tempo,
        done: threading.Event,
        *,
        sampler: Any = EVERY_TRACE,
        seed: int | None = None,
        most_spans: int | None = None,
        log: TextIO | None = None,
    ) -> None:
        self.recorded: Counter[str] = Counter({view.name: 0 for view in VIEWS})
        """Measurements by the name of the view that counts them."""
        self.latest_ms = 0.0
        """The newest latency, in milliseconds."""
        self.done = done
        self.error: BaseException | None = None
        """What ended the loop although it should go on."""
        self._exporter = exporter
        self._sampler = sampler
        self._tempo = tempo
        self._random = random.Random(seed)
        self._seeded = seed is not None
        self._slept_ms = 0
        self._most_spans = most_spans
        self._spans = SpanLog(exporter, log)
        self._thread = threading.Thread(target=self._run, name="puremux demo", daemon=True)
        self._reporting: Any = None

    @property
    def ended(self) -> int:
        """Spans ended so far."""
        return self._spans.ended

    @property
    def measurements(self) -> int:
        """Measurements recorded so far."""
        return self.recorded["opdemo/process_counts"] + self.recorded["opdemo/line_counts"]

    def start(self) -> None:
        """Register the views, and begin."""
        for view in VIEWS:
            stats.view_manager.register_view(view)
        self._reporting = get_exporter_thread([stats], self._exporter, interval=self._tempo.reporting_period)
        self._thread.start()

    def stop(self) -> None:
        """End the loop, and report the views a last time, when nothing more is recorded."""
        self.done.set()
        self._thread.join(WAIT)
        self._reporting.cancel()
        self._reporting.join(WAIT)  # an older report must not overtake the last one
        self._exporter.export_metrics(stats.get_metrics())

    def _run(self) -> None:
        try:
            while not self.done.is_set() and self.ended != self._most_spans:
                self._work()
        except Exception as error:  # noqa: BLE001  # told by who started us: this thread has nobody to raise to
            self.error = error
        finally:
            self.done.set()

    def _work(self) -> None:
        started = time.perf_counter()
        tracer = Tracer(sampler=self._sampler, exporter=self._spans)
        with tracer.span(name="Foo") as span:
            sleep_ms = self._next_sleep_ms(span)
            self.done.wait(sleep_ms / 1000 * self._tempo.scale)
        self.latest_ms = (time.perf_counter() - started) * 1000
        for _ in range(self._random.randrange(7)):
            self._record_line(self._random.randrange(999))
        self._record_latency(self.latest_ms)

    def _next_sleep_ms(self, span: Any) -> int:
        seconds = self._slept_ms // 1000 if self._seeded else int(time.time())
        modulus = seconds % 5
        sleep_ms = self._random.randint(0, LONGEST_SLEEP_MS[modulus])
        self._slept_ms += sleep_ms
        span.add_attribute("method", "repl")
        span.add_attribute("modulus", modulus)
        span.add_attribute("sleep_ms", sleep_ms * self._tempo.scale)
        span.add_attribute("scaled", self._tempo.scale != 1.0)
        return sleep_ms

    def _record_latency(self, latency_ms: float) -> None:
        measured = stats.stats_recorder.new_measurement_map()
        measured.measure_float_put(LATENCY, latency_ms)
        measured.record(TAGS)
        self.recorded.update(("opdemo/latency", "opdemo/process_counts"))

    def _record_line(self, length: int) -> None:
        measured = stats.stats_recorder.new_measurement_map()
        measured.measure_int_put(LINE_LENGTHS, length)
        measured.record(TAGS)
        self.recorded.update(("opdemo/line_lengths", "opdemo/line_counts"))
