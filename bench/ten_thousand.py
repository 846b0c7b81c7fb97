"""Ten thousand services, one agent, one scrape: ``python -m bench.ten_thousand [--services N] [--ports P]``.

Each service has a connection and a Node of its own and reports the four views of OpenCensus's end-to-end example; the
agents are the real Collector and ``puremux agent``, each scraped by a real Prometheus at one port, which then has every
service.  Beside it, what a Prometheus that scrapes the services themselves needs: so many small programs' ports are
served and scraped for real (``--ports``), and the figures for all services are extrapolated from these.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Callable

from bench.crowd import HISTOGRAMS, VIEWS, Crowd, descriptors_needed
from tests.interop.harness.collector import Collector
from tests.interop.harness.process import ROOT, Process, free_port, is_listening
from tests.interop.harness.prometheus import Prometheus
from tests.shared.waiting import eventually

CONNECTING = 600.0  # seconds that all of them may take
SCRAPING = 120.0  # seconds that a scrape may take, and between two of them
INSIDE = 2.0  # seconds between two scrapes of the ports that are scraped one by one

HEAD = """\
| agent | services in the scrape | connected in | client, KiB each | agent, KiB each | page | scrape took | samples |
|---|--:|--:|--:|--:|--:|--:|--:|"""


class Embedded:
    """``puremux agent`` with its Prometheus page."""

    def __init__(self, config: str, folder: Path) -> None:
        del config
        self.ports = {"opencensus": free_port(), "prometheus": free_port()}
        command = [sys.executable, "-m", "puremux.cli", "agent"]
        command += ["--listen", f"127.0.0.1:{self.ports['opencensus']}"]
        command += ["--prometheus", f"127.0.0.1:{self.ports['prometheus']}"]
        ready = lambda: is_listening(self.ports["opencensus"])  # noqa: E731
        self.process = Process(command, folder, ready=ready, environment={"PYTHONPATH": str(ROOT)})

    def __enter__(self) -> Embedded:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()  # what it does at its end is not what is measured


AGENTS: dict[str, Callable[[str, Path], Any]] = {"Collector": Collector, "puremux agent": Embedded}


@dataclass
class Outcome:
    """What one agent did with all services."""

    services: int
    """Distinct services of which Prometheus has each of the four views."""

    scrapes: int
    connect_seconds: float
    client_kib: float
    """Memory of each connection, at the services' end."""

    agent_kib: float
    """Memory of each service, at the agent's end, before it is scraped."""

    page_mib: float
    scrape_seconds: float
    samples: int


def scraped_once(agent_name: str, services: int, folder: Path, interval: float = SCRAPING) -> Outcome:
    """Connect so many services to an agent, and have a Prometheus scrape it; in a long interval, once."""
    with AGENTS[agent_name]("scrape", folder) as agent:
        gc.collect()
        own, its = resident_kib(), resident_kib(agent.process.pid)
        crowd = Crowd(services, "127.0.0.1", agent.ports["opencensus"])
        try:
            seconds = crowd.connect(CONNECTING)
            page = f"127.0.0.1:{agent.ports['prometheus']}"
            client = (resident_kib() - own) / services
            eventually(lambda: fetched(page).count(b'service_name="service-') >= services, CONNECTING, "all reports")
            memory = (resident_kib(agent.process.pid) - its) / services
            size = len(fetched(page)) / 2**20
            (folder / "prometheus").mkdir()
            with Prometheus([page], folder / "prometheus", interval) as prometheus:
                return asked(prometheus, seconds, client, memory, size)
        finally:
            crowd.close()


def asked(prometheus: Prometheus, seconds: float, client: float, memory: float, size: float) -> Outcome:
    """Wait for the first scrape, and ask Prometheus about it."""
    eventually(lambda: prometheus.query("up == 1"), 2 * SCRAPING, "Prometheus has scraped the agent")

    def number(expression: str) -> float:
        return sum(sample.value for sample in prometheus.query(expression))

    def services_with(view: str) -> int:
        suffix = "_count" if view in HISTOGRAMS else ""
        name = f"{view.replace('/', '_')}.*{suffix}"
        return int(number(f'count(count by (service_name) ({{__name__=~"{name}",service_name=~"service-.*"}}))'))

    return Outcome(
        services=min(map(services_with, VIEWS)),
        scrapes=int(number("count_over_time(up[1h])")),
        connect_seconds=seconds,
        client_kib=client,
        agent_kib=memory,
        page_mib=size,
        scrape_seconds=number("scrape_duration_seconds"),
        samples=int(number("scrape_samples_scraped")),
    )


def one_by_one(ports: int, folder: Path) -> dict[str, float]:
    """Scrape so many ports of small programs (threads of one process, to spare the machine) with one Prometheus."""
    distinct: set[int] = set()
    while len(distinct) < ports:
        distinct.add(free_port())
    found = sorted(distinct)
    serve = [sys.executable, str(ROOT / "bench" / "clients" / "scraped_ports.py"), *map(str, found)]
    with Process(serve, folder, ready=lambda: is_listening(found[-1]), log="ports.log") as served:
        (folder / "prometheus").mkdir()
        targets = [f"127.0.0.1:{port}" for port in found]
        with Prometheus(targets, folder / "prometheus", INSIDE) as prometheus:
            eventually(lambda: len(prometheus.query("up == 1")) == len(found), 60, "each port is scraped")
            before, begin = cpu_seconds(prometheus.process.pid), time.monotonic()
            eventually(lambda: time.monotonic() - begin > 5 * INSIDE, 60, "some rounds have passed")
            rounds = (time.monotonic() - begin) / INSIDE
            cpu = (cpu_seconds(prometheus.process.pid) - before) / rounds / ports
            durations = [sample.value for sample in prometheus.query("scrape_duration_seconds")]
        served.kill()
    alone = free_port()
    with Process([*serve[:2], str(alone)], folder, ready=lambda: is_listening(alone), log="one.log") as single:
        memory = resident_kib(single.pid)
        single.kill()
    return {"seconds": sum(durations) / len(durations), "cpu": cpu, "memory": memory}


def resident_kib(pid: int | str = "self") -> float:
    """Memory of a process now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4.0


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, in hundredths of a second."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / 100


def fetched(page: str) -> bytes:
    """An agent's page for Prometheus."""
    with urllib.request.urlopen(f"http://{page}/metrics", timeout=SCRAPING) as answer:
        return bytes(answer.read())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=10_000)
    parser.add_argument("--ports", type=int, default=200)
    asked_for = parser.parse_args()
    services = asked_for.services
    descriptors_needed(services)
    print(HEAD, flush=True)
    for name in AGENTS:
        with tempfile.TemporaryDirectory() as folder:
            got = scraped_once(name, services, Path(folder))
        assert got.services == services, f"not all is in the scrape: {got}"
        print(
            f"| {name} | {got.services:,} in {got.scrapes} | {got.connect_seconds:.1f} s | {got.client_kib:.0f} |"
            f" {got.agent_kib:.0f} | {got.page_mib:.1f} MiB | {got.scrape_seconds:.1f} s | {got.samples:,} |",
            flush=True,
        )
    with tempfile.TemporaryDirectory() as folder:
        each = one_by_one(asked_for.ports, Path(folder))
    tell_the_alternative(services, asked_for.ports, each)


def tell_the_alternative(services: int, ports: int, each: dict[str, float]) -> None:
    """What was measured port by port, and what is extrapolated from it."""
    print(
        f"\nMeasured with {ports} ports that are scraped one by one: {1000 * each['seconds']:.1f} ms and"
        f" {1000 * each['cpu']:.2f} ms of Prometheus's CPU a scrape, {each['memory'] / 1024:.0f} MiB for a program that"
        " only serves its page."
    )
    print(
        f"Extrapolated to {services:,}: as many ports that Prometheus must find, reach and be let through to, as many"
        f" requests a round, and {services * each['cpu']:.1f} s of its CPU for each round."
    )


if __name__ == "__main__":
    main()
