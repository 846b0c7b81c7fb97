"""The restart experiment, three times as short as bench/restart.py has it: nothing is lost, and little is doubled."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.restart import experiment

SPANS_A_SECOND = 500


@pytest.mark.parametrize(
    "agent, variant, seconds_doubled",
    [
        pytest.param("Collector", "kill", 4, id="real agent killed"),
        pytest.param("Collector", "term", 4, id="real agent told to end"),
        pytest.param("Collector", "freeze", 8, id="real agent frozen"),
        pytest.param("Collector", "moody", 1, id="connections that end politely"),
        pytest.param("Collector", "disk", 8, id="every export refused at first"),
        pytest.param("an agent of the tests", "busy", 4, id="agent without room"),
        pytest.param("puremux agent", "kill", 4, id="our agent killed"),
        pytest.param("puremux agent", "freeze", 8, id="our agent frozen"),
    ],
)
def test_nothing_is_lost(agent: str, variant: str, seconds_doubled: float, tmp_path: Path) -> None:
    outcome = experiment("puremux", agent, variant, tmp_path, scale=1 / 3)
    assert outcome.ended > 100
    assert (outcome.lost, outcome.dropped) == (0, {}), outcome.stats
    assert outcome.stats["confirmed"] == outcome.stats["accepted"] == outcome.ended
    if variant != "freeze":  # which is over before it would be noticed
        happened = outcome.stats["last_error"] or outcome.stats["reconnects"]
        assert happened, "the agent was not in use when it happened"
    assert outcome.doubled <= seconds_doubled * SPANS_A_SECOND, outcome.stats
