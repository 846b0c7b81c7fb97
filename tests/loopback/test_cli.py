"""``puremux agent`` as a user runs it."""

from __future__ import annotations

import json
import re
import socket
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from puremux import Exporter
from puremux.proto import trace_pb2, trace_service_pb2
from tests.shared.programs import LIMIT, PUREMUX, Running
from tests.shared.waiting import eventually

ADDRESS = r"127\.0\.0\.1:\d+"
SPAN = trace_pb2.Span(
    trace_id=bytes(range(16)), span_id=bytes(range(8)), name=trace_pb2.TruncatableString(value="Foo"), kind=2
)


def send_span(address: str) -> None:
    """Have an agent receive one span."""
    with Exporter(address, service_name="test") as exporter:
        exporter.export_trace_request(trace_service_pb2.ExportTraceServiceRequest(spans=[SPAN]))
        assert exporter.flush(LIMIT)


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port of 127.0.0.1 on which somebody else listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield int(sock.getsockname()[1])


def test_spans_go_to_a_file_and_metrics_to_a_page(tmp_path: Path) -> None:
    file = tmp_path / "spans.jsonl"
    command = [*PUREMUX, "agent", "--listen", "127.0.0.1:0", "--prometheus", "127.0.0.1:0", "--spans", file]
    with Running(command) as agent:
        address = agent.wait_for(rf"[Ll]istening .*?({ADDRESS})").group(1)
        page = agent.wait_for(rf"http://{ADDRESS}\S*").group()
        send_span(address)
        with urllib.request.urlopen(page, timeout=LIMIT) as answer:
            assert answer.status == 200
        agent.terminate()
        assert agent.finish() == 0, agent.output
    (span,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert (span["span_id"], span["name"]) == (SPAN.span_id.hex(), "Foo")


def test_spans_go_to_the_output() -> None:
    with Running([*PUREMUX, "agent", "--listen", "127.0.0.1:0", "--spans", "-"]) as agent:
        send_span(agent.wait_for(ADDRESS).group())
        assert json.loads(agent.wait_for(r"^\{.*").group())["span_id"] == SPAN.span_id.hex()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("how", ["interrupt", "terminate"])
def test_a_signal_ends_it_at_once_while_clients_are_connected(how: str) -> None:
    with Running([*PUREMUX, "agent", "--listen", "127.0.0.1:0"]) as agent:
        address = agent.wait_for(ADDRESS).group()
        with Exporter(address) as exporter:
            eventually(lambda: exporter.stats()["state"] == "ready", LIMIT, "the exporter is connected")
            getattr(agent, how)()
            assert agent.finish() == 0, agent.output
            assert "Traceback" not in agent.output


def test_it_listens_again_on_the_port_of_one_that_was_killed() -> None:
    with Running([*PUREMUX, "agent", "--listen", "127.0.0.1:0"]) as agent:
        address = agent.wait_for(ADDRESS).group()
        with Exporter(address) as exporter:
            eventually(lambda: exporter.stats()["state"] == "ready", LIMIT, "the exporter is connected")
            agent.kill()
            with Running([*PUREMUX, "agent", "--listen", address]) as again:
                again.wait_for(re.escape(address))


@pytest.mark.parametrize("option", ["--listen", "--prometheus"])
def test_a_port_in_use_is_one_sentence(option: str, taken_port: int) -> None:
    address = f"127.0.0.1:{taken_port}"
    with Running([*PUREMUX, "agent", "--listen", "127.0.0.1:0", option, address]) as agent:
        assert agent.finish() == 2
        (line,) = agent.lines
        assert line.startswith("puremux agent: ")
        assert str(taken_port) in line and "in use" in line


@pytest.mark.parametrize(
    "option, value",
    [
        pytest.param("--listen", "127.0.0.1:http", id="an address that cannot be read"),
        pytest.param("--prometheus", "127.0.0.1:http", id="the page's"),
        pytest.param("--spans", "/no/such/folder/spans", id="a file that cannot be written"),
    ],
)
def test_what_keeps_it_from_beginning_is_one_sentence(option: str, value: str) -> None:
    with Running([*PUREMUX, "agent", "--listen", "127.0.0.1:0", option, value]) as agent:
        assert agent.finish() == 2
        (line,) = agent.lines
        assert line.startswith("puremux agent: ") and value in line
