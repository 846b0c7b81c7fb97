"""Threads, where an interpreter may refuse them.

Floor 3, transport: imports the standard library only.

An isolated subinterpreter has no daemon threads: up to Python 3.11 ``start()`` says so, from 3.12 on the constructor.
An interpreter that shuts down, and one in a browser, has none at all.
"""

from __future__ import annotations

import threading
from typing import Any, Callable

__all__ = ["start_thread"]


def start_thread(target: Callable[..., object], name: str, *args: Any) -> threading.Thread | None:
    """Run ``target(*args)`` on a daemon thread, on another one where there are no daemons; None where there is none."""
    for daemon in (True, False):
        try:
            thread = threading.Thread(target=target, name=name, args=args, daemon=daemon)
            thread.start()
        except RuntimeError:
            continue
        return thread
    return None
