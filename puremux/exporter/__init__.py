"""The exporter facade: spans and metrics in, OpenCensus Agent protocol out.

Floor 4, exporter: imports channel, call and the floors below them, and ``puremux.proto``.

The names are imported when they are first used: the encoders in here run where there are no sockets, as in a browser.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .exporter import Exporter
    from .limits import SpanLimits
    from .streams import Pace

__all__ = ["Exporter", "Pace", "SpanLimits"]

_HOME = {"Exporter": "exporter", "Pace": "streams", "SpanLimits": "limits"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value
