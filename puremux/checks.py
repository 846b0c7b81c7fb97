"""Options as they are given: refused in a sentence that names the option, what it takes, and what it was given.

Floor 1, words: imports the standard library only.
"""

from __future__ import annotations

import math
import reprlib
from typing import Any

__all__ = [
    "check_flags",
    "check_functions",
    "check_kinds",
    "check_numbers",
    "check_whole_numbers",
    "checked_timeout",
    "shown",
]


def check_numbers(unit: str, *, of: str = "", or_none: bool = False, **options: Any) -> None:
    """See that each option is a number above zero; infinity is one, and means never, or no bound.

    Args:
        unit: what is counted, as in ``seconds``.
        of: whose options they are, where the names alone would not tell.
        or_none: whether None is taken as well.
        options: values by the options' names.
    Raises:
        TypeError: one is no number.
        ValueError: one is not above zero, is not a number at all (NaN), or is larger than floats are.
    """
    for name, value in options.items():
        if value is not None or not or_none:
            takes = f"{of}{': ' if of else ''}{name} takes a number of {unit}"
            if not _is_real(value):
                raise TypeError(f"{takes}{' or None' if or_none else ''}, not {shown(value)}")
            try:
                is_above = float(value) > 0  # nor is NaN, to which no comparison would ever say yes
            except OverflowError:
                raise ValueError(f"{takes}, and {shown(value)} is larger than a float can be") from None
            if not is_above:
                raise ValueError(f"{takes} above zero, not {shown(value)}")


def check_whole_numbers(lowest: int, *, or_none: bool = False, **options: Any) -> None:
    """See that each option is a whole number, ``lowest`` at the least; see :func:`check_numbers`."""
    for name, value in options.items():
        if value is not None or not or_none:
            takes = f"{name} takes a whole number{'' if lowest else ' from 0 up'}{' or None' if or_none else ''}"
            if not _is_whole(value):
                raise TypeError(f"{takes}, not {shown(value)}")
            if value < lowest:
                raise ValueError(f"{takes}{' above zero' if lowest else ''}, not {shown(value)}")


def check_flags(**options: Any) -> None:
    """See that each option is True, False or None: the text ``"false"`` would be taken for a yes.

    Raises:
        TypeError: one is something else.
    """
    for name, value in options.items():
        if value is not None and not isinstance(value, bool):
            raise TypeError(f"{name} takes True, False or None, not {shown(value)}")


def check_kinds(kind: type, **options: Any) -> None:
    """See that each option is of a kind, or None.

    Raises:
        TypeError: one is of another.
    """
    for name, value in options.items():
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"{name} takes {kind.__name__} or None, not {shown(value)}")


def check_functions(**options: Any) -> None:
    """See that each option can be called, or is None.

    Raises:
        TypeError: one cannot.
    """
    for name, value in options.items():
        if value is not None and not callable(value):
            raise TypeError(f"{name} takes something to call or None, not {shown(value)}")


def checked_timeout(timeout: Any) -> float | None:
    """Seconds to wait; None for endlessly many.

    Raises:
        TypeError: it is no number.
        ValueError: it is NaN.
    """
    if timeout is None:
        return None
    if not _is_real(timeout):
        raise TypeError(f"timeout takes a number of seconds or None, not {shown(timeout)}")
    try:
        seconds = float(timeout)
    except OverflowError:  # an int beyond all floats
        seconds = math.inf if timeout > 0 else -math.inf
    if math.isnan(seconds):
        raise ValueError("timeout takes seconds, and NaN is none")
    return None if seconds == math.inf else seconds


def _is_real(value: object) -> bool:
    if isinstance(value, (int, float)):
        return True
    from numbers import Real  # numpy's numbers, fractions

    return isinstance(value, Real)


def _is_whole(value: object) -> bool:
    if isinstance(value, int):
        return True
    from numbers import Integral

    return isinstance(value, Integral)


def shown(value: object) -> str:
    """A short ``repr`` for a sentence, whatever the value's own does."""
    try:
        return reprlib.repr(value)[:100]
    except Exception:  # noqa: BLE001  an application's __repr__, and an int of more digits than Python writes
        return f"something of type {type(value).__name__}"
