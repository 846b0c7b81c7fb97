"""An embedded OpenCensus Agent.

Floor 5, a face: may import every floor below and ``puremux.proto``.
"""

from __future__ import annotations

from .agent import Agent
from .limits import AgentLimits

__all__ = ["Agent", "AgentLimits"]
