"""An agent in a process that forks: the child holds neither its ports, nor its clients, nor who looks at its pages."""

from __future__ import annotations

import os
import signal
import socket
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from puremux import Exporter
from puremux.agent import Agent
from tests.shared.agent_messages import node, span, spans_request

LIMIT = 10.0

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    spans = str(tmp_path / "spans.jsonl")
    with Agent("127.0.0.1:0", prometheus="127.0.0.1:0", zpages="127.0.0.1:0", spans=spans) as agent:
        yield agent


def forked(do: Callable[[], object]) -> Callable[[], None]:
    """Fork a child that does something and lives on; return what ends it."""
    read, write = os.pipe()
    done, told = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # it ends, come what may
        try:
            os.close(write)
            do()
            os.write(told, b".")
            os.read(read, 1)
        finally:
            os._exit(0)
    os.close(read)
    os.close(told)
    assert os.read(done, 1) == b".", "the child could not do it"
    os.close(done)

    def end() -> None:
        os.close(write)
        os.waitpid(child, 0)

    return end


def ports(agent: Agent) -> list[int]:
    assert agent.page is not None
    assert agent.zpages is not None
    places = [url.split("//")[-1].split("/")[0] for url in (agent.address, agent.page, agent.zpages)]
    return [int(place.rpartition(":")[2]) for place in places]


@pytest.mark.parametrize("stops", [False, True])
def test_a_child_does_not_keep_the_ports_of_an_agent_that_has_stopped(agent: Agent, stops: bool) -> None:
    held = ports(agent)
    end = forked(agent.stop if stops else lambda: None)
    agent.stop()
    for port in held:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=LIMIT).close()
    end()


def test_a_client_hears_the_end_of_an_agent_whose_child_lives_on(agent: Agent) -> None:
    host, _, port = agent.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=LIMIT) as client:
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
        assert client.recv(1_000)
        end = forked(lambda: None)
        agent.stop()
        while client.recv(1_000):
            pass
        end()


def test_the_parent_serves_on(agent: Agent) -> None:
    end = forked(agent.stop)
    end()
    with Exporter(agent.address) as exporter:
        exporter.export_trace_request(spans_request(span(), node=node()))
        assert exporter.flush(LIMIT)
    for url in (agent.page, agent.zpages):
        assert url is not None
        with urllib.request.urlopen(url, timeout=LIMIT) as answer:
            assert answer.status == 200
