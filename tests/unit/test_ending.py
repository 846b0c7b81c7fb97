"""Who is called at the end of the program, and how that is taken back."""

from __future__ import annotations

import atexit
import multiprocessing.process
import multiprocessing.util
from typing import Any, Callable

import pytest

from puremux.exporter import ending
from puremux.exporter.ending import at_end, at_end_of_child, never_at_end


class Noted:
    """Says what it is asked to do; equal to others of its kind by its identity only, as an engine is."""

    def __init__(self, name: str, said: list[str]) -> None:
        self._name = name
        self._said = said

    def begin_to_stop(self) -> None:
        """Begin."""
        self._said.append(f"begin {self._name}")

    def stop(self) -> None:
        """Stop."""
        self._said.append(f"stop {self._name}")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What atexit is given."""
    given: list[Callable[[], object]] = []
    monkeypatch.setattr(ending, "_waiting", {})
    monkeypatch.setattr(ending, "_given_to_atexit", [])
    monkeypatch.setattr(ending, "_finalizers", [])
    monkeypatch.setattr(atexit, "register", lambda function: given.append(function) or function)
    return given


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[Any, Any]:
    """What multiprocessing calls at the end of a worker, which this process is taken for."""
    monkeypatch.setattr(multiprocessing.process, "parent_process", object)
    found: dict[Any, Any] = {}
    monkeypatch.setattr(multiprocessing.util, "_finalizer_registry", found)
    monkeypatch.setattr(multiprocessing.util, "_afterfork_registry", {})
    return found


def test_all_begin_before_any_is_waited_for(registered: list[Callable[[], object]], said: list[str]) -> None:
    first, second, third = (Noted(name, said) for name in ("first", "second", "third"))
    for each in (first, second, third):
        at_end(each)
    never_at_end(second)
    never_at_end(second)
    (end,) = registered
    end()
    assert said == ["begin third", "begin first", "stop third", "stop first"]


def test_a_worker_ends_as_a_program_does(registry: dict[Any, Any], said: list[str]) -> None:
    first, second = Noted("first", said), Noted("second", said)
    at_end(first)
    at_end(second)
    never_at_end(first)
    (finalizer,) = registry.values()
    finalizer._callback()
    assert said == ["begin second", "stop second"]


def test_a_forked_worker_is_asked_when_it_begins(registry: dict[Any, Any], said: list[str]) -> None:
    at_end(Noted("one", said))
    at_end_of_child()
    registry.clear()  # as a worker does
    multiprocessing.util._run_after_forkers()
    (finalizer,) = registry.values()
    finalizer._callback()
    assert said == ["begin one", "stop one"]
