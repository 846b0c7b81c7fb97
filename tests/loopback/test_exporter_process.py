"""The exporter and the life of processes: forks, the end of the interpreter, signals.

Each case is a program of its own, run by another interpreter, since what is tested ends or splits the process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.shared.scripted_agent import ScriptedAgent

PRELUDE = """
import os, signal, sys, threading, time
from puremux.exporter import Exporter
from tests.loopback.exporters import QUICK
from tests.shared.span_data import span, spans
"""


def run(program: str, agent: ScriptedAgent, **environment: str) -> subprocess.CompletedProcess[str]:
    program = PRELUDE + f"ADDRESS = {agent.address!r}\n" + textwrap.dedent(program)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(["."]), **environment}
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, env=environ, check=False
    )


def test_what_was_handed_over_leaves_at_the_end_of_the_program(agent: ScriptedAgent) -> None:
    done = run(
        """
        exporter = Exporter(ADDRESS, bundle_delay=60)
        exporter.export(spans(100))
        """,
        agent,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(agent.span_names()) == 100


def test_an_exporter_that_was_never_used_lets_the_program_end(agent: ScriptedAgent) -> None:
    done = run("exporter = Exporter(ADDRESS, start=False)", agent)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_program_whose_agent_is_dead_ends_within_a_second_or_two(agent: ScriptedAgent) -> None:
    agent.stop()
    done = run(
        """
        exporter = Exporter(ADDRESS)
        exporter.export(spans(100))
        import atexit
        began = time.monotonic()
        atexit._run_exitfuncs()
        print(time.monotonic() - began < 1.5)
        """,
        agent,
    )
    assert done.stdout == "True\n"
    assert "100 spans were not delivered" in done.stderr and "Traceback" not in done.stderr


def test_many_exporters_whose_agents_are_silent_end_as_soon_as_one(agent: ScriptedAgent) -> None:
    done = run(
        """
        import atexit, socket
        silent = socket.create_server(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % silent.getsockname()[1]
        before = []
        atexit.register(lambda: print(time.monotonic() - before[0] < 4))  # the last to be called
        exporters = [Exporter(address) for _ in range(8)]
        exporters.append(Exporter(ADDRESS, pace=QUICK))
        for each in exporters:
            each.export(spans(3))
        before.append(time.monotonic())
        """,
        agent,
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stdout + done.stderr
    assert len(agent.span_names()) == 3
    assert done.stderr.count("3 spans were not delivered") == 8


def test_spans_end_at_their_own_process_after_a_fork(agent: ScriptedAgent) -> None:
    done = run(
        """
        exporter = Exporter(ADDRESS, bundle_delay=60, pace=QUICK)
        exporter.export(spans(5, "early"))
        assert exporter.flush(10)
        exporter.export(spans(5, "parent"))     # still in the queue at the fork
        pids = []
        for number in range(3):
            pid = os.fork()
            if pid == 0:
                exporter.export(spans(5, f"child{number}-"))
                delivered = exporter.flush(10)
                stats = exporter.stats()
                os._exit(0 if delivered and stats["confirmed"] == 5 and stats["connections"] == 1 else 1)
            pids.append(pid)
        for pid in pids:
            assert os.waitpid(pid, 0)[1] == 0
        assert exporter.stop(10)
        assert exporter.stats()["confirmed"] == 10 and exporter.stats()["connections"] == 1
        """,
        agent,
    )
    assert (done.returncode, done.stderr) == (0, "")
    by_pid = agent.spans_by_pid()
    names = sorted(sorted(each) for each in by_pid.values())
    assert names == sorted(
        sorted(group)
        for group in (
            [f"early{n}" for n in range(5)] + [f"parent{n}" for n in range(5)],
            *([f"child{number}-{n}" for n in range(5)] for number in range(3)),
        )
    )


def test_a_child_that_exports_nothing_starts_no_thread_and_exits_at_once(agent: ScriptedAgent) -> None:
    done = run(
        """
        exporter = Exporter(ADDRESS, pace=QUICK)
        exporter.export(spans(5))
        assert exporter.flush(10)
        pid = os.fork()
        if pid == 0:
            print(threading.active_count(), flush=True)
            sys.exit(0)                       # runs atexit, unlike os._exit
        assert os.waitpid(pid, 0)[1] == 0
        exporter.export(spans(5, "after"))
        assert exporter.flush(10) and exporter.stats()["connections"] == 1
        """,
        agent,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
    assert len(agent.span_names()) == 10


def test_multiprocessing_workers_deliver(agent: ScriptedAgent) -> None:
    done = run(
        """
        import multiprocessing
        exporter = Exporter(ADDRESS, pace=QUICK, bundle_delay=0.05)
        exporter.export(spans(1, "parent"))

        def work(number):
            exporter.export(spans(10, f"worker{number}-"))
            assert exporter.flush(10)

        context = multiprocessing.get_context("fork")
        workers = [context.Process(target=work, args=(number,)) for number in range(4)]
        for worker in workers: worker.start()
        for worker in workers: worker.join()
        assert [worker.exitcode for worker in workers] == [0] * 4
        """,
        agent,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(agent.span_names()) == len(set(agent.span_names())) == 41


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_worker_of_multiprocessing_delivers_at_its_end(agent: ScriptedAgent, tmp_path: Path, method: str) -> None:
    (tmp_path / "work.py").write_text("""
from puremux.exporter import Exporter
from tests.shared.span_data import spans
exporter = None
def work(address, number):
    global exporter
    exporter = exporter or Exporter(address, bundle_delay=60)
    exporter.export(spans(10, f"worker{number}-"))
""")
    done = run(
        """
        import multiprocessing
        import work
        if METHOD == "fork":
            work.exporter = Exporter(ADDRESS, bundle_delay=60)
        context = multiprocessing.get_context(METHOD)
        workers = [context.Process(target=work.work, args=(ADDRESS, number)) for number in range(3)]
        for worker in workers: worker.start()
        for worker in workers: worker.join()
        assert [worker.exitcode for worker in workers] == [0] * 3
        """.replace("METHOD", repr(method)),
        agent,
        PYTHONPATH=os.pathsep.join([".", str(tmp_path)]),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(agent.span_names()) == len(set(agent.span_names())) == 30


def test_a_child_delivers_what_it_exported_just_before_its_end(agent: ScriptedAgent) -> None:
    done = run(
        """
        exporter = Exporter(ADDRESS, pace=QUICK)
        for number in range(4):
            pid = os.fork()
            if pid == 0:
                exporter.export(spans(1, f"child{number}-"))
                sys.exit(0 if exporter.stop() else 1)
            assert os.waitpid(pid, 0)[1] == 0, number
        """,
        agent,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(agent.span_names()) == 4


def test_a_fork_in_the_middle_of_encoding_leaves_the_child_whole(agent: ScriptedAgent) -> None:
    done = run(
        """
        reached, go_on = threading.Event(), threading.Event()
        class Slow:
            def __getattr__(self, name):
                reached.set(); go_on.wait(10)
                raise AttributeError(name)
        exporter = Exporter(ADDRESS, pace=QUICK, bundle_count=1)
        exporter.export([Slow()])
        assert reached.wait(10)
        pid = os.fork()
        if pid == 0:
            exporter.export(spans(1, "child"))
            delivered, stats = exporter.flush(10), exporter.stats()
            os._exit(0 if delivered and stats["accepted"] == stats["confirmed"] == 1 else 1)
        assert os.waitpid(pid, 0)[1] == 0
        go_on.set()
        assert exporter.flush(10)
        """,
        agent,
    )
    assert done.returncode == 0, done.stderr
    assert agent.span_names().count("child0") == 1


def test_a_signal_handler_may_export_flush_and_count_in_the_middle_of_an_export(agent: ScriptedAgent) -> None:
    done = run(
        """
        exporter = Exporter(ADDRESS, pace=QUICK, queue_size=20, bundle_count=10, bundle_delay=0.01)
        handled = 0
        def handle(number, frame):
            global handled
            exporter.export(spans(3, "handler"))
            exporter.stats()
            exporter.flush(0.001)
            handled += 1
            signal.setitimer(signal.ITIMER_REAL, 0.001)  # the next, and never two at a time
        signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        exported, until = 0, time.monotonic() + 20
        while handled < 300 and time.monotonic() < until:
            exporter.export(spans(30)); exporter.stats()
            exported += 30
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        assert handled >= 300
        assert exporter.stop(10)
        stats = exporter.stats()
        assert stats["accepted"] == exported + 3 * handled == stats["confirmed"] + sum(stats["dropped"].values()), stats
        """,
        agent,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_signal_handler_may_stop_the_exporter(agent: ScriptedAgent) -> None:
    done = run(
        """
        exporter = Exporter(ADDRESS, bundle_delay=60)
        def handle(number, frame):
            sys.exit(0 if exporter.stop() else 1)
        signal.signal(signal.SIGTERM, handle)
        for number in range(1_000_000):
            exporter.export(spans(1))
            if number == 100:
                threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGTERM)).start()
        """,
        agent,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(agent.span_names()) > 0


def test_exporters_that_are_dropped_leave_nothing_behind(agent: ScriptedAgent) -> None:
    done = run(
        """
        import gc
        from puremux.exporter.engine import Engine
        def left():
            gc.collect()
            return sum(isinstance(each, Engine) for each in gc.get_objects()), threading.active_count()
        for _ in range(10):
            Exporter(ADDRESS).export(spans(1))
        until = time.monotonic() + 10
        while left() != (0, 1) and time.monotonic() < until:
            time.sleep(0.01)
        print(*left())
        """,
        agent,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 1\n", "")
    assert len(agent.span_names()) == 10


def test_a_clock_that_jumps_matters_to_nobody(agent: ScriptedAgent) -> None:
    done = run(
        """
        exporter = Exporter(ADDRESS, pace=QUICK, bundle_delay=0.05)
        exporter.export(spans(1, "a"))
        real = time.time
        for jump in (-10**6, 10**6):
            time.time = lambda: real() + jump
            exporter.export(spans(1, "b"))
            assert exporter.flush(10)
        print(exporter.stats()["connections"], exporter.stats()["replayed"])
        """,
        agent,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 0\n", "")


def test_a_fork_while_spans_pour_in_harms_nobody(agent: ScriptedAgent) -> None:
    done = run(
        """
        exporter = Exporter(ADDRESS, pace=QUICK, bundle_delay=0.01, bundle_count=10)
        running = True
        def pour():
            number = 0
            while running:
                exporter.export(spans(1, f"p{number}-")); number += 1; time.sleep(0.0005)
        threads = [threading.Thread(target=pour) for _ in range(3)]
        for thread in threads: thread.start()
        for number in range(20):
            pid = os.fork()
            if pid == 0:
                exporter.export(spans(1, f"child{number}-"))
                os._exit(0 if exporter.flush(10) else 1)
            assert os.waitpid(pid, 0)[1] == 0, number
        running = False
        for thread in threads: thread.join()
        assert exporter.stop(10)
        stats = exporter.stats()
        assert stats["confirmed"] == stats["accepted"], stats
        """,
        agent,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_in_a_waiting_main_thread_leaves_the_exporter_usable(agent: ScriptedAgent) -> None:
    agent.on_half_close = lambda stream: None  # flush() has to wait
    done = run(
        """
        exporter = Exporter(ADDRESS)
        exporter.export(spans(5))
        threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        try:
            exporter.flush(20)
        except KeyboardInterrupt:
            exporter.export(spans(5, "later"))
            print(exporter.flush(0.1), exporter.stats()["accepted"])
        os._exit(0)
        """,
        agent,
    )
    assert done.stdout == "False 10\n"


def test_works_without_threads_to_be_had_at_the_interpreters_end(agent: ScriptedAgent) -> None:
    done = run(
        """
        import atexit
        atexit.register(lambda: print(exporter.flush(10)))   # runs after the exporter's own handler is gone
        exporter = Exporter(ADDRESS, start=False)
        exporter.export(spans(5))
        atexit.unregister(exporter._engine.stop)
        def begin():
            exporter.start()
            exporter.stop()
        atexit.register(begin)
        """,
        agent,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    assert len(agent.span_names()) == 5
