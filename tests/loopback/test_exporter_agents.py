"""One exporter and several agents: streams go to each in turn, or another one takes over."""

from __future__ import annotations

from collections import Counter

from puremux.exporter import Exporter, Pace
from tests.loopback.exporters import exporter_to
from tests.shared.scripted_agent import NewAgent
from tests.shared.span_data import spans
from tests.shared.waiting import eventually


def test_agents_in_turn_are_left_politely(new_agent: NewAgent) -> None:
    agents = [new_agent(), new_agent()]
    addresses = [agent.address for agent in agents]
    with Exporter(addresses, policy="round_robin", bundle_delay=0.02, pace=Pace(rotate_after=60.0)) as exporter:
        eventually(lambda: exporter.stats()["connections"] == 2, 10)
        exporter.export(spans(10))
        used = eventually(lambda: [agent for agent in agents if agent.streams], 10)[0]
        used.wait_for_spans(10)
        used.server.stop(5.0)  # GOAWAY first
        eventually(lambda: exporter.stats()["confirmed"] == 10, 10)
        exporter.export(spans(10, "later"))
        assert exporter.flush(10)
        assert (exporter.stats()["confirmed"], exporter.stats()["replayed"]) == (20, 0)


def test_streams_go_to_all_agents_in_turn(new_agent: NewAgent) -> None:
    agents = [new_agent() for _ in range(3)]
    addresses = [agent.address for agent in agents]
    with Exporter(addresses, policy="round_robin", bundle_delay=0.02) as exporter:
        eventually(lambda: exporter.stats()["connections"] == 3, 10)
        for number in range(9):
            exporter.export(spans(10, f"s{number}-"))
            assert exporter.flush(10)
    counts = [len(agent.span_names()) for agent in agents]
    assert sum(counts) == 90 and min(counts) >= 20, counts


def test_another_agent_takes_over(new_agent: NewAgent) -> None:
    agents = [new_agent(), new_agent()]
    with exporter_to(agents[0]) as unused:
        unused.stop()
    with Exporter([agent.address for agent in agents], bundle_delay=0.02) as exporter:
        exporter.export(spans(10, "first"))
        assert exporter.flush(10)
        agents[0].stop()
        exporter.export(spans(10, "second"))
        assert exporter.flush(10)
    names = Counter(name for agent in agents for name in agent.span_names())
    assert len(names) == 20
