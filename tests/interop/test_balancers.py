"""The exporter and several real agents, behind load balancers and without: they come and go, nothing is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from puremux.exporter import Exporter
from tests.shared.span_data import spans
from tests.shared.waiting import eventually

from .harness.balancers import BALANCERS, balancer
from .harness.collector import Collector

ARRIVING = 30.0
SECONDS = 7.0
"""Longer than two lives of a connection to the moody agents, which end each after 3 s."""


@contextmanager
def exporting(address: str | list[str], **options: Any) -> Iterator[Exporter]:
    """Hand over some 500 spans a second, for the while; then see that all are confirmed."""
    exporter = Exporter(address, bundle_delay=0.1, reconnection_period=0.5, insecure=True, **options)
    running = True
    handed_over = 0

    def pour() -> None:
        nonlocal handed_over
        while running:
            exporter.export(spans(5, f"n{handed_over}-"))
            handed_over += 5
            time.sleep(0.01)

    thread = threading.Thread(target=pour)
    thread.start()
    try:
        yield exporter
    finally:
        running = False
        thread.join()
        exporter.flush(ARRIVING)
        exporter.stop()
    stats = exporter.stats()
    assert (stats["confirmed"], stats["dropped"]) == (handed_over, {}), stats


def names(agents: list[Collector]) -> list[list[str]]:
    return [[span.name for span in agent.spans()] for agent in agents]


@pytest.mark.parametrize("name", BALANCERS)
def test_a_load_balancer_spreads_the_streams(
    name: str, collector: Callable[..., Collector], ending: ExitStack, tmp_path: Path
) -> None:
    agents = [collector("files"), collector("files")]
    proxy = ending.enter_context(balancer(name, [agent.ports["opencensus"] for agent in agents], tmp_path))
    with exporting(f"127.0.0.1:{proxy.port}") as exporter:
        eventually(lambda: all(len(each) > 100 for each in names(agents)), ARRIVING, "both have some")
        agents[0].kill()
        agents[0].start()
        eventually(lambda: all(len(each) > 500 for each in names(agents)), ARRIVING, "both have more")
    arrived = {each for of_agent in names(agents) for each in of_agent}
    assert exporter.stats()["confirmed"] == len(arrived)


@pytest.mark.parametrize(
    "front, policy",
    [
        pytest.param("envoy", "pick_first", id="behind Envoy"),
        pytest.param("nginx", "pick_first", id="behind nginx"),
        pytest.param("", "round_robin", id="in turn"),
        pytest.param("", "pick_first", id="one of them"),
    ],
)
def test_connections_that_end_every_few_seconds_lose_nothing(
    front: str, policy: str, collector: Callable[..., Collector], ending: ExitStack, tmp_path: Path
) -> None:
    agents = [collector("moody"), collector("moody")]
    address: str | list[str] = [agent.address for agent in agents]
    if front:
        proxy = ending.enter_context(balancer(front, [agent.ports["opencensus"] for agent in agents], tmp_path))
        address = f"127.0.0.1:{proxy.port}"
    with exporting(address, policy=policy) as exporter:
        time.sleep(SECONDS)
    arrived = {each for of_agent in names(agents) for each in of_agent}
    stats = exporter.stats()
    assert stats["confirmed"] == len(arrived)
    assert front or stats["connections"] >= 2
