"""The demo, and agents and a Prometheus that others wrote: what was recorded is what they have, value by value."""

from __future__ import annotations

import json
import re
from calendar import timegm
from collections.abc import Callable
from pathlib import Path
from time import strptime
from typing import Any

from tests.shared.programs import LIMIT, PUREMUX, Running
from tests.shared.waiting import eventually

from .harness.collector import Collector
from .harness.process import free_port
from .harness.prometheus import Prometheus, Sample
from .harness.received import Distribution, Span

LATENCY_BOUNDS = [10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10000, 15000]
LENGTH_BOUNDS = [10, 20, 50, 100, 150, 200, 500, 800]
DISTRIBUTIONS = {"opdemo/latency": ("ms", LATENCY_BOUNDS), "opdemo/line_lengths": ("By", LENGTH_BOUNDS)}
COUNTS = {"opdemo/process_counts", "opdemo/line_counts"}
COUNT_NAMES = {
    "opdemo/latency": "opdemo_latency_milliseconds_count",
    "opdemo/line_lengths": "opdemo_line_lengths_bytes_count",
    "opdemo/process_counts": "opdemo_process_counts_milliseconds_total",
    "opdemo/line_counts": "opdemo_line_counts_bytes_total",
}
"""What the views' counts are called on a page, the Collector's or ours."""
TAGS = {"client": "cli", "method": "repl"}


def recorded(demo: Running) -> dict[str, int]:
    """Measurements by view, from the closing lines."""
    found = re.findall(r"^(opdemo/\w+): (\d+) recorded", demo.output, re.MULTILINE)
    assert len(found) == 4, demo.output
    return {view: int(count) for view, count in found}


def run_demo(agent: Collector, log: Path) -> Running:
    """Run the demo against an agent, until it ends."""
    with Running([*PUREMUX, "demo", "--agent", agent.address, "--duration", "5", "--spans-log", log]) as demo:
        assert demo.finish(2 * LIMIT) == 0, demo.output
    return demo


def ended_spans(log: Path) -> list[dict[str, Any]]:
    """What the demo wrote about the spans that it ended."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def nanoseconds(time: str) -> int:
    """OpenCensus's times, such as ``2026-11-23T22:21:45.859112Z``, since 1970."""
    seconds, fraction = time.rstrip("Z").split(".")
    return timegm(strptime(seconds, "%Y-%m-%dT%H:%M:%S")) * 10**9 + int(fraction.ljust(9, "0"))


def test_every_span_is_in_the_collectors_file(collector: Callable[..., Collector], tmp_path: Path) -> None:
    agent = collector("all")
    demo = run_demo(agent, tmp_path / "log")
    ended = ended_spans(tmp_path / "log")
    got = {span.span_id: span for span in agent.spans()}
    assert len(agent.spans()) == len(got) == len(ended) > 0
    assert f"spans: {len(ended)} ended = {len(ended)} confirmed" in demo.lines
    for span in ended:
        assert_equal(got[span["span_id"]], span)


def assert_equal(got: Span, ended: dict[str, Any]) -> None:
    """A span arrived as it was ended."""
    assert (got.trace_id, got.span_id, got.name) == (ended["trace_id"], ended["span_id"], "Foo")
    assert (got.name, got.parent_span_id) == (ended["name"], ended["parent_span_id"] or "")
    assert (got.start, got.end) == (nanoseconds(ended["start_time"]), nanoseconds(ended["end_time"]))
    assert got.attributes == ended["attributes"]
    assert {name: type(value) for name, value in got.attributes.items()} == {
        "method": str,
        "modulus": int,
        "sleep_ms": float,
        "scaled": bool,
    }
    assert got.resource["service.name"] == "puremux-demo"
    assert (got.status, got.events, got.links, got.dropped) == ((0, ""), [], [], (0, 0, 0))


def test_the_views_are_in_the_collectors_file_and_on_its_page(
    collector: Callable[..., Collector], tmp_path: Path
) -> None:
    agent = collector("all")
    counts = recorded(run_demo(agent, tmp_path / "log"))
    last = {point.metric: point for point in agent.points()}
    assert set(last) == set(counts)
    for view, point in last.items():
        assert point.labels == TAGS
        if view in COUNTS:
            assert (point.kind, point.value) == ("sum", counts[view])
        else:
            assert isinstance(point.value, Distribution)
            unit, bounds = DISTRIBUTIONS[view]
            assert (point.unit, point.value.bounds, point.value.count) == (unit, bounds, counts[view])
            assert sum(point.value.bucket_counts) == counts[view]
    lasted = sum(span.end - span.start for span in agent.spans()) / 1e6
    latencies = last["opdemo/latency"].value
    assert isinstance(latencies, Distribution)
    assert latencies.sum >= lasted * 0.99, "a latency is measured around its span"
    assert_page(agent.samples(), counts, {view: point.value for view, point in last.items()})


def assert_page(samples: list[Sample], counts: dict[str, int], values: dict[str, Any]) -> None:
    """The Collector's page shows the views' values under its own names for them."""
    page = {sample.name: sample for sample in samples if "bucket" not in sample.name}
    expected = {
        "opdemo_latency_milliseconds_sum": values["opdemo/latency"].sum,
        "opdemo_line_lengths_bytes_sum": values["opdemo/line_lengths"].sum,
        **{name: counts[view] for view, name in COUNT_NAMES.items()},
    }
    assert {name: page[name].value for name in expected} == expected
    for name in expected:
        assert TAGS.items() <= page[name].labels.items()
        assert page[name].labels["service_name"] == "puremux-demo"


def test_a_prometheus_scrapes_the_demos_embedded_agent(prometheus: Callable[..., Prometheus]) -> None:
    page = f"127.0.0.1:{free_port()}"
    with Running([*PUREMUX, "demo", "--prometheus", page]) as demo:
        demo.wait_for(re.escape(f"http://{page}"))
        server = prometheus(page)
        first = eventually(lambda: answers(server), LIMIT, "Prometheus knows the four views")
        later = eventually(lambda: grown(first, answers(server)), LIMIT, "they grow")
        demo.interrupt()
        assert demo.finish() == 0, demo.output
    counts = recorded(demo)
    assert all(0 < first[view] < later[view] <= counts[view] for view in counts)


def answers(server: Prometheus) -> dict[str, float]:
    """The count of each view, as a Prometheus tells it."""
    found = {}
    for view, name in COUNT_NAMES.items():
        samples = server.query(name)
        assert len(samples) == 1, f"{name}: {samples}"
        assert {**TAGS, "service_name": "puremux-demo"}.items() <= samples[0].labels.items()
        found[view] = samples[0].value
    return found


def grown(before: dict[str, float], now: dict[str, float]) -> dict[str, float]:
    """What it tells now, once every count has grown."""
    assert all(count > before[view] for view, count in now.items())
    return now
