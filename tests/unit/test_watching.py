"""Watchers of an exporter: told, let go, and never in the way."""

from __future__ import annotations

from typing import Any

import pytest

from puremux.exporter.watching import Watchers


class Seen:
    def __init__(self) -> None:
        self.events: list[Any] = []

    def batch(self, signal: str, payload: bytes) -> None:
        self.events.append((signal, payload))

    def looked(self) -> None:
        self.events.append("looked")

    def forked(self) -> None:
        self.events.append("forked")


class Broken(Seen):
    def batch(self, signal: str, payload: bytes) -> None:
        raise RuntimeError("a mistake")


def test_watchers_are_told_until_they_are_removed() -> None:
    watchers, seen = Watchers(), Seen()
    assert not watchers
    watchers.add(seen)
    assert watchers
    watchers.batch("spans", b"x")
    watchers.looked()
    watchers.forked()
    watchers.remove(seen)
    watchers.remove(seen)
    watchers.looked()
    assert seen.events == [("spans", b"x"), "looked", "forked"]


def test_a_watcher_that_fails_is_logged_and_told_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    watchers, broken, seen = Watchers(), Broken(), Seen()
    watchers.add(broken)
    watchers.add(seen)
    watchers.batch("spans", b"x")
    watchers.batch("spans", b"y")
    assert seen.events == [("spans", b"x"), ("spans", b"y")]
    assert len(caplog.records) == 1
    assert "a mistake" in caplog.text
