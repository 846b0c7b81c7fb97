"""A real gunicorn that loads the application, exporter and all, before it forks its workers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path

import pytest

from tests.shared.scripted_agent import ScriptedAgent
from tests.shared.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]

APPLICATION = """
import itertools, os
from puremux.exporter import Exporter
from tests.shared.span_data import spans

exporter = Exporter(os.environ["AGENT"], bundle_delay=0.05)
exporter.export(spans(1, f"master {os.getpid()} "))
numbers = itertools.count()

def app(environ, start_response):
    exporter.export(spans(1, f"worker {os.getpid()} {next(numbers)} "))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


@pytest.mark.parametrize("worker", ["sync", "gevent"])
def test_each_worker_sends_its_own_spans_once(agent: ScriptedAgent, tmp_path: Path, worker: str) -> None:
    (tmp_path / "application.py").write_text(APPLICATION)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers=4", f"--worker-class={worker}"]
    environ = {**os.environ, "AGENT": agent.address, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, f"--bind=127.0.0.1:{port}", "application:app"], cwd=tmp_path, env=environ, stdout=log, stderr=log
        )
    try:
        answered = _ask_all(port, workers=4)
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0, (tmp_path / "log").read_text()
    eventually(lambda: len(agent.span_names()) >= answered + 1, 10)
    names = agent.span_names()
    assert len(names) == len(set(names)) == answered + 1
    by_pid = agent.spans_by_pid()
    assert len(by_pid) >= 2
    for pid, sent in by_pid.items():
        assert all(name.split()[1] == str(pid) for name in sent), (pid, sent)


def _ask_all(port: int, workers: int) -> int:
    """Ask until every worker has answered, or often enough; return how many answers came."""

    def ask() -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            return bytes(answer.read())

    pids = {eventually(ask, 20)}
    count = 1
    until = time.monotonic() + 8
    while time.monotonic() < until and (len(pids) < workers or count < 40):
        pids.add(ask())
        count += 1
    return count


def test_a_program_patched_by_gevent_exports_flushes_and_stops(agent: ScriptedAgent) -> None:
    program = """
    from gevent import monkey
    monkey.patch_all()
    import os, gevent
    from puremux.exporter import Exporter
    from tests.shared.span_data import spans
    exporter = Exporter(os.environ["AGENT"])
    gevent.joinall([gevent.spawn(exporter.export, spans(10, f"g{n} ")) for n in range(10)])
    print(exporter.flush(10), exporter.stop(10), exporter.stats()["confirmed"])
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)],
        env={**os.environ, "AGENT": agent.address, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("True True 100\n", 0), done.stderr
