"""Brings hostile servers and clients together, several at a time, and judges what came of it.

The servers are threads of this process; the clients are ``runner`` processes, since only a process of its own has a
memory and a processor time of its own.  A runner plays many rows, one after the other; a row that is ``alone`` gets a
fresh one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from .certificates import Contexts
from .server import HostileServer
from .table import MIB, Scenario

__all__ = ["Performance", "in_good_order", "judge"]

ROOT = Path(__file__).resolve().parents[2]
HANG = 30.0  # seconds beyond a row's own time after which its client is killed
INSIDES = re.compile(r"\w(Error|Exception)\(|: \d+$|StreamInputs")  # of Python and of h2

Report = dict[str, Any]


class Runner:
    """A client process."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        handle, name = tempfile.mkstemp(dir=str(folder), suffix=".stderr")
        self._errors = Path(name)
        self._seen = 0
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=handle, cwd=str(ROOT), text=True
        )
        os.close(handle)

    def tell(self, line: str) -> None:
        """Send a line; nothing happens if the process is gone."""
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except OSError:
            pass

    def report(self, timeout: float) -> Report:
        """Wait for the next report; kill the process if it does not come."""
        assert self._process.stdout is not None
        timer = threading.Timer(timeout, self._process.kill)
        timer.start()
        line = self._process.stdout.readline()
        timer.cancel()
        if not line:
            return {"error": f"the client died or hung: {self.errors()}"}
        report: Report = json.loads(line)
        return report

    def errors(self) -> str:
        """What came on standard error since the last look."""
        text = self._errors.read_text(errors="replace")
        new, self._seen = text[self._seen :], len(text)
        return new

    def close(self) -> None:
        """End the process."""
        try:
            self._process.communicate(timeout=HANG)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


class Stage:
    """Where the rows are played.

    Args:
        client: a name in ``runner.CLIENTS``.
        python: the interpreter that runs the client.
    """

    def __init__(self, folder: Path, client: str = "puremux", python: str = sys.executable) -> None:
        self._folder = folder
        self._contexts = Contexts(folder)
        self._command = [python, "-W", "default::ResourceWarning", "-m", "tests.hostile.runner", client]

    def runner(self) -> Runner:
        """Start a client, and let it make one good call: what is loaded and made only once is behind it then."""
        runner = Runner(self._command, self._folder)
        with HostileServer(None, self._contexts) as server:
            runner.tell(self._row(_WARM_UP, server.target))
            for _ in range(2):
                runner.report(HANG)
                runner.tell("go on")
        return runner

    def play(self, scenario: Scenario, runner: Runner) -> Report:
        """Play one row."""
        with HostileServer(scenario, self._contexts) as server:
            runner.tell(self._row(scenario, server.target))
            report = runner.report(scenario.timeout + scenario.rest + HANG)
            server.calm()
            report.update(target=server.target, connections=len(server.accepted), calls=server.calls)
            runner.tell("the server is good now")
            report["follow_up"] = runner.report(HANG)
            report["connections_after"] = server.good
            runner.tell("go on")
        report.update(stderr=runner.errors(), faults=server.faults)
        return report

    def _row(self, scenario: Scenario, target: str) -> str:
        row: dict[str, Any] = {
            name: getattr(scenario, name)
            for name in ("shape", "size", "timeout", "wait_for_ready", "rest", "follow_up_size")
        }
        authority = str(self._contexts.authority_file) if scenario.client_tls else None
        return json.dumps({**row, "target": target, "authority_file": authority, "options": dict(scenario.options)})


_WARM_UP = Scenario("a good server", lambda peer: peer.serve(), frozenset({"OK"}))


class Performance:
    """Plays rows, several at a time, in the background.

    Args:
        scenarios: the rows, in the order in which they are wanted.
        folder: for what the clients write to standard error, and for certificates.
        client: a name in ``runner.CLIENTS``.
        python: the interpreter that runs the clients.
        lanes: how many rows are played at a time.
        ahead: how many are played before somebody asks for them, behind the one that was asked for last; None for all.
    """

    def __init__(
        self,
        scenarios: Iterable[Scenario],
        folder: Path,
        *,
        client: str = "puremux",
        python: str = sys.executable,
        lanes: int = 6,
        ahead: int | None = None,
    ) -> None:
        self._stage = Stage(folder, client, python)
        self._wanted = list(scenarios)
        self._reports: dict[str, Future[Report]] = {scenario.name: Future() for scenario in self._wanted}
        self._ahead = ahead
        self._at = 0
        self._taken: set[str] = set()
        self._is_over = False
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._lane, daemon=True) for _ in range(lanes)]
        for thread in self._threads:
            thread.start()

    def report(self, scenario: Scenario, timeout: float | None = None) -> Report:
        """Wait for a row's report."""
        with self._changed:
            self._at = self._wanted.index(scenario)
            self._changed.notify_all()
        return self._reports[scenario.name].result(timeout)

    def close(self) -> None:
        """Play no more rows, and wait for those that are being played."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _next(self) -> Scenario | None:
        """Take a row to be played, as soon as there is one; None when there will be none."""
        with self._changed:
            while not self._is_over and len(self._taken) < len(self._wanted):
                near = self._wanted if self._ahead is None else self._wanted[self._at : self._at + 1 + self._ahead]
                for scenario in near:
                    if scenario.name not in self._taken:
                        self._taken.add(scenario.name)
                        return scenario
                self._changed.wait()
            return None

    def _lane(self) -> None:
        runner: Runner | None = None
        while True:
            scenario = self._next()
            if scenario is None:
                break
            if runner is not None and scenario.alone:
                runner.close()
            if runner is None or scenario.alone:
                runner = self._stage.runner()
            report = self._stage.play(scenario, runner)
            self._reports[scenario.name].set_result(report)
            if scenario.alone or "status" not in report:
                runner.close()
                runner = None
        if runner is not None:
            runner.close()


def in_good_order(scenarios: Iterable[Scenario]) -> list[Scenario]:
    """The slow ones first, so that no lane is left with them at the end."""
    return sorted(scenarios, key=lambda each: (each.alone, each.rest, each.timeout < 3.0), reverse=True)


def judge(scenario: Scenario, report: Report) -> list[str]:
    """What is wrong with a report; an empty list when all is well."""
    if "status" not in report:
        return [str(report["error"]), *report["faults"]]
    return [
        *_judge_ending(scenario, report),
        *_judge_answer(scenario, report),
        *_judge_cost(scenario, report),
        *_judge_follow_up(scenario, report),
        *report["faults"],
    ]


def _judge_ending(scenario: Scenario, report: Report) -> Iterable[str]:
    status, details, seconds = report["status"], report["details"] or "", report["seconds"]
    if report["error"] is not None:
        yield f"the call raised {report['error']}"
        return
    if status not in scenario.status:
        yield f"the status is {status} ({details}) and not {' or '.join(sorted(scenario.status))}"
    if status != "OK":
        for word in scenario.words:
            if word.format(target=report["target"]).lower() not in details.lower():
                yield f"the details {details!r} do not say {word!r}"
    if INSIDES.search(details):
        yield f"the details {details!r} show the insides of a library instead of a sentence"
    if seconds > scenario.timeout + scenario.slack:
        yield f"the call took {seconds:.2f} s; its deadline was {scenario.timeout} s"
    if status == "DEADLINE_EXCEEDED" and seconds < scenario.timeout - 0.05:
        yield f"the deadline was exceeded after {seconds:.2f} s of {scenario.timeout} s"


def _judge_answer(scenario: Scenario, report: Report) -> Iterable[str]:
    if report["status"] != "OK" or report["error"] is not None:
        return
    if scenario.messages is not None:
        whole = b"".join(scenario.messages)
        expected = [len(scenario.messages), len(whole), zlib.crc32(whole)]
        if report["tally"] != expected:
            yield f"the client got messages of {report['tally']} (number, bytes, CRC), the server sent {expected}"
    if scenario.trailing is not None and report.get("trailing") != scenario.trailing:
        yield f"the client got {report.get('trailing')} pairs of trailing metadata of {scenario.trailing}"


def _judge_cost(scenario: Scenario, report: Report) -> Iterable[str]:
    if report["growth"] > scenario.most_memory:
        yield f"the client grew by {report['growth'] / MIB:.1f} MiB; the limit is {scenario.most_memory / MIB:.0f}"
    if scenario.most_cpu is not None and report["cpu"] > scenario.most_cpu:
        yield f"the client used {report['cpu']:.2f} s of processor time; the limit is {scenario.most_cpu}"
    if report["connections"] > scenario.most_connections:
        yield f"the client made {report['connections']} connections; the limit is {scenario.most_connections}"
    if not scenario.calls[0] <= report["calls"] <= scenario.calls[1]:
        yield f"the server saw the call {report['calls']} times, not {scenario.calls[0]} to {scenario.calls[1]}"
    if report["stderr"]:
        yield f"the client wrote to standard error: {report['stderr']}"


def _judge_follow_up(scenario: Scenario, report: Report) -> Iterable[str]:
    follow_up: Mapping[str, Any] = report["follow_up"]
    if follow_up.get("status") != "OK" or follow_up["error"] is not None:
        yield f"the good call afterwards failed: {follow_up}"
    if scenario.keeps_connection and report["connections"] + report["connections_after"] != 1:
        yield "the client made another connection; one call's fault is not the connection's"
    if follow_up.get("left"):
        yield f"the closed channel has left behind: {follow_up['left']}"
