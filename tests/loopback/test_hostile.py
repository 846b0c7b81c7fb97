"""Whatever a server does: the right status in time, little memory, no spin, no noise, and then a good call.

The rows are ``tests/hostile``'s; each is played with a client in a process of its own, several at a time and ahead of
the tests that wait for them.  ``python -m tests.hostile WORDS`` shows rows as they are played.
"""

from __future__ import annotations

import socket
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

pytest.importorskip("trustme", reason="certificates for the tests come from trustme")

from tests.hostile import wire
from tests.hostile.certificates import Contexts
from tests.hostile.play import Performance, in_good_order, judge
from tests.hostile.scenarios import TABLE
from tests.hostile.server import HostileServer
from tests.hostile.table import MIB, Scenario

AHEAD = 24  # rows; where pytest has several workers, each has some of the tests and plays no more than these


@pytest.fixture(scope="module")
def performance(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Performance]:
    """The selected rows, being played in the order of their tests."""
    items = [item for item in request.session.items if item.getparent(pytest.Module) is request.node]
    rows = [item.callspec.params["scenario"] for item in items if "performance" in getattr(item, "fixturenames", ())]  # type: ignore[attr-defined]  # pytest.Function has one
    performance = Performance(rows, tmp_path_factory.mktemp("hostile"), ahead=AHEAD)
    yield performance
    performance.close()


NOT_YET: dict[str, str] = {}
"""Rows that are not borne yet, and why."""


def row(scenario: Scenario) -> Any:
    marks = [pytest.mark.xfail(reason=NOT_YET[scenario.name], strict=False)] if scenario.name in NOT_YET else []
    return pytest.param(scenario, id=scenario.name, marks=marks)


@pytest.mark.timeout(150)
@pytest.mark.parametrize("scenario", [row(each) for each in in_good_order(TABLE)])
def test_the_client_bears_it_and_goes_on(scenario: Scenario, performance: Performance) -> None:
    faults = judge(scenario, performance.report(scenario, timeout=120.0))
    if faults:
        pytest.fail("\n".join(faults), pytrace=False)


# The tool itself


def test_the_good_server_echoes_to_a_client_of_another_make(tmp_path: Path) -> None:
    payload = wire.message(bytes(range(256)) * 1_000)
    with HostileServer(None, Contexts(tmp_path)) as server:
        host, port = server.target.split(":")
        with socket.create_connection((host, int(port)), timeout=10.0) as sock:
            assert call_by_h2(sock, payload) == (payload, "0")


def call_by_h2(sock: socket.socket, payload: bytes) -> tuple[bytes, str]:
    """A call by the h2 library alone; returns the DATA and the grpc-status that came back."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    client.initiate_connection()
    headers = [(":method", "POST"), (":scheme", "http"), (":path", "/test.Echo/Call"), (":authority", "here")]
    client.send_headers(1, headers)
    unsent, body = payload, b""
    while True:
        size = min(len(unsent), client.local_flow_control_window(1), client.max_outbound_frame_size)
        if size:
            client.send_data(1, unsent[:size], end_stream=size == len(unsent))
            unsent = unsent[size:]
        sock.sendall(client.data_to_send())
        if size:
            continue
        for event in client.receive_data(sock.recv(65_536)):
            if isinstance(event, h2.events.DataReceived):
                body += event.data
                client.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, h2.events.TrailersReceived):
                return body, {str(name): str(value) for name, value in event.headers}["grpc-status"]


STRICT = Scenario(
    "strict",
    lambda peer: None,
    frozenset({"OK", "NOT_FOUND", "DEADLINE_EXCEEDED"}),
    words=("why",),
    messages=(b"one", b"two"),
    trailing=3,
    keeps_connection=True,
    calls=(1, 1),
)
GOOD: dict[str, Any] = {
    "status": "OK",
    "details": "",
    "error": None,
    "seconds": 0.1,
    "cpu": 0.1,
    "growth": 0,
    "tally": [2, 6, zlib.crc32(b"onetwo")],
    "trailing": 3,
    "target": "127.0.0.1:1",
    "connections": 1,
    "connections_after": 0,
    "calls": 1,
    "stderr": "",
    "faults": [],
    "follow_up": {"status": "OK", "error": None, "left": []},
}


def test_the_judge_finds_nothing_wrong_with_a_good_report() -> None:
    assert judge(STRICT, GOOD) == []


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"status": "ABORTED", "details": "why"}, id="another status"),
        pytest.param({"status": "NOT_FOUND", "details": "because"}, id="details that do not say it"),
        pytest.param({"status": "NOT_FOUND", "details": "why: KeyError('x')"}, id="details that show an exception"),
        pytest.param({"error": "KeyError('x')"}, id="an exception that is no RpcError"),
        pytest.param({"seconds": 6.1}, id="too late"),
        pytest.param({"status": "DEADLINE_EXCEEDED", "details": "why", "seconds": 4.0}, id="deadline too early"),
        pytest.param({"cpu": 0.7}, id="a spin"),
        pytest.param({"growth": 33 * MIB}, id="too much memory"),
        pytest.param({"tally": [1, 3, zlib.crc32(b"one")]}, id="a message lost"),
        pytest.param({"trailing": 2}, id="metadata lost"),
        pytest.param({"connections": 5}, id="too many connections"),
        pytest.param({"connections_after": 1}, id="a connection given up"),
        pytest.param({"calls": 2}, id="a call made twice"),
        pytest.param({"stderr": "Traceback"}, id="noise"),
        pytest.param({"faults": ["the client sent into a shut window"]}, id="a fault that the server saw"),
        pytest.param({"follow_up": {"status": "UNAVAILABLE", "error": None, "left": []}}, id="no good call after it"),
        pytest.param({"follow_up": {"status": "OK", "error": None, "left": ["7"]}}, id="a descriptor left open"),
    ],
)
def test_the_judge_finds(wrong: dict[str, Any]) -> None:
    assert judge(STRICT, {**GOOD, **wrong}) != []


def test_the_judge_finds_a_client_that_died() -> None:
    assert judge(STRICT, {"error": "the client died or hung", "faults": []}) != []
