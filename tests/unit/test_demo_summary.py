"""The demo's figures: what counts as complete, and how it is told."""

from __future__ import annotations

import dataclasses
import io

import pytest

from puremux.demo.screen import LINE_PERIOD
from puremux.demo.summary import Flow, Snapshot, Summary
from puremux.screen import PlainScreen

ALL_SPANS = Flow(accepted=5, sent=5, replayed=0, confirmed=5, dropped={})
ALL_METRICS = Flow(accepted=8, sent=8, replayed=0, confirmed=8, dropped={})
COMPLETE = Summary(
    spans_ended=5,
    spans=ALL_SPANS,
    metrics=ALL_METRICS,
    recorded={"opdemo/latency": 5},
    received_spans=5,
    received={"opdemo/latency": 5},
)
LOST_SPAN = Flow(accepted=5, sent=5, replayed=0, confirmed=4, dropped={"the exporter was stopped": 1})
LOST_METRIC = dataclasses.replace(ALL_METRICS, confirmed=7)


@pytest.mark.parametrize(
    "change, complete, told",
    [
        pytest.param({}, True, "spans: 5 ended = 5 confirmed = 5 at the agent", id="all of it"),
        pytest.param(
            {"received_spans": None, "received": None}, True, "spans: 5 ended = 5 confirmed\n", id="another's agent"
        ),
        pytest.param(
            {"spans": dataclasses.replace(ALL_SPANS, replayed=3)},
            True,
            "(3 were sent again after a break)",
            id="replay",
        ),
        pytest.param(
            {"spans": LOST_SPAN}, False, "1 spans (dropped: 1 (the exporter was stopped: 1))", id="a lost span"
        ),
        pytest.param(
            {"spans": LOST_SPAN}, False, "5 ended != 4 confirmed != 5 at the agent", id="the lost span's line"
        ),
        pytest.param({"metrics": LOST_METRIC}, False, "0 spans (dropped: 0), 1 metrics", id="a lost metric"),
        pytest.param({"received_spans": 6}, False, "= 5 confirmed != 6 at the agent", id="a span too many"),
        pytest.param(
            {"received_spans": 4}, False, "does not have the same figures", id="a span the agent does not have"
        ),
        pytest.param(
            {"received": {"opdemo/latency": 4}},
            False,
            "opdemo/latency: 5 recorded != 4 at the agent",
            id="a view behind",
        ),
        pytest.param({"received": {}}, False, "opdemo/latency: 5 recorded != 0 at the agent", id="a view missing"),
    ],
)
def test_a_summary(change: dict[str, object], complete: bool, told: str) -> None:
    summary = dataclasses.replace(COMPLETE, **change)  # type: ignore[arg-type]  # fields of many types
    assert summary.is_complete is complete
    assert told in summary.as_text()
    assert ("Nothing was lost." in summary.as_text()) is complete


def snapshot(seconds: float, **change: object) -> Snapshot:
    usual = Snapshot(
        seconds=seconds,
        spans_ended=7,
        measurements=20,
        latest_ms=1.25,
        spans=ALL_SPANS,
        metrics=ALL_METRICS,
        state="ready",
        reconnects=0,
        last_error=None,
    )
    return dataclasses.replace(usual, **change)  # type: ignore[arg-type]


def test_a_line_tells_how_things_stand() -> None:
    again = dataclasses.replace(LOST_SPAN, replayed=2)
    assert snapshot(3.2, spans=again).as_line() == (
        "   3 s  ready: spans 7 ended, 5 sent (2 of them again), 4 confirmed, 1 (the exporter was stopped: 1) dropped;"
        " metrics 8 sent, 8 confirmed"
    )


@pytest.mark.parametrize(
    "state, error, caption",
    [
        pytest.param("ready", "it was refused", "latest: 1.250 ms; reconnects: 0", id="all is well again"),
        pytest.param(
            "transient failure", "it was refused", "latest: 1.250 ms; reconnects: 0; it was refused", id="away"
        ),
        pytest.param("connecting", None, "latest: 1.250 ms; reconnects: 0", id="at the start"),
    ],
)
def test_the_last_error_is_told_while_the_agent_is_away(state: str, error: str | None, caption: str) -> None:
    assert snapshot(1.0, state=state, last_error=error).caption() == caption


def test_plain_lines_come_once_a_second() -> None:
    output, seconds = io.StringIO(), [0.0]
    screen = PlainScreen(output, LINE_PERIOD, clock=lambda: seconds[0])
    for quarters in range(13):
        seconds[0] = quarters / 4
        screen.show(lambda: snapshot(seconds[0]))
    assert [line.split(" s ")[0].strip() for line in output.getvalue().splitlines()] == ["1", "2", "3"]
