"""The end-to-end example of OpenCensus's documentation: a small program's spans and metrics, sent to an agent.

Run an agent (``puremux agent`` is one), then ``python examples/end_to_end.py``; Ctrl-C ends it.  Its zPages are at
http://127.0.0.1:9999/debug/ meanwhile.
"""

from __future__ import annotations

import argparse
import random
import time

try:
    from opencensus.metrics.transport import get_exporter_thread
    from opencensus.stats import aggregation, measure, stats, view
    from opencensus.tags import tag_key, tag_map, tag_value
    from opencensus.trace.samplers import AlwaysOnSampler
    from opencensus.trace.tracer import Tracer
except ImportError as error:
    raise SystemExit(
        f"This example needs the opencensus library ({error}):\n"
        "  pip install 'puremux[opencensus]' && pip install --no-deps opencensus"
    ) from None

import puremux
import puremux.zpages

# What is measured, and the tags that it is measured by.

CLIENT = tag_key.TagKey("client")
METHOD = tag_key.TagKey("method")
TAGS = tag_map.TagMap([(METHOD, tag_value.TagValue("repl")), (CLIENT, tag_value.TagValue("cli"))])

LATENCY = measure.MeasureFloat("latency", "The latency in milliseconds", "ms")
LINE_LENGTHS = measure.MeasureInt("line_lengths", "The length of each line", "By")

# How it is summed up.  OpenCensus leaves the lowest bound out when it is 0, since nothing is below.

LATENCY_BOUNDS = [10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10000, 15000]
LENGTH_BOUNDS = [10, 20, 50, 100, 150, 200, 500, 800]

VIEWS = [
    view.View(
        "opdemo/latency",
        "The various latencies of the methods",
        [CLIENT, METHOD],
        LATENCY,
        aggregation.DistributionAggregation(LATENCY_BOUNDS),
    ),
    view.View(
        "opdemo/process_counts",
        "The various counts",
        [CLIENT, METHOD],
        LATENCY,
        aggregation.CountAggregation(),
    ),
    view.View(
        "opdemo/line_lengths",
        "The lengths of the various lines in",
        [CLIENT, METHOD],
        LINE_LENGTHS,
        aggregation.DistributionAggregation(LENGTH_BOUNDS),
    ),
    view.View(
        "opdemo/line_counts",
        "The counts of the lines in",
        [CLIENT, METHOD],
        LINE_LENGTHS,
        aggregation.CountAggregation(),
    ),
]

LONGEST_SLEEP_MS = [17000, 8006, 916, 86, 1172]  # by the clock's seconds, modulo 5


def main() -> None:
    options = read_options()
    exporter = puremux.Exporter(
        options.address, service_name="end-to-end", reconnection_period=5.0, sampler=AlwaysOnSampler()
    )
    zpages = puremux.zpages.serve(options.zpages, exporter)  # to see whether spans and stats leave the program
    print(f"zPages: {zpages.url}")

    for each in VIEWS:
        stats.stats.view_manager.register_view(each)
    reporting = get_exporter_thread([stats.stats], exporter, interval=7.0 if options.real_time else 2.0)

    try:
        while True:
            work(exporter, pace=1.0 if options.real_time else 0.02)
    except KeyboardInterrupt:
        print("Stopping.")
    finally:
        reporting.close()  # reports the views a last time
        exporter.stop()  # delivers what is on its way
        zpages.close()


def work(exporter: puremux.Exporter, pace: float) -> None:
    """Do something that takes its time: one span, one latency, a few lines."""
    started = time.perf_counter()
    tracer = Tracer(sampler=exporter.sampler, exporter=exporter)  # so that zPages and the agent may change it
    with tracer.span(name="Foo") as span:
        longest = LONGEST_SLEEP_MS[int(time.time()) % 5]
        span.add_attribute("longest_sleep_ms", longest)
        time.sleep(random.randint(0, longest) / 1000 * pace)
    latency_ms = (time.perf_counter() - started) * 1000

    for i in range(random.randrange(7)):
        line_length = random.randrange(999)
        measured = stats.stats.stats_recorder.new_measurement_map()
        measured.measure_int_put(LINE_LENGTHS, line_length)
        measured.record(TAGS)
        print(f"#{i}: LineLength: {line_length}By")
    measured = stats.stats.stats_recorder.new_measurement_map()
    measured.measure_float_put(LATENCY, latency_ms)
    measured.record(TAGS)
    print(f"Latency: {latency_ms:.3f}ms")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Sends spans and metrics of a small program to an OpenCensus Agent.")
    parser.add_argument("address", nargs="?", default="localhost:55678", help="the agent's; default: %(default)s")
    parser.add_argument("--real-time", action="store_true", help="sleep as long as the documentation's program does")
    parser.add_argument(
        "--zpages", metavar="PORT", type=int, default=9999, help="0 for any free one; default: %(default)s"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
