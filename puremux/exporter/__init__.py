"""The exporter facade: spans and metrics in, OpenCensus Agent protocol out.

Floor 4, exporter: imports channel, call and the floors below them, and ``puremux.proto``.
"""

from __future__ import annotations

from .exporter import Exporter
from .limits import SpanLimits
from .streams import Pace

__all__ = ["Exporter", "Pace", "SpanLimits"]
