"""Findings: what one look at an address said, as plain data; screens and JSON are made of it.

Floor 5, probe: the standard library only.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Finding", "Mark", "can_export", "failed", "found", "left_out", "printable"]

LONGEST = 300  # characters of a server's own words that are shown


class Mark(enum.Enum):
    """How a look ended; the value is what a screen shows."""

    FOUND = "✓"
    FAILED = "✗"
    LEFT_OUT = "–"


@dataclass(frozen=True)
class Finding:
    """What one look said."""

    step: str
    """What was looked at, in a word or two, such as ``TLS``."""

    mark: Mark

    says: str
    """One sentence without a full stop; a server's own words in it are harmless to a terminal."""

    advice: str = ""
    """One sentence on what to do; every failure has one."""

    details: Mapping[str, Any] = field(default_factory=dict)
    """The same for programs: values that JSON can hold; times are in milliseconds."""

    def as_json(self) -> dict[str, Any]:
        """As a mapping that :mod:`json` can write."""
        return {
            "step": self.step,
            "outcome": self.mark.name.lower(),
            "says": self.says,
            "advice": self.advice,
            "details": dict(self.details),
        }


def found(step: str, says: str, **details: Any) -> Finding:
    """A look that went well."""
    return Finding(step, Mark.FOUND, says, "", details)


def failed(step: str, says: str, advice: str, **details: Any) -> Finding:
    """A look that found what keeps an exporter from sending."""
    return Finding(step, Mark.FAILED, says, advice, details)


def left_out(step: str, says: str, **details: Any) -> Finding:
    """A look that was not needed or not possible, or found what need not be there."""
    return Finding(step, Mark.LEFT_OUT, says, "", details)


def can_export(findings: Iterable[Finding]) -> bool:
    """Whether an exporter can send to the address: nothing failed."""
    return all(finding.mark is not Mark.FAILED for finding in findings)


def printable(text: str) -> str:
    """A peer's words, short, and without what could play tricks with a terminal."""
    shown = "".join(character if character.isprintable() else "·" for character in text[:LONGEST])
    return shown + "…" * (len(text) > LONGEST)
