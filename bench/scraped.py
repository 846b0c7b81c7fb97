"""A real Prometheus scrapes the agent while clients come and go: ``python -m bench.scraped [SECONDS]``, 300 by default.

Each client is an exporter of ours that sends a few metrics of every type, with a Node of its own, and leaves after a
few seconds without a word; silent ones are forgotten after three.  One in five has another type, unit or help for a
metric than the others, and one in seven names and labels that are hostile.  Prometheus scrapes every two seconds.
"""

from __future__ import annotations

import math
import random
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from puremux import Exporter
from puremux.agent import Agent, AgentLimits
from tests.interop.harness.prometheus import Prometheus, check_page
from tests.shared.agent_messages import Type, distribution, metric, metrics_request, node, resource, summary

SEED = 11
STALE_AFTER = 3.0
CLIENTS = 30  # at one time
EVERY = 0.1  # seconds between two comings or goings
ADVICE = ('use base unit "seconds"', 'non-counter metrics should not have "_total" suffix')
"""What promtool says of the names that clients chose; the page's own are without fault."""


@dataclass
class Outcome:
    """What came of it."""

    scrapes: float = 0.0
    failed: float = 0.0
    """Scrapes after which Prometheus said ``up == 0``."""

    clients: int = 0
    most_series: int = 0
    expired: int = 0
    advice: set[str] = field(default_factory=set)
    """What promtool had to say, but for the names that clients chose."""

    complaints: list[str] = field(default_factory=list)
    """Lines of Prometheus's log above *info*."""

    last_error: str = ""

    @property
    def is_clean(self) -> bool:
        """No scrape failed, and nobody complained."""
        return not (self.failed or self.advice or self.complaints or self.last_error)


def request(number: int) -> Any:
    """What a client sends."""
    odd = number % 5 == 0
    metrics = [
        metric("opdemo/latency", distribution([10, 50], [1, 2, number], 97.5), Type.CUMULATIVE_DISTRIBUTION, unit="ms"),
        metric("opdemo/line_counts", number, Type.CUMULATIVE_INT64, unit="1", labels={"method": "repl"}),
        metric("fill", number / 7, Type.GAUGE_DOUBLE, unit="1"),
        metric("waiting", distribution([1], [1, 1]), Type.GAUGE_DISTRIBUTION),
        metric("sizes", summary({50: 1.5, 99: 2.5}, 5, 9.5), Type.SUMMARY, unit="By"),
        metric("moody", number, Type.CUMULATIVE_INT64 if odd else Type.GAUGE_INT64, description=f"Is it odd? {odd}"),
    ]
    if number % 7 == 0:
        labels = {"__name__": "x", "le": '"\\\n', "a.b": "\u2028", "job": "j", "nul": "\0\r\x7f\ufffe"}
        metrics.append(metric("<script>", number, labels=labels, description="\0\r\u2028\\"))
        metrics.append(metric("debt", -number, Type.CUMULATIVE_INT64))
        metrics.append(metric("nothing", distribution([-1], [1, 2], math.nan), Type.CUMULATIVE_DISTRIBUTION))
        metrics.append(metric("cold", summary({50: -1.5, 99: math.nan}, 5, -math.inf), Type.SUMMARY))
    return metrics_request(
        *metrics, node=node(f"service-{number % 3}", pid=number + 1), resource=resource("k8s", pod="p")
    )


class Crowd:
    """Clients that come and go."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._choice = random.Random(SEED)
        self._exporters: list[tuple[int, Exporter]] = []
        self.came = 0

    def step(self) -> None:
        """One comes or one leaves, and one of those who are there sends again."""
        if len(self._exporters) < CLIENTS and self._choice.random() < 0.6:
            self._exporters.append((self.came, Exporter(self._address)))
            self.came += 1
        elif self._exporters:
            _, leaving = self._exporters.pop(self._choice.randrange(len(self._exporters)))
            leaving.stop(0.1)
        for number, exporter in self._choice.sample(self._exporters, min(3, len(self._exporters))):
            exporter.export_metrics_request(request(number))

    def leave(self) -> None:
        """All leave."""
        for _, exporter in self._exporters:
            exporter.stop(0.1)


def scraped(seconds: float, folder: Path) -> Outcome:
    """Have a Prometheus scrape an agent for so long."""
    outcome = Outcome()
    limits = AgentLimits(stale_after=STALE_AFTER)
    with Agent("127.0.0.1:0", prometheus="127.0.0.1:0", limits=limits) as agent:
        assert agent.page is not None
        with Prometheus([agent.page.split("/")[2]], folder, interval=2.0) as prometheus:
            crowd = Crowd(agent.address)
            end, check = time.monotonic() + seconds, 0.0
            while time.monotonic() < end:
                crowd.step()
                outcome.most_series = max(outcome.most_series, agent.store.totals().series)
                if time.monotonic() > check:
                    check = time.monotonic() + seconds / 10
                    outcome.advice |= advice(agent.page)
                time.sleep(EVERY)
            outcome.clients, outcome.expired = crowd.came, agent.store.totals().expired_clients
            judge(outcome, prometheus)
            crowd.leave()
    return outcome


def advice(page: str) -> set[str]:
    """What promtool says against the page as it is now."""
    with urllib.request.urlopen(page, timeout=30) as answer:
        said = check_page(answer.read().decode()).splitlines()
    return {line for line in said if not any(known in line for known in ADVICE)}


def judge(outcome: Outcome, prometheus: Prometheus) -> None:
    """What Prometheus says of its scrapes."""
    (ups,) = prometheus.query("sum_over_time(up[1h])")
    (all_of_them,) = prometheus.query("count_over_time(up[1h])")
    outcome.scrapes, outcome.failed = all_of_them.value, all_of_them.value - ups.value
    log = prometheus.process.log().splitlines()
    outcome.complaints = [line for line in log if "level=warn" in line or "level=error" in line]
    outcome.last_error = "; ".join(each["lastError"] for each in prometheus.targets())


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 300.0
    with tempfile.TemporaryDirectory() as folder:
        outcome = scraped(seconds, Path(folder))
    print(
        f"{seconds:g} s: {outcome.scrapes:g} scrapes, {outcome.failed:g} failed; {outcome.clients} clients came,",
        end=" ",
    )
    print(f"{outcome.expired} were forgotten, {outcome.most_series} time series at most")
    print(f"promtool: {outcome.advice or 'clean'}; Prometheus's log: {outcome.complaints or 'clean'}")
    sys.exit(0 if outcome.is_clean else 1)


if __name__ == "__main__":
    main()
