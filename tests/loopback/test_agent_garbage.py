"""Garbage on the agent's services: each call has its status, no other client notices, and the page stays readable."""

from __future__ import annotations

import logging
import random
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from puremux import Channel, Exporter, RpcError, StatusCode
from puremux.agent import Agent
from puremux.proto import metrics_service_pb2, trace_service_pb2
from tests.shared.agent_messages import node, span, spans_request

LIMIT = 10.0
SEED = 7
ROUNDS = 40
SEEDS = Path(__file__).parents[2] / "fuzz" / "seeds" / "agent"
PATHS = [
    trace_service_pb2.TRACE_SERVICE_EXPORT_PATH,
    trace_service_pb2.TRACE_SERVICE_CONFIG_PATH,
    metrics_service_pb2.METRICS_SERVICE_EXPORT_PATH,
]
EXPECTED = {StatusCode.OK, StatusCode.UNKNOWN, StatusCode.INVALID_ARGUMENT, StatusCode.RESOURCE_EXHAUSTED}
OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    spans = str(tmp_path / "spans.jsonl")
    with Agent("127.0.0.1:0", prometheus="127.0.0.1:0", zpages="127.0.0.1:0", spans=spans) as agent:
        yield agent


def changed(message: bytes, choice: random.Random) -> bytes:
    """The message with some bytes changed, left out or put in."""
    data = bytearray(message)
    for _ in range(choice.choice([0, 1, 1, 2, 5])):
        at = choice.randrange(len(data) + 1)
        size = choice.randrange(4)
        data[at : at + choice.randrange(4)] = bytes(choice.randrange(256) for _ in range(size))
    return bytes(data)


def test_it_harms_nobody(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    choice = random.Random(SEED)
    messages = [path.read_bytes() for path in sorted(SEEDS.iterdir())]
    with caplog.at_level(logging.WARNING), Exporter(agent.address) as good, Channel(agent.address) as channel:
        for number in range(ROUNDS):
            for path in PATHS:
                requests = [changed(choice.choice(messages), choice) for _ in range(3)]
                assert outcome(channel, path, requests) in EXPECTED
            good.export_trace_request(spans_request(span(number + 1), node=node("good")))
            assert read(agent)
        assert good.flush(LIMIT)
        assert good.stats()["reconnects"] == 0
        assert agent.connections == 2, "the connection of the garbage lives on too"
    assert caplog.text == ""


def outcome(channel: Channel, path: str, requests: list[bytes]) -> StatusCode:
    try:
        list(channel.stream_stream(path, None, None)(iter(requests), timeout=LIMIT))
    except RpcError as error:
        return error.code()
    return StatusCode.OK


def read(agent: Agent) -> bool:
    """Whether a strict scraper can read the page."""
    assert agent.page is not None
    with urllib.request.urlopen(urllib.request.Request(agent.page, headers=OPENMETRICS), timeout=LIMIT) as answer:
        return bool(list(text_string_to_metric_families(answer.read().decode())))
