"""What the documentation shows out of the source: it is real, and it is all there."""

from __future__ import annotations

import inspect
import re
import runpy
from collections.abc import Iterator
from typing import Any

import pytest

from puremux import Channel, RpcError, multicallable
from puremux.call import Call
from puremux.protocol.connection import Connection
from puremux.protocol.guard import Limits
from puremux.protocol.stream import RECEIVING, SENDING
from tests.shared.programs import ROOT

EXTENSIONS = ROOT / "docs" / "extensions"


@pytest.fixture(scope="module")
def session() -> list[Any]:
    return runpy.run_path(str(EXTENSIONS / "session.py"))["record"]()  # type: ignore[no-any-return]


def test_the_session_on_the_page_is_a_whole_call(session: list[Any]) -> None:
    assert [f"{frame.sender}: {frame.name}" for frame in session] == [
        "client: preface",
        "client: SETTINGS",
        "client: WINDOW_UPDATE",
        "server: SETTINGS",
        "server: WINDOW_UPDATE",
        "server: SETTINGS ACK",
        "client: SETTINGS ACK",
        "client: HEADERS END_HEADERS, stream 1",
        "client: DATA END_STREAM, stream 1",
        "server: HEADERS END_STREAM END_HEADERS, stream 1",
    ]


def test_the_call_without_sockets_runs(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXTENSIONS / "without_sockets.py"))
    said = capsys.readouterr().out.splitlines()
    assert said[-2:] == [
        "client: MessageReceived(stream_id=1, payload=b'3 francs')",
        "client: CallEnded(stream_id=1, code=<StatusCode.OK: 0>, details='', trailing_metadata=(), unprocessed=False)",
    ]


def test_the_frames_say_what_the_page_says_of_them(session: list[Any]) -> None:
    request, message, answer = session[-3:]
    assert ":path: /opencensus.proto.agent.trace.v1.TraceService/Export" in request.says
    assert message.data[9:14] == bytes([0, 0, 0, 0, 15])
    assert message.data.endswith(b"breakfast")
    assert answer.says == (":status: 200", "content-type: application/grpc", "grpc-status: 0")


@pytest.mark.parametrize("moves", [SENDING, RECEIVING], ids=["sending", "receiving"])
def test_every_state_of_a_table_can_be_reached(moves: Any) -> None:
    states = set(type(next(iter(moves))[0]))
    assert {state for state, _ in moves} | set(moves.values()) == states
    assert states - set(moves.values()) == {next(iter(moves))[0]}, "only the first state is one to begin in"


def quoted_sentences() -> list[str]:
    """What the how-to on errors quotes in its first columns, cut where a name or number stands in its place."""
    table = (ROOT / "docs" / "howto" / "errors.md").read_text(encoding="utf-8").split("## When making")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    quoted = [each for cell in cells for each in re.findall(r"`([^`]+)`", cell)]
    return [piece.strip() for each in quoted for piece in re.split(r"…|NAME|CODE", each) if len(piece.strip()) > 5]


@pytest.mark.parametrize("words", quoted_sentences())
def test_the_errors_page_quotes_what_the_source_says(words: str) -> None:
    files = (path.read_text(encoding="utf-8") for path in sorted((ROOT / "puremux").rglob("*.py")))
    source = re.sub(r'["\']\s*\n\s*(f?["\'])', "", "".join(files))  # a sentence may go over several lines
    assert words in re.sub(r"\{[^{}]*\}", "", source) or words in source


def named_tests() -> list[str]:
    """Tests that pages name as what holds them, as ``tests/....py::test_name`` or the file alone."""
    pages = (path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").rglob("*.md")))
    return sorted({each for page in pages for each in re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", page)})


@pytest.mark.parametrize("named", named_tests())
def test_the_tests_that_pages_name_are_there(named: str) -> None:
    file, _, name = named.partition("::")
    source = (ROOT / file).read_text(encoding="utf-8")
    assert not name or f"\ndef {name}(" in source


@pytest.mark.parametrize("line", (ROOT / "docs" / "reference" / "parity.md").read_text(encoding="utf-8").splitlines())
def test_each_feature_of_a_peer_names_the_test_that_shows_it(line: str) -> None:
    is_row = line.startswith("| ") and not line.startswith("| there ")
    assert not is_row or "::test_" in line or "| absent: " in line


SOURCE = re.compile(r"RFC \d|gRPC|doc/|grpc\.|PROTOCOL-HTTP2|\bSource:")
REFERENCE = [
    *(Channel, Call, RpcError, Connection, Limits),
    *(getattr(multicallable, name) for name in multicallable.__all__ if name not in ("Serializer", "Deserializer")),
]
NOT_IN_IT = {
    *("start_call", "forget_call", "explain_waiting", "watch_state"),
    *("judge", "headers_received", "message_received", "drained", "opened", "connection_leaves", "call_ended", "begin"),
    *("handle", "start", "end", "abandon", "send_message", "half_close"),
}
"""Excluded in docs/reference/channel.md."""


def entries() -> Iterator[Any]:
    """Each method and property that the reference shows."""
    for cls in REFERENCE:
        for name, member in inspect.getmembers(cls):
            is_public = not name.startswith("_") or name in ("__call__", "__next__")
            if is_public and name not in NOT_IN_IT and (inspect.isfunction(member) or isinstance(member, property)):
                yield pytest.param(member, id=f"{cls.__name__}.{name}")


@pytest.mark.parametrize("member", list(entries()))
def test_an_entry_of_the_reference_names_where_it_comes_from(member: Any) -> None:
    assert SOURCE.search(inspect.getdoc(member) or "")


def test_the_agents_page_has_every_option_and_every_figure() -> None:
    import argparse

    from puremux.agent.intake import MetricsIntake
    from puremux.agent.options import add_options
    from puremux.agent.own import own_metrics
    from puremux.agent.store import Store
    from puremux.agent.views import AgentView, ForwardView, ServerView
    from tests.shared.agent_messages import metric, metrics_request, node

    page = (ROOT / "docs" / "reference" / "agent.md").read_text(encoding="utf-8")
    parser = argparse.ArgumentParser(add_help=False)
    add_options(parser)
    options = [option for action in parser._actions for option in action.option_strings]
    assert [option for option in options if f"`{option}" not in page] == []
    store = Store()
    MetricsIntake(store).receive(metrics_request(metric(), node=node()))
    counts = {"waiting": 0, "unconfirmed": 0, "confirmed": 0, "replayed": 0, "dropped": {"a reason": 1}}
    view = AgentView(store.totals(), ServerView(0, {}, {}), ForwardView("next", "ready", None, counts, counts))
    names = {sample.name for family in own_metrics(view) for sample in family.samples}
    assert sorted(name for name in names if f"`{name}`" not in page and not name.startswith("process_")) == []
