"""What the demo shows while it runs: a table that stays in place, or a line now and then.

Floor 5, demo: imports summary; rich only when it is there and the output is a terminal.
"""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any, Protocol, TextIO

from .summary import Snapshot

__all__ = ["LogToScreen", "Screen", "screen_on"]

LINE_PERIOD = 1.0  # seconds between two plain lines


class Screen(Protocol):
    """Where the demo writes."""

    def __enter__(self) -> Screen: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def say(self, text: str) -> None:
        """Write lines that stay."""

    def show(self, snapshot: Snapshot) -> None:
        """Show how things stand."""


def screen_on(output: TextIO, *, plain: bool) -> Screen:
    """Make the best screen that the output allows."""
    if not plain and output.isatty():
        try:
            return RichScreen(output)
        except ImportError:
            pass  # rich is an extra: plain lines tell the same
    return PlainScreen(output)


class PlainScreen:
    """A line each second."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._shown_at = 0.0

    def __enter__(self) -> PlainScreen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def say(self, text: str) -> None:
        """Write lines that stay."""
        self._output.write(text + "\n")
        self._output.flush()

    def show(self, snapshot: Snapshot) -> None:
        """Write a line, if the last one is old enough."""
        if snapshot.seconds - self._shown_at >= LINE_PERIOD:
            self._shown_at = snapshot.seconds
            self.say(snapshot.as_line())


class RichScreen:
    """A table in place, and above it the lines that stay.

    Raises:
        ImportError: rich is not installed.
    """

    def __init__(self, output: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=output, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> RichScreen:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """Write lines that stay."""
        self._console.print(text, markup=False, soft_wrap=True)

    def show(self, snapshot: Snapshot) -> None:
        """Draw the table anew."""
        self._live.update(_table(snapshot), refresh=True)


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
