"""What there is but one of: it holds a thread, a connection or a lock, and a copy would be another name for those.

Floor 1, words: imports the standard library only.
"""

from __future__ import annotations

from typing import NoReturn

__all__ = ["NoCopies"]


class NoCopies:
    """Refuses ``copy`` and ``pickle``, and so to be an argument of a process that ``multiprocessing`` spawns."""

    def __reduce__(self) -> NoReturn:
        name = type(self).__name__
        raise TypeError(
            f"{name} cannot be copied or pickled, since its connections belong to this process; "
            f"make another one where it is needed"
        )
