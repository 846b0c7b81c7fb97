"""Screens for commands that run for a while: drawn in place on a terminal, else a line now and then.

Floor 5, for the faces that run in the foreground: the standard library; rich only when it is there and the output is a
terminal.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Callable, Protocol, TextIO

__all__ = ["PlainScreen", "RichScreen", "Screen", "Seen", "WholeScreen", "screen_on"]

REMARKS = 3  # lines kept of what was said, where they have no place of their own


class Seen(Protocol):
    """How things stand at one moment."""

    def as_line(self) -> str:
        """In one line."""


class Screen(Protocol):
    """Where a command writes; in force within ``with``."""

    def __enter__(self) -> Screen: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def say(self, text: str) -> None:
        """Tell something that happened."""

    def show(self, look: Callable[[], Seen]) -> None:
        """Show how things stand; the screen looks if it has something to show."""


def screen_on(output: TextIO, in_place: Callable[[TextIO], Screen] | None, period: float | None) -> Screen:
    """Make the best screen that the output allows.

    Args:
        in_place: makes the one for a terminal; None if lines are asked for.
        period: seconds between two lines; None for only what is said.
    """
    if in_place is not None and output.isatty():
        try:
            return in_place(output)
        except ImportError:
            pass  # rich is an extra: plain lines tell the same
    return PlainScreen(output, period)


class PlainScreen:
    """A line now and then.

    Args:
        period: seconds between two lines; None for only what is said.
    """

    def __init__(self, output: TextIO, period: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self._period = period
        self._clock = clock
        self._shown_at = clock()

    def __enter__(self) -> PlainScreen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def say(self, text: str) -> None:
        """Write a line."""
        self._output.write(text + "\n")
        self._output.flush()

    def show(self, look: Callable[[], Seen]) -> None:
        """Write a line, if the last one is old enough."""
        now = self._clock()
        if self._period is not None and now - self._shown_at >= self._period:
            self._shown_at = now
            self.say(look().as_line())


class RichScreen:
    """A drawing in place, and above it what was said.

    Args:
        draw: makes what rich can draw of what was seen.
        live_options: for rich's ``Live``.
    Raises:
        ImportError: rich is not installed.
    """

    def __init__(self, output: TextIO, draw: Callable[[Any], Any], **live_options: Any) -> None:
        from rich.console import Console
        from rich.live import Live

        self._draw = draw
        self._console = Console(file=output, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, **(live_options or {"transient": True}))

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

    def show(self, look: Callable[[], Seen]) -> None:
        """Draw anew."""
        self._live.update(self._draw(look()), refresh=True)


class WholeScreen(RichScreen):
    """The whole terminal, drawn anew at each look, so that it follows the terminal's size.

    Args:
        draw: is also given the newest remarks, which are part of the drawing, and the terminal's height in lines.
    """

    def __init__(self, output: TextIO, draw: Callable[[Any, Sequence[str], int], Any]) -> None:
        self._remarks: deque[str] = deque(maxlen=REMARKS)
        super().__init__(output, lambda seen: draw(seen, tuple(self._remarks), self._console.size.height), screen=True)

    def say(self, text: str) -> None:
        """Have a line stand at the bottom for a while."""
        self._remarks.append(text)
