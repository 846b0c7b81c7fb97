"""A sampler chosen in the agent's traceconfigz changes the share of spans that Go's exporter and ours send."""

from __future__ import annotations

import re
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from opencensus.trace.samplers import AlwaysOnSampler
from opencensus.trace.tracer import Tracer

from puremux import Exporter
from puremux.agent import Agent
from puremux.agent.views import SpansReceived
from tests.shared.waiting import eventually

from .harness.exporters import Exporting

APPLYING = 15.0
"""Seconds until what was asked for is in force: Go's exporter gathers spans for two."""

GATHERING = 3.0
"""Seconds; longer than either exporter waits for more spans to send together."""

ENOUGH = 1_000
"""Spans begun, on which a share is measured; of them a tenth is 100, with a standard deviation of 9.5."""


class Numbers:
    """The numbers of the spans that have come: both programs number their spans, sampled or not."""

    def __init__(self, agent: Agent) -> None:
        self._seen: set[int] = set()
        self._changed = threading.Condition()
        agent.store.on_spans(self._take)

    def _take(self, received: SpansReceived) -> None:
        numbers = [re.fullmatch(r"r(\d+)", span.name.value) for span in received.request.spans]
        with self._changed:
            self._seen.update(int(number[1]) for number in numbers if number)
            self._changed.notify_all()

    def newest(self) -> int:
        with self._changed:
            return max(self._seen, default=-1)

    def fall_silent(self) -> None:
        """Wait until no more come: nothing for longer than either exporter gathers spans."""
        until = time.monotonic() + APPLYING
        with self._changed:
            while self._changed.wait(GATHERING):
                assert time.monotonic() < until, "spans go on coming"

    def share(self) -> float:
        """How many of the next spans come, as a share of those that are begun."""
        begin = self.newest()
        with self._changed:
            assert self._changed.wait_for(lambda: max(self._seen) >= begin + ENOUGH, 30), "no more spans come"
            span = max(self._seen) - begin
            return len([number for number in self._seen if number > begin]) / span


@pytest.fixture
def agent() -> Iterator[Agent]:
    with Agent("127.0.0.1:0", zpages="127.0.0.1:0") as agent:
        yield agent


def page(agent: Agent) -> str:
    with urllib.request.urlopen(f"{agent.zpages}traceconfigz", timeout=5) as answer:
        return str(answer.read().decode())


def choose(agent: Agent, in_force: str, **form: str) -> None:
    """Send the form, and wait until the client says that it does so."""
    token = re.search(r'name="token" value="([^"]+)"', page(agent))
    assert token is not None
    data = urllib.parse.urlencode({"token": token[1], **form}).encode()
    urllib.request.urlopen(f"{agent.zpages}traceconfigz", data, timeout=5).close()
    eventually(lambda: f"{in_force}</td>" in page(agent), APPLYING, f"a client that says: {in_force}")


@pytest.fixture
def ours(agent: Agent) -> Iterator[Callable[[], None]]:
    """A program with our exporter that ends a numbered span each millisecond or so, once it is started."""
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def work() -> None:
        with Exporter(agent.address, service_name="ours", sampler=AlwaysOnSampler(), bundle_delay=0.2) as exporter:
            number = 0
            while not stop.wait(0.001):
                with Tracer(sampler=exporter.sampler, exporter=exporter).span(f"r{number:06}"):
                    number += 1

    def start() -> None:
        threads.append(threading.Thread(target=work))
        threads[0].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join(30)


@pytest.mark.parametrize("whose", ["Go's", "ours"])
def test_a_sampler_chosen_at_the_agent_changes_the_share_that_is_sent(
    agent: Agent, whose: str, go_exporter: Callable[..., Exporting], ours: Callable[[], None]
) -> None:
    numbers = Numbers(agent)
    if whose == "ours":
        ours()
    else:
        go_exporter(agent.address, "steady", "-for=60s", "-interval=1ms")
    eventually(lambda: numbers.newest() > 0, APPLYING, "spans arrive")
    assert numbers.share() > 0.99
    choose(agent, "0.1 of the traces", sampler="probability", probability="0.1")
    # Those that were sampled before are still on their way for a while.
    eventually(lambda: 0.05 < numbers.share() < 0.16, APPLYING, "a tenth of the spans")
    choose(agent, "no trace", sampler="off")
    numbers.fall_silent()
    choose(agent, "every trace", sampler="on")
    eventually(lambda: numbers.share() > 0.99, APPLYING, "all of the spans again")
