"""Times as messages have them: seconds and nanoseconds since 1970, and how they are written.

Floor 5, agent: the standard library only.
Spec: google/protobuf/timestamp.proto; RFC 3339.
"""

from __future__ import annotations

import functools
from datetime import datetime, timedelta
from typing import Any

__all__ = ["iso_time", "nanoseconds"]

EPOCH = datetime(1970, 1, 1)  # all is UTC here
SECOND = 10**9  # nanoseconds


def nanoseconds(timestamp: Any) -> int:
    """A Timestamp as nanoseconds since 1970."""
    return int(timestamp.seconds) * SECOND + int(timestamp.nanos)


def iso_time(nanos: int) -> str:
    """Nanoseconds since 1970 as ``2026-11-23T22:13:55.185467266Z``; a year beyond 1 to 9999 as seconds, ``…s``."""
    seconds, rest = divmod(nanos, SECOND)
    try:
        return f"{_iso_seconds(seconds)}.{rest:09d}Z"
    except OverflowError:
        return f"{seconds}.{rest:09d}s"


@functools.lru_cache(maxsize=4096)
def _iso_seconds(seconds: int) -> str:
    return (EPOCH + timedelta(seconds=seconds)).isoformat()
