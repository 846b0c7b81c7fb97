"""A latency, as a distribution, sent to an agent each second.  Usage: python examples/first_metrics.py [ADDRESS]"""

from __future__ import annotations

import sys
import time

from opencensus.metrics.transport import get_exporter_thread
from opencensus.stats import aggregation, measure, stats, view
from opencensus.trace.samplers import AlwaysOnSampler
from opencensus.trace.tracer import Tracer

import puremux

LATENCY = measure.MeasureFloat("latency", "how long a coffee takes", "ms")
VIEW = view.View("latency", "how long a coffee takes", [], LATENCY, aggregation.DistributionAggregation([1, 5, 20]))
stats.stats.view_manager.register_view(VIEW)

with puremux.Exporter(*sys.argv[1:], service_name="breakfast") as exporter:
    reporting = get_exporter_thread([stats.stats], exporter, interval=1.0)
    tracer = Tracer(exporter=exporter, sampler=AlwaysOnSampler())
    for _ in range(3):
        began = time.perf_counter()
        with tracer.span("coffee"):
            time.sleep(0.003)
        measured = stats.stats.stats_recorder.new_measurement_map()
        measured.measure_float_put(LATENCY, (time.perf_counter() - began) * 1000)
        measured.record()
    reporting.close()  # reports the view a last time

print(exporter.stats()["confirmed"], "spans and", exporter.stats()["metrics"]["confirmed"], "metrics are at the agent")
