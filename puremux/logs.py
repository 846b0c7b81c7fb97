"""Log lines that cannot harm: a handler or a filter of the application's may raise, and nothing of ours ends for it.

Floor 1, words: imports the standard library only.
"""

from __future__ import annotations

import contextlib
import logging  # not later: importing it registers hooks of forks, which must not happen in the middle of a fork

__all__ = ["CarefulLogger"]


class CarefulLogger:
    """A logger whose lines get lost where those who are to write them fail.

    Args:
        name: of the ``logging`` module's logger.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def warning(self, message: str, *args: object, error: BaseException | None = None) -> None:
        """Something that the user can mend; with an error's traceback, if one is given."""
        self._log(logging.WARNING, message, args, error)

    def error(self, message: str, *args: object, error: BaseException | None = None) -> None:
        """Something that should not happen; likewise."""
        self._log(logging.ERROR, message, args, error)

    def _log(self, level: int, message: str, args: tuple[object, ...], error: BaseException | None) -> None:
        with contextlib.suppress(Exception):
            logging.getLogger(self.name).log(level, message, *args, exc_info=error, stacklevel=3)
