"""puremux: traces and metrics to an OpenCensus Agent over gRPC, without grpcio.

The public names, nothing else; each is imported when it is first used, so that ``import puremux`` stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .channel import Channel as Channel
    from .errors import AddressError as AddressError
    from .errors import PuremuxError as PuremuxError
    from .errors import RpcError as RpcError
    from .errors import TransportError as TransportError
    from .exporter import Exporter as Exporter
    from .peer import Keepalive as Keepalive
    from .status import StatusCode as StatusCode
    from .subchannel import Backoff as Backoff
    from .subchannel import Connectivity as Connectivity

_HOME = {
    "AddressError": "errors",
    "Backoff": "subchannel",
    "Channel": "channel",
    "Connectivity": "subchannel",
    "Exporter": "exporter",
    "Keepalive": "peer",
    "PuremuxError": "errors",
    "RpcError": "errors",
    "StatusCode": "status",
    "TransportError": "errors",
}

__all__ = ["__version__", *_HOME]  # noqa: PLE0604  # the names are in the table, once


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
