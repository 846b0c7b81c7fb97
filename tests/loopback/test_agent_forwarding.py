"""An agent that hands on what it receives: who sent it is kept, nothing makes room for other things, and the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from puremux import Channel, Exporter, RpcError, StatusCode
from puremux.agent import Agent
from puremux.agent.agent import leads_back
from puremux.agent.forwarding import NextAgent
from puremux.exporter.streams import Pace
from puremux.proto import metrics_service_pb2, trace_service_pb2
from tests.loopback.exporters import QUICK, quicken
from tests.shared.agent_messages import metric, metrics_request, node, resource, span, spans_request
from tests.shared.scripted_agent import ScriptedAgent
from tests.shared.waiting import eventually

from .raw_client import LIMIT


def export(address: str, *requests: Any) -> None:
    """Send requests on one stream, and wait for its OK."""
    is_trace = isinstance(requests[0], trace_service_pb2.ExportTraceServiceRequest)
    path = trace_service_pb2.TRACE_SERVICE_EXPORT_PATH if is_trace else metrics_service_pb2.METRICS_SERVICE_EXPORT_PATH
    with Channel(address) as channel:
        messages = iter([each.SerializeToString() for each in requests])
        list(channel.stream_stream(path, None, None)(messages, timeout=LIMIT))


def test_spans_and_metrics_arrive_with_who_sent_them() -> None:
    with Agent("127.0.0.1:0") as last, Agent("127.0.0.1:0", forward=last.address) as first:
        heard: list[Any] = []
        last.store.on_spans(heard.append)
        last.store.on_metrics(heard.append)
        export(first.address, spans_request(span(1), node=node("a"), resource=resource("k8s", pod="p")))
        export(first.address, spans_request(span(2), node=node("b")), spans_request(span(3)))
        export(first.address, metrics_request(metric(own_resource=resource("vm")), node=node("c")))
        assert first.stop(LIMIT)
    told = [(each.node.service_info.name, each.resource.type, dict(each.resource.labels)) for each in heard]
    assert sorted(told) == [("a", "k8s", {"pod": "p"}), ("b", "", {}), ("b", "", {}), ("c", "", {})]
    assert {each.identity.service_name for each in last.store.clients()} == {"a", "b", "c"}
    (held,) = last.store.metrics()[0].metrics
    assert held.descriptor.name == "queue/length"
    assert last.store.metrics()[0].resource == {"opencensus.resourcetype": "vm"}


def test_a_large_message_goes_on_in_parts() -> None:
    with Agent("127.0.0.1:0") as last, Agent("127.0.0.1:0", forward=last.address) as first:
        sizes: list[int] = []
        last.store.on_spans(lambda received: sizes.append(received.request.ByteSize()))
        export(first.address, spans_request(*(span(n + 1, "x" * 1_000) for n in range(3_000)), node=node()))
        assert first.stop(LIMIT)
    assert len(sizes) == 3 and max(sizes) < 1_100_000
    assert last.store.totals().spans == 3_000


def test_what_there_is_no_room_for_is_refused_and_dropped_by_nobody() -> None:
    nobody = Exporter("127.0.0.1:1", replay_bytes=2_000, start=False)
    with Agent("127.0.0.1:0", forward=nobody, prometheus="127.0.0.1:0") as agent:
        request = spans_request(span(1, "x" * 900), node=node())
        export(agent.address, request)
        export(agent.address, request)
        with pytest.raises(RpcError, match="as much waits for the next agent as this agent may hold") as caught:
            export(agent.address, request)
        assert caught.value.code() is StatusCode.RESOURCE_EXHAUSTED
        view = agent.view()
        assert view.totals.spans == 2
        assert {reason.value: count for reason, count in view.totals.refused_spans.items()} == {"forwarder_full": 1}
        assert view.forward is not None
        assert (view.forward.spans["accepted"], view.forward.spans["dropped"]) == (2, {})
        assert not agent.stop(0.1)


@pytest.fixture
def last() -> Iterator[ScriptedAgent]:
    agent = ScriptedAgent()
    yield agent
    agent.stop()


def test_an_exporter_whose_agent_has_no_room_keeps_its_spans_until_it_has(last: ScriptedAgent) -> None:
    last.on_half_close = lambda stream: None  # it confirms nothing
    bottleneck = Exporter(last.address, replay_bytes=30_000, start=False, pace=Pace(rotate_after=0.05))
    with Agent("127.0.0.1:0", forward=bottleneck) as agent, Exporter(agent.address, pace=QUICK) as exporter:
        quicken(exporter)
        for number in range(100):
            exporter.export_trace_request(spans_request(span(number + 1, f"{number:0900}")))
        eventually(lambda: agent.view().totals.refused_spans, LIMIT, "the agent refuses")
        with last.server.driver.lock:
            last.on_half_close = last.confirm
            for stream in last.streams:
                if stream.has_half_closed:
                    last.confirm(stream)
        assert exporter.flush(LIMIT)
        stats = exporter.stats()
        assert (stats["confirmed"], stats["dropped"]) == (100, {})
        last.wait_for_spans(100, LIMIT)


def test_the_end_waits_for_the_next_agent_and_no_longer_than_it_may(last: ScriptedAgent) -> None:
    last.on_half_close = lambda stream: None
    agent = Agent("127.0.0.1:0", forward=last.address)
    export(agent.address, spans_request(span(1), node=node()))
    began = time.monotonic()
    assert not agent.stop(0.5), "what nobody has confirmed is not delivered"
    assert 0.4 < time.monotonic() - began < LIMIT


@pytest.mark.parametrize(
    "forward, listening, is_own",
    [
        ("localhost", "localhost:55678", True),
        ("localhost:1", "127.0.0.1:1", True),
        ("127.0.0.1:1", "localhost:1", True),
        ("127.0.0.1:1", "0.0.0.0:1", True),
        ("[::1]:1", "[::]:1", True),
        ("unix:///run/agent", "unix:/run/agent", True),
        ("127.0.0.1:2", "127.0.0.1:1", False),
        ("127.0.0.2:1", "127.0.0.1:1", False),
        ("agent.example:1", "0.0.0.0:1", False),
        ("unix:/run/other", "unix:/run/agent", False),
        ("localhost:1", "unix:/run/agent", False),
    ],
)
def test_what_leads_back_to_the_agent_is_seen(forward: str, listening: str, is_own: bool) -> None:
    assert leads_back(forward, listening) == is_own


def test_an_exporter_to_the_agent_itself_is_refused(refused_port: int) -> None:
    exporter = Exporter(f"127.0.0.1:{refused_port}", insecure=True, start=False)
    with pytest.raises(ValueError, match="cannot be its own next agent"):
        Agent(f"localhost:{refused_port}", forward=exporter)


@pytest.mark.parametrize("host", ["[::ffff:127.0.0.1]", "0.0.0.0"])
def test_a_way_back_that_no_address_tells_is_no_circle(host: str, refused_port: int) -> None:
    """As a name of this machine may be one, or a balancer: a span would go round for ever."""
    there = NextAgent(f"{host}:{refused_port}", insecure=True)
    with Agent(f"127.0.0.1:{refused_port}", forward=there) as agent:
        export(agent.address, spans_request(span(), node=node()))
        eventually(lambda: "hand everything on to itself" in last_error(agent), LIMIT, "it hears of it")
        assert agent.view().totals.spans == 1


def last_error(agent: Agent) -> str:
    forward = agent.view().forward
    assert forward is not None
    return forward.last_error or ""


def test_an_agent_is_not_its_own_next_one() -> None:
    with Agent("127.0.0.1:0") as agent:
        address = agent.address
    with pytest.raises(ValueError, match="cannot be its own next agent"):
        Agent(address, forward=address)
