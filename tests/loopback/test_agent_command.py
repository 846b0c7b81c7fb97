"""``puremux agent`` as one leaves it running: TLS, a file of options, samplers pushed, and the end in good order."""

from __future__ import annotations

import json
import re
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from puremux import Exporter
from puremux.proto import trace_config_pb2, trace_service_pb2
from tests.hostile import wire
from tests.shared.agent_messages import node, span, spans_request
from tests.shared.programs import LIMIT, PUREMUX, Running
from tests.shared.waiting import eventually

from .raw_client import RawClient

ADDRESS = r"127\.0\.0\.1:\d+"
AGENT = (*PUREMUX, "agent", "--listen", "127.0.0.1:0")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM and SIGHUP for one process")


@pytest.fixture
def certificate(ca: Any, tmp_path: Path) -> tuple[Path, Path]:
    """Files of the agent's certificate and key."""
    issued = ca.issue_cert("localhost", "127.0.0.1")
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(paths[0])
    issued.private_key_pem.write_to_path(paths[1])
    return paths


def deliver(address: str, tls: ssl.SSLContext | None) -> bool:
    """Whether a span is confirmed."""
    with Exporter(address, tls=tls, insecure=None if tls else True) as exporter:
        exporter.export_trace_request(spans_request(span(), node=node()))
        return exporter.flush(2.0)


def test_tls(certificate: tuple[Path, Path], client_tls: ssl.SSLContext) -> None:
    with Running([*AGENT, "--tls-cert", certificate[0], "--tls-key", certificate[1]]) as agent:
        address = agent.wait_for(ADDRESS).group()
        assert deliver(address, client_tls)
        assert not deliver(address, None)


def test_mutual_tls(certificate: tuple[Path, Path], ca: Any, client_tls: ssl.SSLContext, tmp_path: Path) -> None:
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    files = ["--tls-cert", certificate[0], "--tls-key", certificate[1], "--tls-client-ca", tmp_path / "ca.pem"]
    with Running([*AGENT, *files]) as agent:
        address = agent.wait_for(ADDRESS).group()
        assert not deliver(address, client_tls)
        ca.issue_cert("client").configure_cert(client_tls)
        assert deliver(address, client_tls)


def test_forwarding_to_an_agent_with_tls(certificate: tuple[Path, Path], ca: Any, tmp_path: Path) -> None:
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    log = tmp_path / "spans.jsonl"
    keys = ["--tls-cert", certificate[0], "--tls-key", certificate[1]]
    with Running([*AGENT, *keys, "--spans", log]) as last:
        there = last.wait_for(ADDRESS).group()
        with Running([*AGENT, "--forward", there, "--forward-ca", tmp_path / "ca.pem"]) as first:
            assert deliver(first.wait_for(ADDRESS).group(), None)
            first.terminate()
            assert first.finish() == 0
    assert json.loads(log.read_text())["node"]["service"] == "shop"


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--tls-key", "k"], "--tls-key and --tls-client-ca need --tls-cert"),
        (["--tls-cert", "/no/such.pem"], "The certificate /no/such.pem with the key /no/such.pem cannot be used"),
        (["--config-push", "sometimes"], "a sampler is always, never"),
        (["--forward", "a:b:c"], "a:b:c"),
        (["--forward", "a:1", "--forward-insecure", "--forward-ca", "x"], "exclude each other"),
        (
            ["--forward", "a:1", "--forward-ca", "/no/such"],
            "/no/such cannot be used: there is no file /no/such;",
        ),
        (["--forward-ca", "x"], "--forward-insecure and --forward-ca need --forward"),
        (["--config", "/no/such.toml"], "/no/such.toml cannot be read"),
    ],
)
def test_what_keeps_it_from_beginning_is_one_sentence(words: list[str], sentence: str) -> None:
    with Running([*AGENT, *words]) as agent:
        assert agent.finish() == 2, agent.output
        (line,) = agent.lines
        assert line.startswith("puremux agent: ") and sentence in line


def test_the_sampler_of_the_file_is_pushed_and_read_again(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text('listen = "127.0.0.1:0"\nconfig_push = "probability=0.25"\n')
    command = [*PUREMUX, "agent", "--config", file]
    with Running(command) as agent, Exporter(agent.wait_for(ADDRESS).group()) as exporter:
        eventually(lambda: rule(exporter) == 0.25, LIMIT, "the sampler comes")
        file.write_text('config_push = "probability=0.75"\n')
        agent.send(signal.SIGHUP)
        eventually(lambda: rule(exporter) == 0.75, LIMIT, "the sampler changes")
        file.write_text('config_push = "sometimes"\n')
        agent.send(signal.SIGHUP)
        agent.wait_for("sometimes.*what was in force stays")
        assert rule(exporter) == 0.75


def rule(exporter: Exporter) -> float:
    """The probability that the agent has asked for."""
    message = trace_config_pb2.TraceConfig.FromString(exporter.sampler.current())
    return message.probability_sampler.samplingProbability


def test_the_live_view_is_lines_where_there_is_no_terminal() -> None:
    with Running([*AGENT, "--live"]) as agent:
        agent.wait_for(r"^\d+ s: connections 0; clients 0", timeout=LIMIT)


@pytest.mark.parametrize("live", [[], ["--live"]])
def test_it_serves_on_when_nobody_looks_any_more(live: list[str], tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text("")
    with subprocess.Popen([*AGENT, "--config", file, *live], stderr=subprocess.PIPE, text=True) as agent:
        try:
            assert agent.stderr is not None
            where = re.search(ADDRESS, agent.stderr.readline())
            assert where is not None
            agent.stderr.close()
            file.write_text('config_push = "probability=0.5"\n')
            agent.send_signal(signal.SIGHUP)  # about which it has something to say
            with Exporter(where.group()) as exporter:
                eventually(lambda: rule(exporter) == 0.5, LIMIT, "the sampler comes")
            assert deliver(where.group(), None)
            agent.terminate()
            assert agent.wait(LIMIT) == 0
        finally:
            agent.kill()


def test_sigterm_confirms_what_came_and_loses_nothing(tmp_path: Path) -> None:
    log = tmp_path / "spans.jsonl"
    with Running([*AGENT, "--spans", log]) as agent:
        address = agent.wait_for(ADDRESS).group()
        with Exporter(address, service_name="test") as exporter:
            for number in range(200):
                exporter.export_trace_request(spans_request(span(number + 1)))
            eventually(lambda: exporter.stats()["sent"] > 50, LIMIT, "some are on their way")
            agent.terminate()
            assert agent.finish() == 0, agent.output
            stats = exporter.stats()
            logged = [json.loads(line)["span_id"] for line in log.read_text().splitlines()]
            assert len(logged) == len(set(logged)) == stats["confirmed"], "what it has is what it has confirmed"
            exporter.stop(0)


def begin_a_call(client: RawClient) -> None:
    """Begin an Export call, and see that the agent has heard of it, to which it says nothing."""
    client.begin(1, trace_service_pb2.TRACE_SERVICE_EXPORT_PATH)
    client.sock.sendall(wire.ping())
    client.until(wire.PING, wire.ACK)


def test_the_end_does_not_wait_longer_than_it_may() -> None:
    with Running([*AGENT, "--grace", "0.5"]) as agent, RawClient(agent.wait_for(ADDRESS).group()) as client:
        begin_a_call(client)
        began = time.monotonic()
        agent.terminate()
        assert client.goaway()[0] == 0
        assert agent.finish() == 0
        assert 0.4 < time.monotonic() - began < LIMIT


@pytest.mark.parametrize("grace", ["inf", "1e300"])
def test_a_grace_without_an_end_lasts_until_the_client_is_gone(grace: str) -> None:
    with Running([*AGENT, "--grace", grace]) as agent:
        with RawClient(agent.wait_for(ADDRESS).group()) as client:
            begin_a_call(client)
            agent.terminate()
            client.goaway()
            client.sock.sendall(wire.ping())
            client.until(wire.PING, wire.ACK)  # it is still there
        assert agent.finish() == 0, agent.output


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(second: signal.Signals) -> None:
    with Running([*AGENT, "--grace", "60"]) as agent, RawClient(agent.wait_for(ADDRESS).group()) as client:
        begin_a_call(client)
        agent.terminate()
        client.goaway()
        agent.send(second)
        assert agent.finish() in (-signal.SIGTERM, 130)
        assert not re.search("Traceback", agent.output)
