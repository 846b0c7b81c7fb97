"""The end of the program: what has to stop is told then, all of it at once, and that can be taken back.

Floor 4, exporter: imports the standard library only.
Source: the multiprocessing module, whose workers end by ``os._exit``: atexit is not for them, but finalizers are.
"""

from __future__ import annotations

import atexit
import sys
from typing import Any, Protocol

__all__ = ["Ending", "at_end", "at_end_of_child", "never_at_end"]

EARLY = 10  # of multiprocessing's finalizers, those of a higher priority are called first


class Ending(Protocol):
    """What has something to do at the end."""

    def begin_to_stop(self) -> None:
        """Begin with it, and do not wait: others have to begin as well."""

    def stop(self) -> object:
        """Wait for it, within a bound that counts from :meth:`begin_to_stop`."""


_waiting: dict[Ending, None] = {}  # a set, in the order of their beginning
_given_to_atexit: list[Any] = []  # empty, or the one function
_finalizers: list[Any] = []  # empty, or the one that multiprocessing was given in this process, or in its parent


def at_end(ending: Ending) -> None:
    """Stop this when the program ends, be it a worker of multiprocessing's."""
    _waiting[ending] = None
    if not _given_to_atexit:
        _given_to_atexit.append(atexit.register(_end))
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        _finalize()


def at_end_of_child() -> None:
    """In a child that has just been forked: see to its end, though it may be a worker of multiprocessing's.

    A worker forgets its parent's finalizers before it begins, and calls what was registered for that moment.
    """
    util = _util()
    if util is not None:
        util.register_after_fork(_Starting(), _Starting.began)


def never_at_end(ending: Ending) -> None:
    """Take back what :func:`at_end` has asked for."""
    _waiting.pop(ending, None)


def _end() -> None:
    """Several agents that do not answer cost no more time than one."""
    endings = list(reversed(list(_waiting)))
    for ending in endings:
        ending.begin_to_stop()
    for ending in endings:
        ending.stop()


class _Starting:
    """A worker that begins; multiprocessing holds it weakly, so it holds itself until then."""

    def __init__(self) -> None:
        self._self: _Starting | None = self

    def began(self) -> None:
        self._self = None
        _finalize()


def _finalize() -> None:
    util = _util()
    if util is not None and not any(each.still_active() for each in _finalizers):
        _finalizers[:] = [util.Finalize(None, _end, exitpriority=EARLY)]


def _util() -> Any:
    return sys.modules.get("multiprocessing.util")
