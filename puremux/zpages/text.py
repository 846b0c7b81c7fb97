"""How pages write texts and numbers: hostile names made harmless to read, figures with units.

Floor 5, zpages: the standard library only.

Escaping HTML is jinja2's; here goes what HTML lets through: control characters, characters that turn the direction of
a line or can't be seen, halves of surrogate pairs, and names of ten thousand characters.
"""

from __future__ import annotations

import math
import unicodedata
from datetime import datetime, timezone

__all__ = ["clock_time", "cut", "day_time", "duration", "number", "size", "visible"]

HARMLESS = frozenset("\u200c\u200d")  # join letters of real languages, and do no more
MINUTE, HOUR = 60, 3600
DURATIONS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"))  # nanoseconds of a unit
SIZES = ("KiB", "MiB", "GiB", "TiB")


def visible(text: str) -> str:
    """The text, with whatever could not be seen or would move its neighbours written out, as in ``⟨U+202E⟩``."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in HARMLESS else _written_out(each) for each in text)


def _written_out(character: str) -> str:
    code = ord(character)
    if unicodedata.category(character) == "Zs":
        return character  # a space, if not the usual one
    return f"⟨U+{code:04X}⟩"


def cut(text: str, most: int) -> tuple[str, int]:
    """The text's beginning, and how many characters are left out."""
    return text[:most], max(0, len(text) - most)


def duration(nanoseconds: float) -> str:
    """A length of time with three or four digits: ``12.3 µs``, ``1.23 ms``, ``2 min 5 s``."""
    seconds = nanoseconds / 1e9
    if seconds >= HOUR:
        return f"{int(seconds // HOUR)} h {int(seconds % HOUR // MINUTE)} min"
    if seconds >= MINUTE:
        return f"{int(seconds // MINUTE)} min {int(seconds % MINUTE)} s"
    for factor, unit in DURATIONS:
        if nanoseconds >= factor:
            return f"{_digits(nanoseconds / factor)} {unit}"
    return f"{nanoseconds:.0f} ns"


def size(count: float) -> str:
    """A number of bytes: ``512 B``, ``1.50 KiB``."""
    if count < 1024:
        return f"{count:.0f} B"
    power = 1
    while count >= 1024 ** (power + 1) and power < len(SIZES):
        power += 1
    return f"{_digits(count / 1024**power)} {SIZES[power - 1]}"


def number(value: float) -> str:
    """A number as a person reads it: ``12,345``, ``0.0312``, ``1.5e+20``."""
    if not math.isfinite(value):
        return str(value)
    if abs(value) < 1e15 and value == int(value):
        return f"{int(value):,}"
    return f"{value:,.2f}".rstrip("0").rstrip(".") if 100 <= abs(value) < 1e9 else f"{value:.4g}"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def day_time(nanoseconds: int) -> str:
    """A moment to the microsecond, in UTC; what no calendar has is given as a number."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    try:
        moment = datetime.fromtimestamp(seconds, timezone.utc)
    except (OverflowError, OSError, ValueError):
        return f"{nanoseconds} ns since 1970"
    return f"{moment:%Y-%m-%d %H:%M:%S}.{rest // 1000:06d}"


def clock_time(seconds: float) -> str:
    """A moment of today or about, in UTC: ``12:34:56``."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%H:%M:%S")
