"""The agent between exporters and agents that others wrote: what goes in comes out, with who sent it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from puremux import Exporter
from puremux.agent import Agent
from tests.shared.agent_messages import node, resource, span, spans_request
from tests.shared.waiting import eventually

from .harness.collector import Collector
from .harness.exporters import Exporting

ARRIVING = 20.0

StartAgent = Callable[..., Agent]


@pytest.fixture
def start_agent(ending: ExitStack) -> StartAgent:
    """``start_agent(forward=address)``: an agent of ours."""
    return lambda **options: ending.enter_context(Agent("127.0.0.1:0", **options))


def test_gos_exporter_reaches_the_collector_through_it(
    collector: Callable[..., Collector], go_exporter: Callable[..., Exporting], start_agent: StartAgent
) -> None:
    last = collector("files")
    agent = start_agent(forward=last.address)
    exporting = go_exporter(agent.address, "demo", "-service=gopher")
    sent = {each["span_id"]: each for each in exporting.record()["spans"]}
    eventually(lambda: sent.keys() <= {each.span_id for each in last.spans()}, ARRIVING, "every span arrives")
    for received in last.spans():
        assert (received.name, received.start, received.end) == tuple(
            sent[received.span_id][key] for key in ("name", "start", "end")
        )
        assert received.resource["service.name"] == "gopher"
    eventually(lambda: {"v/count", "v/distribution"} <= {each.metric for each in last.points()}, ARRIVING, "its views")
    exporting.finish()


def test_clients_are_told_apart_behind_it(collector: Callable[..., Collector], start_agent: StartAgent) -> None:
    last = collector("files")
    agent = start_agent(forward=last.address)
    for number in range(1, 6):
        with Exporter(agent.address) as exporter:
            place = resource("k8s", pod=f"pod-{number}")
            exporter.export_trace_request(spans_request(span(number), node=node(f"s{number}"), resource=place))
            assert exporter.flush(ARRIVING)
    assert agent.stop(ARRIVING)
    told = {
        int(each.span_id, 16): (each.resource["service.name"], each.resource["pod"])
        for each in eventually(lambda: len(last.spans()) == 5 and last.spans(), ARRIVING)
    }
    assert told == {number: (f"s{number}", f"pod-{number}") for number in range(1, 6)}


def test_nothing_is_lost_while_the_collector_is_killed_and_comes_back(
    collector: Callable[..., Collector], start_agent: StartAgent, tmp_path: Path
) -> None:
    last = collector("files")
    agent = start_agent(forward=last.address, spans=str(tmp_path / "spans.jsonl"))
    with Exporter(agent.address) as exporter:
        for number in range(1, 301):
            exporter.export_trace_request(spans_request(span(number)))
            if number == 100:
                assert exporter.flush(ARRIVING)
                last.kill()
        assert exporter.flush(ARRIVING), "a next agent that is away is no matter of the clients'"
        last.start()
        eventually(lambda: len({each.span_id for each in last.spans()}) == 300, ARRIVING, "all of them arrive")
    assert agent.stop(ARRIVING)
