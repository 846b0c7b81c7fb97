"""What the agent does, live in a terminal: clients, rates, errors, what is refused, memory; or as plain lines.

Floor 5, agent: imports agent and views, and screen below; rich only when it is there and the output is a terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from ..screen import Screen, WholeScreen, screen_on
from .agent import Agent
from .clients import ClientView
from .views import AgentView

__all__ = ["LOOK", "Glance", "drawing", "glance", "screen_for"]

LOOK = 0.5  # seconds between two looks
LINE_PERIOD = 5.0  # seconds between two plain lines
AROUND = 14  # lines that the table of clients leaves to all else


@dataclass(frozen=True)
class Glance:
    """The agent at one moment."""

    seconds: float
    """Since the view began."""

    view: AgentView
    clients: Sequence[ClientView]
    memory: int | None
    """Bytes of this process that are in memory; None where the system does not tell."""

    @property
    def rates(self) -> tuple[float, float]:
        """Spans and metrics a second, of all clients."""
        spans = sum(each.spans_per_second for each in self.clients)
        return spans, sum(each.metrics_per_second for each in self.clients)

    def rows(self) -> list[tuple[str, str]]:
        """What there is to tell but for the clients, as pairs of a heading and words."""
        totals, server, forward = self.view.totals, self.view.server, self.view.forward
        spans, metrics = self.rates
        refused = [f"{what}: {reason.replace('_', ' ')} {count:,}" for what, reason, count in self.view.refused()]
        rows = [
            ("connections", f"{server.connections:,}" if server else "none"),
            ("clients", f"{totals.clients:,}, {totals.expired_clients:,} forgotten"),
            ("spans", f"{totals.spans:,}, {spans:,.0f} a second"),
            ("metrics", f"{totals.metrics:,}, {metrics:,.0f} a second; {totals.series:,} time series held"),
            ("refused", "; ".join(refused) or "nothing"),
        ]
        if forward is not None:
            held = forward.spans["waiting"] + forward.spans["unconfirmed"]
            lost = sum(forward.spans["dropped"].values())
            words = f"{forward.state}; {forward.spans['confirmed']:,} spans confirmed, {held:,} held, {lost:,} given up"
            rows.append((f"to {forward.target}", words))
        if self.memory is not None:
            rows.append(("memory", f"{self.memory / 2**20:,.0f} MiB"))
        return rows

    def as_line(self) -> str:
        """All but the clients in a line."""
        return f"{self.seconds:.0f} s: " + "; ".join(f"{heading} {words}" for heading, words in self.rows())


def screen_for(output: TextIO, title: str, *, live: bool) -> Screen:
    """Make the screen that is asked for, or the best that the output allows."""

    def in_place(terminal: TextIO) -> Screen:
        return WholeScreen(terminal, lambda seen, remarks, height: drawing(seen, title, remarks, height))

    return screen_on(output, in_place if live else None, LINE_PERIOD if live else None)


def glance(agent: Agent, seconds: float) -> Glance:
    """Look at an agent."""
    return Glance(seconds, agent.view(), agent.store.clients(), _resident_bytes())


def drawing(shown: Glance, title: str, remarks: Sequence[str], height: int) -> Any:
    """A glance as what rich can draw, for a terminal of so many lines."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    facts = Table(box=None, show_header=False, padding=(0, 1))
    for heading, words in shown.rows():
        facts.add_row(Text(heading, style="bold"), Text(_plain(words)))
    table = Table(expand=True)
    for heading in ("service", "instance", "spans/s", "spans", "metrics/s", "time series", "refused"):
        table.add_column(heading, justify="left" if heading in ("service", "instance") else "right", no_wrap=True)
    busiest = sorted(shown.clients, key=lambda each: (-each.spans_per_second - each.metrics_per_second, -each.requests))
    room = max(1, height - AROUND - len(remarks))
    for client in busiest[:room]:
        table.add_row(*map(Text, _cells(client)))
    if len(busiest) > room:
        table.caption = f"and {len(busiest) - room:,} more"
    said = [Text(_plain(remark), style="yellow") for remark in remarks]
    return Group(Text(_plain(f"{title}  {shown.seconds:.0f} s"), style="bold"), facts, table, *said)


def _cells(client: ClientView) -> tuple[str, ...]:
    identity = client.identity
    return (
        _plain(identity.service_name or "(no name)"),
        _plain(identity.instance),
        f"{client.spans_per_second:,.1f}",
        f"{client.spans:,}",
        f"{client.metrics_per_second:,.1f}",
        f"{client.series:,}",
        f"{client.refused:,}",
    )


def _plain(text: str) -> str:
    """A text that cannot steer the terminal: names are what clients say they are."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text[:200])


def _resident_bytes() -> int | None:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        pass
    if sys.platform == "win32":
        return None
    import resource  # here, since Windows has none

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # the most so far, which is what other systems tell
    return most if sys.platform == "darwin" else most * 1024
