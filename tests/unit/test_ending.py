"""Who is called at the end of the program, and how that is taken back."""

from __future__ import annotations

import multiprocessing.process
import multiprocessing.util
from typing import Any

import pytest

from puremux.exporter.ending import at_end, at_end_of_child, never_at_end


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[Any, Any]:
    """What multiprocessing calls at the end of a worker, which this process is taken for."""
    monkeypatch.setattr(multiprocessing.process, "parent_process", object)
    found: dict[Any, Any] = {}
    monkeypatch.setattr(multiprocessing.util, "_finalizer_registry", found)
    monkeypatch.setattr(multiprocessing.util, "_afterfork_registry", {})
    return found


class Stoppable:
    """Equal to others of its kind by its identity only, as an engine is."""

    def stop(self) -> None:
        """Stop."""


def test_a_worker_that_takes_it_back_holds_nothing(registry: dict[Any, Any]) -> None:
    first, second = Stoppable(), Stoppable()
    at_end(first.stop)
    at_end(second.stop)
    assert len(registry) == 2
    never_at_end(first.stop)
    (left,) = registry.values()
    assert left._callback == second.stop
    never_at_end(second.stop)
    never_at_end(second.stop)
    assert not registry


def test_a_forked_worker_is_asked_when_it_begins_and_may_take_it_back(registry: dict[Any, Any]) -> None:
    one = Stoppable()
    at_end(one.stop)
    at_end_of_child(one.stop)
    registry.clear()  # as a worker does
    multiprocessing.util._run_after_forkers()
    assert [each._callback for each in registry.values()] == [one.stop]
    never_at_end(one.stop)
    assert not registry
