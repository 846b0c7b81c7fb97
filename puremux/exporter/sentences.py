"""What is said of an application's objects and errors, and what reads them, whatever they do when they are asked.

Floor 4, exporter: the standard library only.
"""

from __future__ import annotations

import reprlib
from typing import Any, Callable

__all__ = ["describe", "left_out", "reason_of", "refusing", "text"]


def text(value: object) -> str:
    """The value as text that UTF-8 can carry: ``str()`` of what is none, and "?" for each lone surrogate."""
    plain = str.__str__(value) if isinstance(value, str) else str(value)
    return str.encode(plain, "utf-8", "replace").decode("utf-8")


def describe(value: object) -> str:
    """A short ``repr`` for a sentence; the type's name when the object cannot even do that."""
    try:
        shown = text(reprlib.repr(value))
    except Exception:  # noqa: BLE001  an application's __repr__ may raise anything
        return f"a {type(value).__name__}"
    return shown if len(shown) <= 80 else shown[:77] + "..."


def left_out(what: str, value: object, error: Exception) -> str:
    """The sentence about a part, or a whole, that could not be sent."""
    try:
        shown, reason = describe(getattr(value, "name", value)), text(error)
    except Exception:  # noqa: BLE001  as below
        shown, reason = f"(a {type(value).__name__})", "it says nothing"
    kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "  # our own say enough
    return f"{what} {shown} is left out: {kind}{reason[:200]}"


def reason_of(error: BaseException) -> str:
    """An error in a few words for a sentence, whatever its own do."""
    name = type(error).__name__
    try:
        said = text(error)[:200]
    except Exception:  # noqa: BLE001  an application's error may raise another one when it is asked
        return name
    return f"{name}: {said}" if said else name


def refusing(write: Callable[[Any], bytes], refuse: Callable[[BaseException], object]) -> Callable[[Any], bytes]:
    """What writes an item, or nothing, and tells ``refuse`` why: an application's item is no reason to lose the others.

    ``KeyboardInterrupt`` passes: it is the user's, where the application's thread turns the loop.
    """

    def written(item: Any) -> bytes:
        try:
            return write(item)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  it may raise anything
            refuse(error)
            return b""

    return written
