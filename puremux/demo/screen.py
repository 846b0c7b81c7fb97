"""What the demo shows while it runs: a table that stays in place, or a line now and then.

Floor 5, demo: imports summary, and screen below; rich only when it is there and the output is a terminal.
"""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any, TextIO

from ..screen import RichScreen, Screen, screen_on
from .summary import Snapshot

__all__ = ["LogToScreen", "screen_for"]

LINE_PERIOD = 1.0  # seconds between two plain lines


def screen_for(output: TextIO, *, plain: bool) -> Screen:
    """Make the best screen that the output allows."""
    return screen_on(output, None if plain else lambda terminal: RichScreen(terminal, _table), LINE_PERIOD)


def _table(snapshot: Snapshot) -> Any:
    from rich.table import Table
    from rich.text import Text

    state = Text(snapshot.state, style="green" if snapshot.is_connected else "yellow")
    table = Table(title=Text.assemble(f"{snapshot.seconds:.0f} s, connection: ", state))
    for heading in ("", "recorded", "sent", "sent again", "confirmed", "dropped"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, recorded, flow in snapshot.flows:
        table.add_row(name, recorded, *map(str, (flow.sent, flow.replayed, flow.confirmed)), flow.dropped_as_text())
    table.caption = snapshot.caption()
    return table


class LogToScreen(logging.Handler):
    """Log lines as lines on the screen: one sentence each, tracebacks never; in force within ``with``."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.WARNING)
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's message, and the error that it may carry."""
        error = record.exc_info[1] if record.exc_info else None
        self._screen.say(record.getMessage() + (f": {error!r}" if error else ""))

    def __enter__(self) -> LogToScreen:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        logging.getLogger().removeHandler(self)
