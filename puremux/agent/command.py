"""``puremux agent``: the embedded agent in the foreground.

Floor 5, agent: imports agent and signals, and errors below.
"""

from __future__ import annotations

import argparse
import sys

from ..errors import PuremuxError
from .agent import Agent
from .signals import told_to_stop

__all__ = ["add_options", "run"]

GRACE = 1.0  # seconds that running calls have to end
DAY = 86_400.0  # seconds; some systems can't wait for ever


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``puremux agent``."""
    add = parser.add_argument
    add("--listen", metavar="ADDRESS", default="localhost:55678", help="HOST:PORT or unix:/path; default: %(default)s")
    add("--prometheus", metavar="HOST:PORT", help="serve the metrics of all clients there, at /metrics")
    add("--spans", metavar="FILE", help="append each span as a line of JSON; - for the output")


def run(options: argparse.Namespace) -> int:
    """Run the agent until SIGINT or SIGTERM.

    Raises:
        PuremuxError, OSError, ValueError: it cannot begin; the message says why.
    """
    with told_to_stop() as told, _agent(options) as agent:
        where = f"Listening for OpenCensus at {agent.address}."
        if agent.page is not None:
            where += f"  Metrics: {agent.page}"
        # Not on the output, which may be where the spans go.
        sys.stderr.write(where + "\n")
        sys.stderr.flush()
        while not told.wait(DAY):
            pass
        agent.stop(GRACE)
    return 0


def _agent(options: argparse.Namespace) -> Agent:
    try:
        return Agent(options.listen, prometheus=options.prometheus, spans=options.spans)
    except ModuleNotFoundError as error:
        raise PuremuxError(f"{error}; the Prometheus page needs it: pip install 'puremux[agent]'") from None
