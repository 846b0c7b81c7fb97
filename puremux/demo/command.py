"""``puremux demo``: runs the program, shows what becomes of its data, and tells at the end whether all of it arrived.

Floor 5, demo: imports the rest of ``demo``, zpages and exporter; opencensus, the agent and rich when they are needed.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..agent.signals import told_to_stop
from ..errors import PuremuxError
from ..exporter import Exporter
from ..exporter.streams import Pace
from ..screen import Screen
from ..zpages import Served, serve
from .screen import LogToScreen, screen_for
from .summary import Flow, Snapshot, Summary

if TYPE_CHECKING:
    from .embedded import EmbeddedAgent
    from .program import Program, Tempo

__all__ = ["add_options", "run"]

REFRESH = 0.25  # seconds between two looks at how things stand
FASTER = Pace(rotate_after=1.0)  # so that there is something to see: arrival is proven each second

NO_OPENCENSUS = """\
The demo is a program observed with the opencensus library, which cannot be imported ({}).  Install it without the
compiled packages that it declares but does not need here:
  pip install 'puremux[demo]' && pip install --no-deps opencensus"""
NO_PROMETHEUS = "The embedded agent needs prometheus-client ({}).  Install it: pip install 'puremux[agent]'"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``puremux demo``."""
    add = parser.add_argument
    add("--agent", metavar="HOST:PORT", help="send to this agent instead of an embedded one")
    add("--insecure", action="store_true", help="without TLS, even if that agent is on another machine")
    add("--duration", metavar="SECONDS", type=_seconds, help="end after so long; default: at Ctrl-C")
    add("--real-time", action="store_true", help="sleep and report as the documentation's program does")
    add("--prometheus", metavar="HOST:PORT", default="127.0.0.1:0", help="where the embedded agent serves its page")
    add("--zpages", metavar="PORT", type=int, default=0, help="of the program's own zPages; default: any free one")
    add("--seed", type=int, help="the same sleeps and line lengths in each run")
    add("--spans", metavar="COUNT", type=int, help="end after so many spans")
    add("--spans-log", metavar="FILE", type=Path, help="write each ended span there, as a line of JSON")
    add("--plain", action="store_true", help="plain lines, on a terminal too")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"takes seconds above zero, not {text}")
    return seconds


def run(options: argparse.Namespace) -> int:
    """Run the demo.

    Returns:
        0 when all that was recorded arrived, 1 when something was lost.
    Raises:
        PuremuxError, OSError: it cannot begin; the message says why.
    """
    try:
        from . import program
    except ImportError as error:
        raise PuremuxError(NO_OPENCENSUS.format(error)) from None
    tempo = program.REAL_TIME if options.real_time else program.BRISK
    with contextlib.ExitStack() as stack:
        screen = stack.enter_context(screen_for(sys.stdout, plain=options.plain))
        stack.enter_context(LogToScreen(screen))
        stop = stack.enter_context(told_to_stop())
        log = stack.enter_context(options.spans_log.open("w")) if options.spans_log else None
        agent = None if options.agent else stack.enter_context(_embedded(options.prometheus))
        exporter = stack.enter_context(_exporter(options, agent, tempo, program.EVERY_TRACE))
        pages = stack.enter_context(serve(options.zpages, exporter))
        screen.say(_greeting(options, agent, pages))
        job = program.Program(
            exporter, tempo, stop, sampler=exporter.sampler, seed=options.seed, most_spans=options.spans, log=log
        )
        _watch(job, exporter, screen, options.duration)
        summary = _close(job, exporter, screen, agent)
    sys.stdout.write(summary.as_text() + "\n")
    return 0 if summary.is_complete else 1


def _exporter(options: argparse.Namespace, agent: EmbeddedAgent | None, tempo: Tempo, sampler: Any) -> Exporter:
    return Exporter(
        agent.address if agent else options.agent,
        insecure=True if options.insecure else None,
        service_name="puremux-demo",
        sampler=sampler,
        reconnection_period=tempo.reconnection_period,
        bundle_delay=0.5,
        pace=FASTER,
    )


def _embedded(prometheus: str) -> EmbeddedAgent:
    from .embedded import EmbeddedAgent

    try:
        return EmbeddedAgent(prometheus)
    except ModuleNotFoundError as error:
        raise PuremuxError(NO_PROMETHEUS.format(error)) from None


def _greeting(options: argparse.Namespace, agent: EmbeddedAgent | None, pages: Served) -> str:
    end = f"It ends after {options.duration:g} s, or at Ctrl-C." if options.duration else "Ctrl-C ends it."
    if agent is None:
        return f"Spans and metrics go to the agent at {options.agent}.  {end}\n  this program's zPages: {pages.url}"
    return (
        f"Spans and metrics go to an embedded agent at {agent.address}.  {end}\n"
        f"  this program's zPages: {pages.url}\n"
        f"  the agent's zPages:    {agent.zpages}\n"
        f"  the Prometheus page:   {agent.page}"
    )


def _watch(program: Program, exporter: Exporter, screen: Screen, duration: float | None) -> None:
    began = time.monotonic()
    seconds = 0.0
    program.start()
    while duration is None or seconds < duration:
        screen.show(functools.partial(_snapshot, program, exporter, seconds))
        if program.done.wait(REFRESH):
            return
        seconds = time.monotonic() - began


def _snapshot(program: Program, exporter: Exporter, seconds: float) -> Snapshot:
    stats = exporter.stats()
    return Snapshot(
        seconds=seconds,
        spans_ended=program.ended,
        measurements=program.measurements,
        latest_ms=program.latest_ms,
        spans=Flow.of(stats),
        metrics=Flow.of(stats["metrics"]),
        state=stats["state"],
        reconnects=stats["reconnects"],
        last_error=stats["last_error"],
    )


def _close(program: Program, exporter: Exporter, screen: Screen, agent: EmbeddedAgent | None) -> Summary:
    """End the program, deliver what is on its way, and compare."""
    program.stop()
    if program.error is not None:
        screen.say(f"The program ended by {program.error!r}.")
    exporter.stop()
    stats = exporter.stats()
    return Summary(
        spans_ended=program.ended,
        spans=Flow.of(stats),
        metrics=Flow.of(stats["metrics"]),
        recorded=program.recorded,
        received_spans=agent.spans if agent else None,
        received=agent.counts(program.recorded) if agent else None,
    )
