"""A gRPC server on the sans-I/O core; what the agent is built on, as the exporter is on a channel.

Floor 3, I/O: imports methods, transport, protocol, errors and status; knows nothing of OpenCensus.
"""

from __future__ import annotations

from .limits import ServerLimits
from .responder import Handler, Method, Responder
from .server import Server

__all__ = ["Handler", "Method", "Responder", "Server", "ServerLimits"]
