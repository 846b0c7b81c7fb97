"""What reaches an agent that goes away and comes back: ``python -m bench.restart [--all] [--quick] [variant ...]``.

A program ends one span every 2 ms for 20 s while its agent is killed, frozen, restarted.  Then the spans that the agent
wrote to its file are counted: lost ones, and doubled ones.  The peers do the same where they can.  ``make peers``
builds them and the real agent.  ``--quick`` makes everything three times as short, as the tests have it.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Protocol

from bench.agents import BusyAgent, DistantAgent
from tests.interop.harness.collector import Collector
from tests.interop.harness.exporters import Exporting, go_exporter, python_exporter
from tests.interop.harness.process import ROOT, Process, free_port, is_listening
from tests.shared.waiting import eventually

__all__ = ["AGENTS", "SYSTEMS", "VARIANTS", "Outcome", "experiment"]

SETTLING = 30.0
"""Seconds, at the most, in which what is still on its way may arrive after the last span."""
STARTED = "started"
"""A file that our program makes when it begins: to import it all may take seconds on a busy machine."""
QUIET = 4.0
"""Seconds without an arrival after which no more is expected of an exporter that can't say what it still holds."""


class Agent(Protocol):
    """What can be done to an agent."""

    def kill(self) -> None: ...
    def stop(self) -> None: ...
    def start(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


Job = tuple[str, str, str]
"""A system, an agent and a variant, by their names."""

Step = tuple[float, Callable[[Any], None]]


def replace_disk(agent: Collector) -> None:
    """End it, and start it again with room on the disk."""
    agent.kill()
    config = agent.folder / "config.yaml"
    config.write_text(config.read_text().replace("/dev/full", str(agent.folder / "received.jsonl")))
    agent.start()


def every_second(agent: Agent) -> None:
    agent.kill()
    agent.start()


@dataclass(frozen=True)
class Variant:
    """What happens to the agent, and when."""

    words: str
    steps: Sequence[Step]
    config: str = "files"
    seconds: float = 20.0
    full: bool = False
    steady: Sequence[str] = ()
    """Options of our own program."""
    agents: Sequence[str] = ("Collector", "puremux agent")
    peers: bool = True


VARIANTS: Mapping[str, Variant] = {
    "kill": Variant("SIGKILL at 6 s, back at 9 s", [(6, lambda a: a.kill()), (9, lambda a: a.start())]),
    "term": Variant("SIGTERM at 6 s, back at 9 s", [(6, lambda a: a.stop()), (9, lambda a: a.start())]),
    "freeze": Variant("SIGSTOP for 10 s at 3 s", [(3, lambda a: a.pause()), (13, lambda a: a.resume())]),
    "moody": Variant("connections end every 3 s, two streams", [], config="moody", agents=["Collector"]),
    "disk": Variant(
        "every export fails until 9 s", [(9, replace_disk)], config="moody", full=True, agents=["Collector"]
    ),
    "every second": Variant("killed every second", [(n + 1, every_second) for n in range(28)], seconds=30.0),
    "busy": Variant(
        "RESOURCE_EXHAUSTED from 6 s to 9 s",
        [(6, lambda a: a.toil()), (9, lambda a: a.rest())],
        agents=["an agent of the tests"],
        peers=False,
    ),
    "cut": Variant(
        "packets vanish from 4 s to 14 s",
        [(4, lambda a: a.cut()), (14, lambda a: a.mend())],
        agents=["puremux agent in a namespace"],
        peers=False,
    ),
    "ten minutes": Variant(
        "away for 10 min, 8 MiB to keep",
        [(6, lambda a: a.kill()), (606, lambda a: a.start())],
        seconds=615.0,
        steady=["--replay-bytes", str(8 * 1024 * 1024)],
        agents=["puremux agent"],
        peers=False,
    ),
}


USUAL = [name for name, variant in VARIANTS.items() if variant.seconds < 60]


class Embedded:
    """``puremux agent``, which appends spans to a file."""

    def __init__(self, config: str, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self.address = self.full_address = self.otlp_address = f"127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "puremux.cli", "agent", "--listen", self.address, "--spans", "spans.jsonl"]
        environment = {"PYTHONPATH": str(ROOT)}
        self._process = Process(
            command, self._folder, ready=lambda: is_listening(self._port), environment=environment, timeout=60.0
        )

    def stop(self) -> None:
        self._process.stop()

    def kill(self) -> None:
        self._process.kill()

    def pause(self) -> None:
        self._process.pause()

    def resume(self) -> None:
        self._process.resume()

    def names(self) -> list[str]:
        return names_in(self._folder)

    def __enter__(self) -> Embedded:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def names_in(folder: Path) -> list[str]:
    path = folder / "spans.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [name for line in lines if line.endswith(b"\n") for name in _name_in(line)]


def _name_in(line: bytes) -> list[str]:
    """The span's name, unless the agent was killed while it wrote the line; the next agent ends such a line."""
    try:
        return [json.loads(line)["name"]]
    except ValueError:
        return []


class Real(Collector):
    """The Collector."""

    def names(self) -> list[str]:
        return [span.name for span in self.spans()]


AGENTS: Mapping[str, Callable[[str, Path], Any]] = {
    "Collector": Real,
    "puremux agent": Embedded,
    "an agent of the tests": BusyAgent,
    "puremux agent in a namespace": lambda config, folder: DistantAgent(folder, names_in),
}


def ours(folder: Path, agent: Any, address: str, seconds: float, *options: str) -> Exporting:
    command = [sys.executable, "-W", "ignore", "-m", "bench.restart", "--steady", address, str(seconds), *options]
    environment = {"PYTHONPATH": str(ROOT)}
    return Exporting(command, folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, environment=environment)


def python_peer(name: str) -> Callable[..., Exporting]:
    def start(folder: Path, agent: Any, address: str, seconds: float) -> Exporting:
        where = agent.otlp_address if name == "otlp" else address
        period = ["--period=2"] if name == "ocagent" else []
        return python_exporter(folder, name, where, "steady", f"--seconds={seconds}", *period)

    return start


def go(folder: Path, agent: Any, address: str, seconds: float) -> Exporting:
    return go_exporter(folder, address, "steady", f"-for={seconds}s")


SYSTEMS: Mapping[str, Callable[..., Exporting]] = {
    "puremux": ours,
    "Go ocagent": go,
    "opencensus-ext-ocagent": python_peer("ocagent"),
    "OpenTelemetry OTLP": python_peer("otlp"),
}


@dataclass
class Outcome:
    """One row."""

    system: str
    agent: str
    variant: str
    ended: int
    arrived: int
    doubled: int
    dropped: dict[str, int] = field(default_factory=dict)
    """What the exporter itself says it gave up."""
    stats: dict[str, Any] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        return self.ended - self.arrived


HEAD = (
    "| exporter | agent | what happens | ended | lost, each run | given up | doubled |\n|---|---|---|--:|--:|--:|--:|"
)


def row(outcomes: Sequence[Outcome]) -> str:
    """The runs of one experiment: medians, and what each lost."""
    first = outcomes[0]
    ended, given_up, doubled = (
        f"{statistics.median_low(counts):,}"
        for counts in zip(*[(each.ended, sum(each.dropped.values()), each.doubled) for each in outcomes])
    )
    lost = " · ".join(f"{each.lost:,}" for each in outcomes)
    known = given_up if first.system == "puremux" else ""
    return (
        "| "
        + " | ".join([first.system, first.agent, VARIANTS[first.variant].words, ended, lost, known, doubled])
        + " |"
    )


def experiment(system: str, kind: str, name: str, folder: Path, scale: float = 1.0) -> Outcome:
    """Run one, in a folder of its own; ``scale`` stretches its times."""
    variant = VARIANTS[name]
    (folder / "client").mkdir()
    with AGENTS[kind](variant.config, folder) as agent:
        address = agent.full_address if variant.full else agent.address
        options = variant.steady if system == "puremux" else ()
        with SYSTEMS[system](folder / "client", agent, address, variant.seconds * scale, *options) as exporting:
            if system == "puremux":
                eventually((folder / "client" / STARTED).exists, SETTLING)
            began = time.monotonic()
            for when, act in variant.steps:
                time.sleep(max(0.0, began + when * scale - time.monotonic()))
                act(agent)
            record = exporting.record()
            _settle(agent.names, record["ended"])
            _finish(exporting)
            found = Counter(agent.names())
    found = Counter({span: count for span, count in found.items() if span.startswith("r")})
    stats = {**record.get("stats", {}), "most MiB": record.get("most MiB")}
    doubled = sum(found.values()) - len(found)
    return Outcome(system, kind, name, record["ended"], len(found), doubled, stats.get("dropped", {}), stats)


def _settle(names: Callable[[], list[str]], ended: int) -> None:
    deadline = time.monotonic() + SETTLING
    count, since = -1, time.monotonic()
    while time.monotonic() < deadline:
        now = names()
        if len(now) != count:
            count, since = len(now), time.monotonic()
        if len({name for name in now if name.startswith("r")}) >= ended or time.monotonic() - since > QUIET:
            return
        time.sleep(0.2)


def _finish(exporting: Exporting) -> None:
    try:
        exporting.finish()
    except (AssertionError, subprocess.TimeoutExpired):
        exporting.kill()  # a peer that does not stop; what arrived is counted all the same


def steady(address: str, seconds: float, replay_bytes: int) -> None:
    """Be the program that ends spans."""
    from opencensus.trace.samplers import AlwaysOnSampler
    from opencensus.trace.tracer import Tracer

    from puremux import Exporter

    exporter = Exporter(
        address, insecure=True, service_name="restart", reconnection_period=1.0, replay_bytes=replay_bytes
    )
    tracer = Tracer(exporter=exporter, sampler=AlwaysOnSampler())
    Path(STARTED).touch()
    begin = due = time.monotonic()
    ended = 0
    while time.monotonic() - begin < seconds:
        with tracer.span(f"r{ended:06d}"):
            ended += 1
        due += 0.002
        time.sleep(max(0.0, due - time.monotonic()))
    delivered = exporter.flush(SETTLING)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    record = {"ended": ended, "delivered": delivered, "most MiB": round(most, 1), "stats": exporter.stats()}
    print(json.dumps(record), flush=True)
    sys.stdin.read()
    exporter.stop()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("variants", nargs="*", help=", ".join(VARIANTS))
    options.add_argument("--quick", action="store_true")
    options.add_argument("--runs", type=int, default=1, help="of each")
    options.add_argument("--all", action="store_true", help="the table of the documentation; about ten minutes")
    options.add_argument("--ours", action="store_true", help="without the peers")
    options.add_argument("--at-once", type=int, default=2, help="experiments that run side by side")
    options.add_argument("--steady", nargs=2, help=argparse.SUPPRESS)
    options.add_argument("--replay-bytes", type=int, default=32 * 1024 * 1024, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.steady:
        steady(asked.steady[0], float(asked.steady[1]), asked.replay_bytes)
        return
    if asked.all:
        jobs = _jobs("kill", False) * 5 + [job for name in USUAL if name != "kill" for job in _jobs(name, True)]
    else:
        names = asked.variants or USUAL
        jobs = [job for name in names for job in _jobs(name, asked.ours) for _ in range(asked.runs)]

    def run(job: Job) -> Outcome:
        with tempfile.TemporaryDirectory() as folder:
            outcome = experiment(*job, Path(folder), scale=1 / 3 if asked.quick else 1.0)
        print(f"{row([outcome])} {json.dumps(outcome.stats)}", file=sys.stderr, flush=True)
        return outcome

    outcomes: dict[Job, list[Outcome]] = {job: [] for job in jobs}
    with ThreadPoolExecutor(asked.at_once) as pool:
        for job, outcome in zip(jobs, pool.map(run, jobs)):
            outcomes[job].append(outcome)
    print("\n".join([HEAD, *map(row, outcomes.values())]), flush=True)


def _jobs(name: str, only_ours: bool) -> list[Job]:
    """Ours at each agent of the variant; the peers at the Collector."""
    variant = VARIANTS[name]
    jobs = [("puremux", kind, name) for kind in variant.agents]
    peers = [system for system in SYSTEMS if system != "puremux"] if variant.peers and not only_ours else []
    if variant.config == "moody":
        peers = [system for system in peers if system != "OpenTelemetry OTLP"]  # no such port there
    return jobs + [(system, "Collector", name) for system in peers]


if __name__ == "__main__":
    main()
