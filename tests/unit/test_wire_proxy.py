"""How the proxy of ``puremux wire`` ends a connection: it asks what it died of, and waits for nobody for long."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from puremux.wire import proxy


class Writer:
    """A StreamWriter whose connection ends as it is told."""

    def __init__(self, error: Exception | None) -> None:
        self.transport = self
        self.events: list[str] = []
        self._error = error

    def close(self) -> None:
        self.events.append("close")

    async def wait_closed(self) -> None:
        self.events.append("asked")
        if self._error is not None:
            raise self._error
        await asyncio.Event().wait()

    def abort(self) -> None:
        self.events.append("abort")


@pytest.mark.parametrize("error", [ConnectionResetError(), BrokenPipeError(), None], ids=["reset", "pipe", "no end"])
def test_it_is_over_however_it_ends(error: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "CLOSING", 0.01)
    writer: Any = Writer(error)
    asyncio.run(asyncio.wait_for(proxy._end(writer), 10))
    assert writer.events == ["close", "asked", "abort"]
