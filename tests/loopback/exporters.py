"""What the tests of exporters share: exporters that lose no time, and what their counts come to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from puremux.exporter import Exporter, Pace
from puremux.subchannel import Backoff
from tests.loopback.channels import Time

if TYPE_CHECKING:
    from tests.shared.scripted_agent import ScriptedAgent

QUICK = Pace(rotate_after=0.2, confirm_within=0.5, probe_after=0.1, probe_within=0.3)


def exporter_to(agent: ScriptedAgent, **options: Any) -> Exporter:
    options = {"bundle_delay": 0.02, "reconnection_period": 0.1, "pace": QUICK, **options}
    return Exporter(agent.address, **options)


@contextmanager
def out_of_time(agent: ScriptedAgent, **options: Any) -> Iterator[tuple[Exporter, Time]]:
    """An exporter whose clock stands still, until the test moves it or is over."""
    exporter = exporter_to(agent, start=False, **options)
    time = Time(exporter._engine.channel.driver)
    with exporter:
        try:
            yield exporter, time
        finally:
            time.go_on()


def total(stats: dict[str, Any]) -> int:
    return (
        stats["confirmed"] + sum(stats["dropped"].values()) + stats["queue"] + stats["waiting"] + stats["unconfirmed"]
    )


def quicken(exporter: Exporter) -> None:
    """Have refused streams tried again at once: the test is about what is sent, not when."""
    for signal in exporter._engine.signals:
        signal.service._backoff = Backoff(initial=0.01, maximum=0.01)
