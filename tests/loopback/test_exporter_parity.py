"""Options that Go's exporter has, here at work against an agent."""

from __future__ import annotations

import ssl
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme

from puremux.agent import Agent
from puremux.exporter import Exporter, SpanLimits
from puremux.subchannel import Keepalive
from puremux.transport.tls import server_context
from tests.loopback.exporters import exporter_to
from tests.shared.scripted_agent import ScriptedAgent
from tests.shared.span_data import span, spans
from tests.shared.waiting import eventually


def test_an_agent_that_is_away_is_tried_each_period(agent: ScriptedAgent) -> None:
    agent.stop()
    with exporter_to(agent, reconnection_period=0.2) as exporter:
        exporter.export(spans(3))
        began = time.monotonic()
        eventually(lambda: tries(exporter) >= 4, 10)
        assert time.monotonic() - began >= 0.3, "three waits of two thirds of the period at the least"
        again = ScriptedAgent(agent.address)
        assert exporter.flush(10)
        assert len(again.span_names()) == 3
        again.stop()


def tries(exporter: Exporter) -> int:
    return sum(complaint.times for complaint in exporter.complaints() if complaint.kind == "no connection")


def test_tls_with_own_certificates_on_both_sides(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    authority.issue_cert("client.example").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    serving = server_context(str(tmp_path / "server.pem"))
    serving.load_verify_locations(str(tmp_path / "authority.pem"))
    serving.verify_mode = ssl.CERT_REQUIRED
    asking = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
    asking.load_cert_chain(str(tmp_path / "client.pem"))
    with Agent("127.0.0.1:0", tls=serving) as agent, Exporter(agent.address, tls=asking) as exporter:
        exporter.export(spans(3))
        assert exporter.flush(10), exporter.stats()


def test_the_channels_options_reach_the_channel(agent: ScriptedAgent) -> None:
    options: dict[str, Any] = {"authority": "agent.example:1", "user_agent": "shop/7", "proxy": ""}
    with exporter_to(agent, keepalive=Keepalive(time=60.0), **options) as exporter:
        exporter.export(spans(1))
        assert exporter.flush(10)
    request = agent.streams[0].responder.request
    assert dict(request.metadata)["user-agent"].startswith("shop/7 puremux/")
    assert request.authority == "agent.example:1"


def test_the_resource_is_the_environments_or_a_detectors(agent: ScriptedAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OC_RESOURCE_TYPE", "host")
    monkeypatch.setenv("OC_RESOURCE_LABELS", "zone=a")
    for resource in (None, lambda: {"zone": "b"}):
        with exporter_to(agent, resource=resource) as exporter:
            exporter.export(spans(1))
            assert exporter.flush(10)
    found = [(request.resource.type, dict(request.resource.labels)) for request in agent.requests()]
    assert found == [("host", {"zone": "a"}), ("", {"zone": "b"})]


def test_a_bundle_leaves_when_it_is_full_and_else_after_its_delay(agent: ScriptedAgent) -> None:
    with exporter_to(agent, bundle_count=10, bundle_delay=60.0) as exporter:
        eventually(lambda: exporter.stats()["connections"], 10)
        exporter.export(spans(9))
        exporter.export(spans(1, "tenth"))
        agent.wait_for_spans(10)
        assert [len(request.spans) for request in agent.requests()] == [10]
    with exporter_to(agent, bundle_count=10, bundle_delay=0.2) as exporter:
        exporter.export(spans(3, "few"))
        agent.wait_for_spans(13)


def test_spans_are_cut_to_their_limits_and_say_so(agent: ScriptedAgent) -> None:
    full = span("full")
    full.attributes = {f"key{number}": number for number in range(40)}
    full.annotations = [note(number) for number in range(40)]
    full.message_events = [event(number) for number in range(140)]
    with exporter_to(agent) as exporter:
        exporter.export([full])
        assert exporter.flush(10)
    with exporter_to(agent, span_limits=SpanLimits(max_attributes=1, max_annotations=0)) as exporter:
        exporter.export([full])
        assert exporter.flush(10)
    usual, own = (request.spans[0] for request in agent.requests())
    assert (len(usual.attributes.attribute_map), usual.attributes.dropped_attributes_count) == (32, 8)
    assert (usual.time_events.dropped_annotations_count, usual.time_events.dropped_message_events_count) == (8, 12)
    assert len(usual.time_events.time_event) == 32 + 128
    assert (len(own.attributes.attribute_map), own.time_events.dropped_annotations_count) == (1, 40)


def note(number: int) -> Any:
    return SimpleNamespace(timestamp="2026-11-23T12:00:00.000001Z", description=f"note {number}", attributes=None)


def event(number: int) -> Any:
    return SimpleNamespace(
        timestamp="2026-11-23T12:00:00.000001Z",
        id=number,
        type=1,
        uncompressed_size_bytes=1,
        compressed_size_bytes=1,
    )
