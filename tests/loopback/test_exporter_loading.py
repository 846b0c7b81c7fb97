"""What the exporter loads when: modules that come late, slowly, or not at all.

Each case is a program of its own, run by another interpreter, since a module is loaded once.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.shared.scripted_agent import ScriptedAgent

EXPORTER = """
import sys, time, types, puremux
exporter = puremux.Exporter(sys.argv[1], reconnection_period=0.05, bundle_delay=0.05)
span = types.SimpleNamespace(name="a", context=types.SimpleNamespace(trace_id="1" * 32), span_id="2" * 16)
"""
HAND_OVER = "exporter.export([span])\n"

ABSENT = "import sys; sys.modules[sys.argv[2]] = None\n"
PRESENT = "del sys.modules[sys.argv[2]]\n"

SLOW = """
import os, sys, threading, time
loading = threading.Event()
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[2]:
            loading.set()
            time.sleep(1.5)
sys.meta_path.insert(0, Slow())
"""
"""A slow machine: finding the module takes a second and a half."""

SESSION, ENCODER = "h2.connection", "puremux.exporter.spans"
"""Loaded by the first attempt to connect, and with the first spans."""


def run(agent: ScriptedAgent, module: str, *parts: str) -> subprocess.CompletedProcess[str]:
    """Run a program of these parts, which take the module for the one that comes late."""
    command = [sys.executable, "-c", "".join(parts), agent.address, module]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)


def test_spans_are_delivered_without_protobuf(agent: ScriptedAgent) -> None:
    ending = "print(exporter.flush(10), exporter.stats()['confirmed'], 'google.protobuf' in sys.modules)"
    assert run(agent, "", EXPORTER, HAND_OVER, ending).stdout == "True 1 False\n"


def test_what_cannot_be_loaded_yet_is_loaded_by_a_later_attempt(agent: ScriptedAgent) -> None:
    """As where there are no file descriptors for a while."""
    listening = """
import logging, threading
failed = threading.Event()
class Handler(logging.Handler):
    def emit(self, record): print(record.getMessage()); failed.set()
logging.getLogger("puremux").addHandler(Handler())
"""
    waiting, ending = "assert failed.wait(10)\n", "print(exporter.flush(10))"
    said = run(agent, SESSION, ABSENT, listening, EXPORTER, HAND_OVER, waiting, PRESENT, ending).stdout.splitlines()
    assert f"Cannot connect to {agent.address}" in said[0] and SESSION in said[0]
    assert said[-1] == "True"


def test_spans_wait_for_an_encoder_that_cannot_be_loaded_yet(agent: ScriptedAgent) -> None:
    waiting = "print(exporter.flush(0.5), exporter.stats()['queue'])\n"
    ending = "print(exporter.flush(10), exporter.stats()['confirmed'])"
    done = run(agent, ENCODER, ABSENT, EXPORTER, HAND_OVER, waiting, PRESENT, ending)
    assert done.stdout == "False 1\nTrue 1\n"
    assert "The spans wait" in done.stderr and ENCODER in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_metrics_do_not_wait_for_an_encoder_of_spans(agent: ScriptedAgent) -> None:
    metric = """
named = types.SimpleNamespace(name="m", description="", unit="1", type=1, label_keys=[])
exporter.export_metrics([types.SimpleNamespace(descriptor=named, time_series=[])])
"""
    ending = "while exporter.stats()['metrics']['confirmed'] != 1: time.sleep(0.01)\nprint(exporter.stats()['queue'])"
    assert run(agent, ENCODER, ABSENT, EXPORTER, HAND_OVER, metric, ending).stdout == "1\n"


def test_nothing_is_imported_when_something_has_failed(agent: ScriptedAgent) -> None:
    """Without a file descriptor left it could not be."""
    ending = """
assert exporter.flush(10)
class Nothing:
    def find_spec(self, name, path=None, target=None): raise OSError("no file descriptor is left for " + name)
sys.meta_path[2:] = [Nothing()]  # what the interpreter has within itself can still be imported
other = puremux.Exporter("127.0.0.1:1")
while other.stats()["state"] != "transient failure": time.sleep(0.01)
"""
    done = run(agent, "", EXPORTER, HAND_OVER, ending)
    assert "refused" in done.stderr and "descriptor" not in done.stderr


@pytest.mark.parametrize("module", [SESSION, ENCODER])
def test_a_handler_flushes_in_the_middle_of_an_import(agent: ScriptedAgent, module: str) -> None:
    """The exporter's thread then waits for this import, and this thread for the exporter, as long as it said."""
    handler = """
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[2] and threading.current_thread() is threading.main_thread():
            print(exporter.flush(0.5))
import threading
sys.meta_path.insert(0, Interrupting())
"""
    started = EXPORTER.replace("bundle_delay=0.05", "start=False")
    ending = "exporter.start()\n__import__(sys.argv[2])\nprint(exporter.flush(10))"
    assert run(agent, module, started, handler, HAND_OVER, ending).stdout == "False\nTrue\n"


def test_a_handler_stops_in_the_middle_of_an_import(agent: ScriptedAgent) -> None:
    """What the exporter's thread loads then waits for this import; stopping waits for that, but not endlessly."""
    handler = """
import threading
import puremux.exporter.engine as engine
engine.FORK_WAIT = 0.2
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[2] and threading.current_thread() is threading.main_thread():
            loading = exporter._engine.channel.driver.loading
            while loading.acquire(blocking=False): loading.release(); time.sleep(0.01)
            print(exporter.stop(0.2))
sys.meta_path.insert(0, Interrupting())
"""
    started = EXPORTER.replace("bundle_delay=0.05", "start=False")
    ending = "exporter.start()\n__import__(sys.argv[2])"
    assert run(agent, SESSION, started, handler, HAND_OVER, ending).stdout == "False\n"


def test_spans_whose_encoder_is_never_there_are_counted(agent: ScriptedAgent) -> None:
    ending = "print(exporter.stop(0.5), exporter.stats()['dropped'])"
    done = run(agent, ENCODER, ABSENT, EXPORTER, HAND_OVER, ending)
    assert done.stdout == "False {'the exporter was stopped': 1}\n"


@pytest.mark.parametrize("module", [SESSION, ENCODER])
def test_a_fork_while_a_slow_machine_loads(agent: ScriptedAgent, module: str) -> None:
    """A child that found a module half loaded, by a thread that it does not have, would wait for it for ever."""
    splitting = """
assert loading.wait(10)
child = os.fork()
exporter.export([span])
delivered = exporter.flush(10)
if not child:
    os._exit(0 if delivered else 1)
print(delivered, os.waitpid(child, 0)[1])
"""
    assert run(agent, module, SLOW, EXPORTER, HAND_OVER, splitting).stdout == "True 0\n"


@pytest.mark.parametrize("ending", ["", "exporter.stop()"], ids=["the program's end", "stop"])
@pytest.mark.parametrize(
    "module, before",
    [
        pytest.param(SESSION, "", id="the session"),
        # The agent has been heard of before there is anything to encode, and is silent meanwhile.
        pytest.param(ENCODER, "while exporter.stats()['state'] != 'ready': time.sleep(0.01)\n", id="the encoder"),
    ],
)
def test_a_short_program_on_a_slow_machine_has_its_second_for_the_agent(
    agent: ScriptedAgent, module: str, before: str, ending: str
) -> None:
    run(agent, module, SLOW, EXPORTER, before, HAND_OVER, ending)
    assert agent.span_names() == ["a"]
