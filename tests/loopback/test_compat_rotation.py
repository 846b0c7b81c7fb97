"""Agents that go politely, and agents that go again and again: what they have read is not sent to them twice."""

from __future__ import annotations

import pytest

from puremux.exporter import Exporter, Pace
from tests.loopback.exporters import exporter_to
from tests.shared.scripted_agent import ScriptedAgent
from tests.shared.span_data import spans
from tests.shared.waiting import eventually

SLOW = Pace(rotate_after=60.0)


def test_a_goaway_has_the_stream_half_closed_at_once() -> None:
    agent = ScriptedAgent()
    with exporter_to(agent, pace=SLOW) as exporter:
        exporter.export(spans(10))
        agent.wait_for_spans(10)
        agent.server.stop(5.0)  # GOAWAY first
        eventually(lambda: exporter.stats()["confirmed"] == 10, 10)
        again = ScriptedAgent(agent.address)
        exporter.export(spans(10, "later"))
        assert exporter.flush(10)
        assert (exporter.stats()["confirmed"], exporter.stats()["replayed"]) == (20, 0)
    again.stop()


def test_a_proxy_that_nobody_can_read_does_not_matter_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "ftp://::::")
    Exporter("127.0.0.1:1", start=False).stop()
