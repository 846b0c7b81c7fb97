"""The end of the program: who is called then, and how that is taken back.

Floor 4, exporter: imports the standard library only.
Source: the multiprocessing module, whose workers end by ``os._exit``: atexit is not for them, but finalizers are.
"""

from __future__ import annotations

import atexit
import sys
from typing import Any, Callable

__all__ = ["at_end", "at_end_of_child", "never_at_end"]

EARLY = 10  # of multiprocessing's finalizers, those of a higher priority are called first

_finalizers: dict[Callable[[], object], Any] = {}


def at_end(stop: Callable[[], object]) -> None:
    """Call ``stop`` when the program ends, be it a worker of multiprocessing's."""
    atexit.register(stop)
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        _finalize(stop)


def at_end_of_child(stop: Callable[[], object]) -> None:
    """In a child that has just been forked: call ``stop`` at its end, though it may be a worker of multiprocessing's.

    A worker forgets its parent's finalizers before it begins, and calls what was registered for that moment.
    """
    util = _util()
    if util is not None:
        util.register_after_fork(_Starting(stop), _Starting.began)


def never_at_end(stop: Callable[[], object]) -> None:
    """Take back what :func:`at_end` has asked for."""
    atexit.unregister(stop)
    finalizer = _finalizers.pop(stop, None)
    if finalizer is not None:
        finalizer.cancel()


class _Starting:
    """A worker that begins; multiprocessing holds it weakly, so it holds itself until then."""

    def __init__(self, stop: Callable[[], object]) -> None:
        self._stop = stop
        self._self: _Starting | None = self

    def began(self) -> None:
        self._self = None
        _finalize(self._stop)


def _finalize(stop: Callable[[], object]) -> None:
    util = _util()
    if util is not None:
        _finalizers[stop] = util.Finalize(None, stop, exitpriority=EARLY)


def _util() -> Any:
    return sys.modules.get("multiprocessing.util")
