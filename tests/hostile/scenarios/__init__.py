"""Every scenario, by what it attacks; importing this fills the table."""

from __future__ import annotations

from ..table import TABLE
from . import (
    floods,
    flow,
    frames,
    goaway,
    headers,
    hpack,
    messages,
    resets,
    settings,
    status,
    tls,
    transport,
)

__all__ = [
    "TABLE",
    "floods",
    "flow",
    "frames",
    "goaway",
    "headers",
    "hpack",
    "messages",
    "resets",
    "settings",
    "status",
    "tls",
    "transport",
]
