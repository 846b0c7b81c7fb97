"""Threads where an interpreter refuses them, as its constructor or its ``start()`` may say."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from puremux.transport.driver import Driver
from puremux.transport.threads import start_thread

LIMIT = 10.0


def without_daemons(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an isolated subinterpreter does from Python 3.12 on."""

    class Thread(threading.Thread):
        def __init__(self, *args: Any, daemon: bool | None = None, **more: Any) -> None:
            if daemon:
                raise RuntimeError("daemon threads are disabled in this (sub)interpreter")
            super().__init__(*args, daemon=daemon, **more)

    monkeypatch.setattr(threading, "Thread", Thread)


def test_a_daemon_where_there_are_daemons() -> None:
    ran = threading.Event()
    thread = start_thread(ran.set, "the name")
    assert thread is not None and thread.daemon and thread.name == "the name"
    thread.join(LIMIT)
    assert ran.is_set()


def test_another_thread_where_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    without_daemons(monkeypatch)
    ran = threading.Event()
    thread = start_thread(ran.set, "the name")
    assert thread is not None and not thread.daemon
    thread.join(LIMIT)
    assert ran.is_set()


def test_a_driver_where_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    without_daemons(monkeypatch)
    driver, ran = Driver(), threading.Event()
    driver.call_soon(ran.set)
    assert ran.wait(LIMIT)
    driver.close()


def test_nothing_where_there_are_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert start_thread(lambda: None, "the name") is None
