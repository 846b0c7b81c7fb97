"""The live view of an agent: what it shows of it, on a terminal of any size, and as plain lines."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from puremux.agent import Agent, live
from puremux.agent.intake import MetricsIntake, TraceIntake
from puremux.agent.live import Glance, drawing, screen_for
from puremux.agent.refusal import Reason
from puremux.agent.store import Store
from puremux.agent.views import AgentView, ForwardView, ServerView
from puremux.screen import PlainScreen, WholeScreen
from tests.shared.agent_messages import metric, metrics_request, node, span, spans_request

COUNTS = {"waiting": 2, "unconfirmed": 3, "confirmed": 1_234, "dropped": {"refused by the agent": 4}}


def glance(services: int = 1) -> Glance:
    """An agent that has had a span and a metric of each of so many services."""
    store = Store()
    for number in range(services):
        TraceIntake(store).receive(spans_request(span(), node=node(f"shop-{number}", pid=number)))
        MetricsIntake(store).receive(metrics_request(metric(), node=node(f"shop-{number}", pid=number)))
    totals = store.totals()._replace(refused_spans={Reason.NO_NODE: 7})
    server = ServerView(services, {"not_reading": 2, "no_greeting": 0}, {})
    view = AgentView(totals, server, ForwardView("next:1", "ready", None, COUNTS, COUNTS))
    return Glance(61.4, view, store.clients(), 30 * 2**20)


def drawn(shown: Glance, width: int = 120, height: int = 40) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    console.print(drawing(shown, "Listening.", ["a remark"], height))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]  # a StringIO


def test_it_shows_clients_rates_refusals_forwarding_and_memory() -> None:
    text = drawn(glance())
    for words in (
        "Listening.  61 s",
        "shop-0",
        "web-1:0",
        "spans: no node 7; connections: not reading 2",
        "ready; 1,234 spans confirmed, 5 held, 4 given up",
        "30 MiB",
        "a remark",
    ):
        assert words in text


@pytest.mark.parametrize("height", [10, 24, 50])
def test_it_fits_the_terminal(height: int) -> None:
    text = drawn(glance(60), height=height)
    assert len(text.splitlines()) <= max(height, 17)
    assert "more" in text


def test_names_cannot_steer_the_terminal() -> None:
    store = Store()
    TraceIntake(store).receive(spans_request(span(), node=node("\x1b[2J[red]evil\r\n")))
    text = drawn(Glance(1.0, AgentView(store.totals()), store.clients(), None))
    assert "\x1b" not in text
    assert "\N{REPLACEMENT CHARACTER}[2J[red]evil" in text


def test_a_line_tells_the_same() -> None:
    line = glance(2).as_line()
    assert line.startswith("61 s: connections 2; clients 2, 0 forgotten; spans 2, ")
    assert "refused spans: no node 7; connections: not reading 2" in line
    assert line.endswith("memory 30 MiB")


def test_what_is_no_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.StringIO()
    screen = screen_for(output, "", live=True)
    assert isinstance(screen, PlainScreen)
    with Agent("127.0.0.1:0") as agent, PlainScreen(output, 0.0) as eager, PlainScreen(output, None) as silent:
        for each in (eager, silent):
            each.show(lambda: live.glance(agent, 1.0))
    assert output.getvalue().count("connections 0") == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_is_used_as_a_whole() -> None:
    output = Terminal()
    screen = screen_for(output, "Listening.", live=True)
    assert isinstance(screen, WholeScreen)
    with Agent("127.0.0.1:0") as agent, screen:
        screen.say("Read again.")
        screen.show(lambda: live.glance(agent, 1.0))
    assert "Listening." in output.getvalue() and "Read again." in output.getvalue()
