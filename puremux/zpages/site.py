"""What a set of pages is made of: requests in, answers out, and no HTTP yet.

Floor 5, zpages: the standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Union

__all__ = ["Answer", "Filled", "NotHere", "Request", "Seen", "Site", "ZPage"]


@dataclass(frozen=True)
class Request:
    """What a browser asks a page for."""

    path: Sequence[str] = ()
    """What stands behind the page's name in the address, between slashes."""

    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    """What a POST brought; its token has been checked."""

    def number(self, name: str, default: int, most: int) -> int:
        """A whole number from the query, from 0 to ``most``; the default for anything else."""
        text = self.query.get(name, "")
        return min(int(text), most) if text.isascii() and text.isdigit() and len(text) < 10 else default


class NotHere(LookupError):
    """There is no such page; one sentence."""


@dataclass(frozen=True)
class Filled:
    """A template and what goes into it."""

    template: str
    values: Mapping[str, Any]
    status: str = "200 OK"


@dataclass(frozen=True)
class Seen:
    """After a change: where to look next, under the page's own name."""

    query: str = ""


Answer = Union[Filled, Seen]


class ZPage(Protocol):
    """One page; its methods run on the page server's threads."""

    name: str
    """Its address under the others, such as ``tracez``."""

    title: str
    """What it is about, in a few words."""

    changes: bool = False
    """True when it takes POST."""

    def get(self, request: Request) -> Filled:
        """Show it.

        Raises:
            NotHere: what is asked for does not exist.
        """

    def post(self, request: Request) -> Answer:
        """Change what it shows.

        Raises:
            NotHere: nothing can be changed here, as on most pages.
        """
        raise NotHere("Nothing can be changed here.")


class Site(Protocol):
    """Pages that belong together."""

    title: str
    """What they are about: a service and its agent, or an agent."""

    role: str
    """``exporter`` or ``agent``."""

    pages: Sequence[ZPage]

    def overview(self) -> Sequence[tuple[str, str]]:
        """Names and figures for the first page."""

    def close(self) -> None:
        """Nobody will ask any more."""
