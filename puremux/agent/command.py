"""``puremux agent``: the embedded agent in the foreground.

Floor 5, agent: imports agent, forwarding, live, options, sampling and signals, and screen, transport and errors below.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import ssl
import sys
import time
from pathlib import Path
from threading import Event
from typing import Callable

from ..errors import PuremuxError
from ..screen import PlainScreen, Screen
from ..transport.pem import trusting
from ..transport.tls import server_context
from .agent import Agent
from .forwarding import NextAgent
from .live import LOOK, glance, screen_for
from .options import add_options, gather
from .sampling import trace_config
from .signals import hung_up, told_to_stop

__all__ = ["add_options", "run"]

LOST = 1  # exit code when something that was acknowledged has not reached the next agent


def run(options: argparse.Namespace) -> int:
    """Run the agent until SIGINT or SIGTERM.

    Returns:
        0, or 1 when at the end the next agent had not confirmed everything.
    Raises:
        PuremuxError, OSError, ValueError: it cannot begin; the message says why.
    """
    settings = gather(options)
    _raise_descriptor_limit()
    with told_to_stop() as told, hung_up() as again, _agent(settings) as agent:
        where = f"Listening for OpenCensus at {agent.address}."
        if agent.page is not None:
            where += f"  Metrics: {agent.page}"
        if agent.zpages is not None:
            where += f"  zPages: {agent.zpages}"
        try:
            # Not on the output, which may be where the spans go.
            sys.stderr.write(where + "\n")
            sys.stderr.flush()
            with screen_for(sys.stderr, where, live=settings.live) as screen:
                _attend(agent, options, told, again, screen)
        except OSError:  # whoever looked on is gone, as with a terminal that was closed; the clients are not
            with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
                _attend(agent, options, told, again, PlainScreen(nowhere, None))
        return 0 if agent.stop(settings.grace) else LOST


def _attend(agent: Agent, options: argparse.Namespace, told: Event, again: Event, screen: Screen) -> None:
    """Show how things stand, and read the file again when asked to, until told to stop."""
    began = time.monotonic()
    while not told.wait(LOOK):
        screen.show(lambda: glance(agent, time.monotonic() - began))
        if again.is_set():
            again.clear()
            _read_again(agent, options, screen.say)


def _read_again(agent: Agent, options: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Push the sampler that the file names now; all else needs a new start."""
    try:
        sampler = gather(options).config_push
        if sampler is not None:
            agent.push_config(trace_config(sampler))
        say(f"Read again: clients are asked for {sampler}." if sampler else "Read again: no sampler is asked for.")
    except (PuremuxError, ValueError) as error:
        say(f"puremux agent: {error}; what was in force stays.")


def _agent(options: argparse.Namespace) -> Agent:
    sampler = trace_config(options.config_push) if options.config_push is not None else None
    try:
        agent = Agent(
            options.listen,
            prometheus=options.prometheus,
            zpages=options.zpages,
            spans=options.spans,
            forward=_forward(options),
            tls=_tls(options),
            limits=options.limits,
        )
    except ModuleNotFoundError as error:
        raise PuremuxError(f"{error}; the Prometheus page needs it: pip install 'puremux[agent]'") from None
    if sampler is not None:
        agent.push_config(sampler)
    return agent


def _forward(options: argparse.Namespace) -> NextAgent | None:
    if options.forward is None:
        if options.forward_insecure or options.forward_ca:
            raise ValueError("--forward-insecure and --forward-ca need --forward")
        return None
    if options.forward_insecure and options.forward_ca:
        raise ValueError("--forward-insecure and --forward-ca exclude each other")
    tls = trusting(options.forward_ca) if options.forward_ca else None
    return NextAgent(options.forward, True if options.forward_insecure else None, tls)


def _tls(options: argparse.Namespace) -> ssl.SSLContext | None:
    if options.tls_cert is not None:
        return server_context(options.tls_cert, options.tls_key, options.tls_client_ca)
    if options.tls_key is not None or options.tls_client_ca is not None:
        raise ValueError("--tls-key and --tls-client-ca need --tls-cert")
    return None


def _raise_descriptor_limit() -> None:
    """As many connections as the system allows: what a shell allows is often 1024 descriptors."""
    try:
        import resource  # here, since Windows has none
    except ImportError:
        return
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
